import { clearTimeout, setTimeout } from "node:timers";
import { toHex } from "../../lib/core/bytes.ts";
import { disposeAll } from "../../lib/core/dispose_all.ts";
import type { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { SecretError } from "../../lib/core/secret_error.ts";
import type { SecretReceipt } from "../../lib/wire/secret_receipt.ts";
import type { SecretStatement } from "../../lib/wire/signed_secret.ts";
import type { Logger } from "../telemetry/log.ts";
import { type AgeKey, importAgeIdentity } from "./age_file.ts";
import type { CheckedSecret } from "./checked_secret.ts";
import { judgeSecret, type KmsDecryption, openSecret, refused } from "./open_secret.ts";
import { ShareCollector } from "./share_collector.ts";

/** Parts of {@link BootSecrets}. */
export interface BootSecretsParts {
  /** Declarations. */
  readonly secrets: readonly CheckedSecret[];
  /** Milliseconds from {@link BootSecrets.begin} until what is missing fails the start. */
  readonly windowMs: number;
  /** Has KMS decrypt. */
  readonly decrypt: (request: KmsDecryption) => Promise<SecretBytes>;
  /** Records what was taken, in the order of declaration, before it is handed over. */
  readonly record: (taken: readonly SecretStatement[]) => Promise<void>;
  /** Destination of the log. */
  readonly logger: Logger;
}

/** Secret while it is waited for. */
interface Place {
  readonly secret: CheckedSecret;
  readonly shares: ShareCollector | undefined;
  /** Secret that was taken. */
  taken: TakenSecret | undefined;
  /** Whether one is being opened. */
  isBusy: boolean;
}

/** Secret that fits its declaration. */
interface TakenSecret {
  readonly statement: SecretStatement;
  /** Bytes to hand over; undefined for an identity. */
  readonly bytes: SecretBytes | undefined;
  /** Key of an identity, until all secrets are in: nothing is opened with it then. */
  identity: AgeKey | undefined;
}

/**
 * Secrets of one boot, from the window in which they arrive to the end of the application. A refused one changes nothing:
 * the next may be the honest one.
 */
export class BootSecrets implements Disposable {
  readonly #parts: BootSecretsParts;
  readonly #places: ReadonlyMap<string, Place>;
  readonly #handedOver = new Map<string, SecretBytes>();
  readonly #completed = Promise.withResolvers<void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;
  #isHandedOver = false;
  #isDisposed = false;

  /** @param parts Declarations, window and openers */
  constructor(parts: BootSecretsParts) {
    this.#parts = parts;
    this.#places = new Map(parts.secrets.map((secret) => [secret.name, emptyPlace(secret)]));
    this.#completed.promise.catch(() => {});
  }

  /** Secrets by name: empty until all have arrived and are recorded. An identity of age is never among them. */
  get handedOver(): ReadonlyMap<string, SecretBytes> {
    return this.#handedOver;
  }

  /**
   * Whether each secret that must come is there, by its name in `/readyz`, and whether all are recorded and handed over:
   * until then the application has none.
   */
  get readiness(): Readonly<Record<string, boolean>> {
    if (this.#places.size === 0) return {};
    const needed = [...this.#places.values()].filter(({ secret }) => !secret.isOptional);
    const taken = needed.map(({ secret, taken }) => [`secret:${secret.name}`, taken !== undefined] as const);
    return { ...Object.fromEntries(taken), secrets: this.#isHandedOver };
  }

  /**
   * Opens the window.
   *
   * @returns Resolves when all are recorded and handed over
   * @throws {SecretError} With the fault `MISSING` at the end of the window, or `RECORD`
   */
  begin(): Promise<void> {
    if (this.#places.size === 0) this.#completed.resolve();
    // All may have come before.
    else if (!this.#isOver) this.#timer = setTimeout(() => this.#endWindow(), this.#parts.windowMs);
    return this.#completed.promise;
  }

  /**
   * Tells whether a secret would be refused, whatever comes.
   *
   * @param name Name of a declared secret
   * @throws {SecretError} With the fault `TAKEN` or `LATE`
   */
  expectWanted(name: string): void {
    const { secret, taken } = this.#placeOf(name);
    if (taken !== undefined) {
      throw refused("TAKEN", secret, "it was taken before", {
        hint: "Restart the enclave to give it another one",
      });
    }
    if (this.#isOver) {
      throw refused("LATE", secret, "the window is over", {
        hint: "Start the sender together with the enclave",
      });
    }
  }

  /**
   * Takes a secret, if it fits its declaration.
   *
   * @param name Name of a declared secret
   * @param content Bytes as they arrived, without a frame; the caller wipes them
   * @returns The receipt
   * @throws {SecretError} When it is refused
   * @throws {EnclaveKmsError} When KMS cannot be reached, or an optional package is missing
   */
  async take(name: string, content: Uint8Array): Promise<SecretReceipt> {
    this.expectWanted(name);
    const place = this.#placeOf(name);
    const { secret } = place;
    const { sealed, statement } = await judgeSecret(secret, content);
    // Only now: whoever has nothing that fits keeps nobody out.
    if (place.isBusy) {
      throw refused("BUSY", secret, "another one is being opened", { hint: "Send one at a time" });
    }
    place.isBusy = true;
    try {
      this.expectWanted(name);
      await this.#open(place, sealed, statement);
      return { ok: true, name, sha256: toHex(statement.sha256) };
    } finally {
      place.isBusy = false;
    }
  }

  /** Ends the window, and wipes all secrets. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#end();
    this.#completed.reject(this.#missing());
    const places = [...this.#places.values()];
    this.#handedOver.clear();
    disposeAll(places.map(({ taken }) => taken?.bytes));
    for (const place of places) place.taken = undefined;
  }

  #placeOf(name: string): Place {
    const place = this.#places.get(name);
    if (place === undefined) throw new TypeError(`no secret is declared as ${name}`);
    return place;
  }

  async #open(place: Place, sealed: Uint8Array, statement: SecretStatement): Promise<void> {
    const { secret: { name } } = place;
    const taken = await this.#read(place, sealed, statement);
    if (this.#isOver) {
      disposeAll([taken?.bytes, place.shares]);
      this.expectWanted(name);
    }
    const sha256 = toHex(statement.sha256);
    if (taken === undefined) return void this.#parts.logger.info({ secret: name, sha256 }, "took shares");
    place.taken = taken;
    this.#parts.logger.info({ secret: name, version: statement.version, sha256 }, "took a secret");
    if (this.#untaken.length === 0) void this.#complete();
  }

  /** Opens what was judged; undefined while there are too few shares. */
  async #read(
    place: Place,
    sealed: Uint8Array,
    statement: SecretStatement,
  ): Promise<TakenSecret | undefined> {
    const { secret, shares } = place;
    const { decrypt } = this.#parts;
    const identity = (name: string) => this.#placeOf(name).taken?.identity;
    const opened = await openSecret(secret, sealed, { decrypt, identity });
    if (shares === undefined) return await finish(secret, opened, statement);
    using file = opened;
    const joined = await shares.take(file.bytes, statement);
    return joined && await finish(secret, joined.secret, joined.statement);
  }

  get #untaken(): readonly CheckedSecret[] {
    return [...this.#places.values()].filter(({ taken }) => taken === undefined).map(({ secret }) => secret);
  }

  #endWindow(): void {
    if (this.#untaken.every(({ isOptional }) => isOptional)) return void this.#complete();
    this.#end();
    this.#completed.reject(this.#missing());
  }

  /** Records what was taken, and then hands it over. */
  async #complete(): Promise<void> {
    this.#end();
    const taken = [...this.#places.values()].flatMap(({ taken }) => taken ?? []);
    for (const one of taken) one.identity = undefined;
    try {
      await this.#parts.record(taken.map(({ statement }) => statement));
    } catch (error) {
      return this.#completed.reject(error);
    }
    if (this.#isDisposed) return;
    for (const { statement: { name }, bytes } of taken) {
      if (bytes !== undefined) this.#handedOver.set(name, bytes);
    }
    this.#isHandedOver = true;
    this.#parts.logger.info(
      { secrets: [...this.#handedOver.keys()] },
      "secrets are recorded and handed over",
    );
    this.#completed.resolve();
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    disposeAll([...this.#places.values()].map(({ shares }) => shares));
  }

  #missing(): SecretError {
    const names = this.#untaken.filter(({ isOptional }) => !isOptional).map(({ name }) => name);
    return new SecretError("MISSING", `Cannot start the enclave: no ${names.join(", ")} within the window`, {
      hint: "Did the parent send it, and what did the receipts say? Refusals are in the log",
    });
  }
}

function emptyPlace(secret: CheckedSecret): Place {
  const { name, source } = secret;
  const shares = source.kind === "shares" ? new ShareCollector({ name, source }) : undefined;
  return { secret, shares, taken: undefined, isBusy: false };
}

/** Takes over the bytes, or imports the identity that they are, and wipes them. */
async function finish(
  { identityOf }: CheckedSecret,
  bytes: SecretBytes,
  statement: SecretStatement,
): Promise<TakenSecret> {
  if (identityOf === undefined) return { statement, bytes, identity: undefined };
  using owned = bytes;
  return { statement, bytes: undefined, identity: await importAgeIdentity(owned.bytes, identityOf) };
}
