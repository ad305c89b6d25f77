import { askForDocument } from "../../nsm/nsm_client.ts";
import type { NsmTransport } from "../../nsm/nsm_transport.ts";
import type { Deadline } from "../../core/deadline.ts";
import { DisposedError } from "../../core/errors.ts";
import type { SecretBytes } from "../../core/secret_bytes.ts";
import { NodeRecipientKey } from "./node_recipient_key.ts";
import { type Envelope, readEnvelope } from "./read_envelope.ts";
import type { Recipient } from "./recipient.ts";
import type { RecipientKey } from "./recipient_key.ts";

/** Parts of an {@link NsmRecipient} besides the NSM. */
export interface NsmRecipientOptions {
  /** Whether to dispose the NSM with the recipient, and also when there will be none. */
  readonly owned: boolean;
  /** Makes the key pair. Default: node:crypto's. */
  readonly makeKey?: (() => Promise<RecipientKey>) | undefined;
}

/** Recipient that needs no C SDK: its documents come from the NSM, for a key pair of its own. */
export class NsmRecipient implements Recipient {
  /** See {@link Recipient.openElsewhere}. */
  readonly openElsewhere: Recipient["openElsewhere"];
  readonly #nsm: NsmTransport;
  readonly #ownsNsm: boolean;
  readonly #key: RecipientKey;
  #disposed = false;

  private constructor(nsm: NsmTransport, ownsNsm: boolean, key: RecipientKey) {
    this.#nsm = nsm;
    this.#ownsNsm = ownsNsm;
    this.#key = key;
    if (key.openElsewhere !== undefined) {
      this.openElsewhere = async (envelope) => await key.openElsewhere!(this.#read(envelope));
    }
  }

  /**
   * Makes the key pair, on another thread: 16 to 350 ms, and 0.1 to 1.1 s by node:crypto on Deno.
   *
   * @param nsm The NSM
   * @param options Key pair, and whose the NSM is
   * @param deadline When to give up. C and the runtime go on, and the key pair is then destroyed
   * @throws {TimeoutError} When the deadline passes
   */
  static async create(
    nsm: NsmTransport,
    { owned, makeKey = () => NodeRecipientKey.create() }: NsmRecipientOptions,
    deadline: Deadline,
  ): Promise<NsmRecipient> {
    deadline.stage = "key-pair";
    const making = makeKey();
    try {
      return new NsmRecipient(nsm, owned, await deadline.race(making));
    } catch (error) {
      making.then((key) => key[Symbol.dispose](), () => {});
      if (owned) nsm[Symbol.dispose]();
      throw error;
    }
  }

  /** See {@link Recipient.attestationDocument}. */
  attestationDocument(): Promise<Uint8Array> {
    return askForDocument(this.#nsm, { publicKey: this.#key.publicKey });
  }

  /** See {@link Recipient.open}. */
  open(envelope: Uint8Array): SecretBytes {
    return this.#key.open(this.#read(envelope));
  }

  /** Destroys the private key, and disposes the NSM if it is its own. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    using _nsm = this.#ownsNsm ? this.#nsm : undefined;
    using _key = this.#key;
  }

  #read(envelope: Uint8Array): Envelope {
    if (this.#disposed) throw new DisposedError("NsmRecipient");
    return readEnvelope(envelope);
  }
}
