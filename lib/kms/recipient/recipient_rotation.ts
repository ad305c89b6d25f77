import { disposeAll } from "../../core/dispose_all.ts";
import { NsmQueue } from "../../nsm/nsm_queue.ts";
import { Deadline } from "../../core/deadline.ts";
import { DisposedError } from "../../core/errors.ts";
import type { SecretBytes } from "../../core/secret_bytes.ts";
import { DocumentCache } from "./document_cache.ts";
import type { Recipient } from "./recipient.ts";

/** Options of a {@link RecipientRotation}. */
export interface RecipientRotationOptions {
  /** The first; owned from then on. */
  readonly recipient: Recipient;
  /** Makes the next. Default: there is no other. */
  readonly makeRecipient?: ((deadline: Deadline) => Promise<Recipient>) | undefined;
  /** Resource that all of them use, disposed after the last. */
  readonly shared?: Disposable | undefined;
  /** In milliseconds. */
  readonly keyPairMaxAgeMs?: number | undefined;
  /** Number of documents that are sent for one. */
  readonly keyPairMaxUses?: number | undefined;
  /** In milliseconds. */
  readonly attestationMaxAgeMs: number;
}

/** Milliseconds that making a recipient and its first document may take. */
const MAKING_TIMEOUT_MS = 60_000;

/** After a failure, the next is not made sooner than this, in milliseconds. */
const PAUSE_MS = 60_000;

/** One recipient, from its first use to its last. */
interface Tenure {
  readonly recipient: Recipient;
  readonly documents: DocumentCache;
  readonly since: number;
  uses: number;
  leases: number;
}

/**
 * The recipient in use. Once its key pair is old or was used often, the next one is made in the background, with
 * its document, and takes over when it is complete; until then, or if it cannot be made, the old one serves. It is
 * disposed when the last call that sent its document is done.
 */
export class RecipientRotation implements Disposable {
  readonly #options: RecipientRotationOptions;
  readonly #queue = new NsmQueue();
  readonly #alive = new Set<Tenure>();
  #current: Tenure;
  #isMaking = false;
  #pauseUntil = 0;
  #disposed = false;

  /** @param options The first recipient, and when and how to make others */
  constructor(options: RecipientRotationOptions) {
    this.#options = options;
    this.#current = this.#begin(options.recipient);
    this.#alive.add(this.#current);
  }

  /**
   * @returns The recipient in use, for one call; the caller disposes the lease
   * @throws {DisposedError} After dispose
   */
  take(): RecipientLease {
    if (this.#disposed) throw new DisposedError("KmsClient");
    if (this.#isDue()) void this.#replace();
    const tenure = this.#current;
    tenure.leases++;
    return new RecipientLease(tenure, () => {
      tenure.leases--;
      this.#releaseIfUnused(tenure);
    });
  }

  /** Forgets the documents of all recipients, see {@link DocumentCache.forget}. */
  forgetDocuments(): void {
    for (const { documents } of this.#alive) documents.forget();
  }

  /** Disposes every recipient at once, then what they share. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    using _shared = this.#options.shared;
    const parts = [...this.#alive].flatMap(({ documents, recipient }) => [documents, recipient]);
    this.#alive.clear();
    disposeAll(parts);
  }

  #begin(recipient: Recipient): Tenure {
    const documents = new DocumentCache(recipient, this.#options.attestationMaxAgeMs, this.#queue);
    return { recipient, documents, since: performance.now(), uses: 0, leases: 0 };
  }

  #isDue(): boolean {
    const { makeRecipient, keyPairMaxAgeMs = Infinity, keyPairMaxUses = Infinity } = this.#options;
    const now = performance.now();
    if (makeRecipient === undefined || this.#isMaking || now < this.#pauseUntil) return false;
    return now - this.#current.since >= keyPairMaxAgeMs || this.#current.uses >= keyPairMaxUses;
  }

  async #replace(): Promise<void> {
    this.#isMaking = true;
    try {
      const next = await this.#makeNext();
      const old = this.#current;
      this.#current = next;
      old.documents[Symbol.dispose]();
      this.#releaseIfUnused(old);
    } catch {
      // The old one serves: a failure that lasts shows when its document is too old.
      this.#pauseUntil = performance.now() + PAUSE_MS;
    } finally {
      this.#isMaking = false;
    }
  }

  async #makeNext(): Promise<Tenure> {
    using deadline = new Deadline("make a key pair", MAKING_TIMEOUT_MS);
    const recipient = await this.#options.makeRecipient!(deadline);
    const next = this.#begin(recipient);
    try {
      deadline.stage = "nsm";
      if (!this.#disposed) await next.documents.get(deadline);
      if (this.#disposed) throw new DisposedError("KmsClient");
      this.#alive.add(next);
      return next;
    } catch (error) {
      disposeAll([next.documents, recipient]);
      throw error;
    }
  }

  #releaseIfUnused(tenure: Tenure): void {
    if (tenure === this.#current || tenure.leases > 0 || !this.#alive.delete(tenure)) return;
    tenure.recipient[Symbol.dispose]();
  }
}

/** A recipient for one call: what is opened with it was encrypted to the key pair whose document was sent. */
export class RecipientLease implements Disposable {
  readonly #tenure: Tenure;
  #release: (() => void) | undefined;

  /**
   * @param tenure Document of the recipient
   * @param release Called once
   */
  constructor(tenure: Tenure, release: () => void) {
    this.#tenure = tenure;
    this.#release = release;
  }

  /** See {@link DocumentCache.get}. It counts as one use of the key pair. */
  document(deadline: Deadline): Promise<Uint8Array> {
    this.#tenure.uses++;
    return this.#tenure.documents.get(deadline);
  }

  /** See {@link Recipient.open}. */
  open(envelope: Uint8Array): SecretBytes {
    return this.#tenure.recipient.open(envelope);
  }

  /** See {@link Recipient.openElsewhere}. Undefined, too, while no other call has this recipient: then it takes longer. */
  get openElsewhere(): Recipient["openElsewhere"] {
    return this.#tenure.leases > 1 ? this.#tenure.recipient.openElsewhere : undefined;
  }

  /** Lets go of the recipient. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#release?.();
    this.#release = undefined;
  }
}
