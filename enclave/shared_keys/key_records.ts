import { Deadline } from "../../lib/core/deadline.ts";
import { KmsError, SharedKeyError } from "../../lib/core/errors.ts";
import type { SecretBytes } from "../../lib/core/secret_bytes.ts";
import type { DataKeyPairSpec } from "../../lib/kms/data_key.ts";
import type { KmsService } from "../kms_service.ts";
import { type BootFacts, readBoot } from "./boot_facts.ts";
import { LoadedVersion } from "./key_version.ts";
import {
  contextOf,
  decodeRecord,
  encodeRecord,
  hashOf,
  type ReadRecord,
  type RecordFacts,
  recordName,
  refused,
} from "./record.ts";
import { type CheckedSharedKeyOptions, MAX_VERSION } from "./shared_key_options.ts";
import { MAX_STORED_BYTES, type StoreCall } from "./store.ts";

/** Operations that shared keys need of `enclave.kms`. */
export type SharedKeyKms = Pick<
  KmsService,
  "decrypt" | "generateKey" | "generateKeyPair" | "generateAttestation"
>;

/** Answers of KMS to a ciphertext that is not what it should be. */
const UNREADABLE: readonly string[] = ["InvalidCiphertextException", "IncorrectKeyException"];
const DATA_KEY_BYTES = 32;

/** Key that KMS has just made. */
interface FreshKey {
  readonly secret: SecretBytes;
  readonly ciphertext: Uint8Array<ArrayBuffer>;
}

/** Records of one shared key: in their store, and opened by KMS. */
export class KeyRecords {
  readonly #kms: SharedKeyKms;
  readonly #options: CheckedSharedKeyOptions;
  readonly #signal: AbortSignal;
  #boot: Promise<BootFacts> | undefined;

  /**
   * @param kms KMS and the NSM
   * @param options Options of the key
   * @param signal Ends all that runs
   */
  constructor(kms: SharedKeyKms, options: CheckedSharedKeyOptions, signal: AbortSignal) {
    this.#kms = kms;
    this.#options = options;
    this.#signal = signal;
  }

  /**
   * Reads the record of a version.
   *
   * @param version Version, from 1
   * @returns The record, whose form alone is checked; undefined when the store has none
   * @throws {SharedKeyError} `ERR_SHARED_KEY_STORE` when the store fails, or does not answer in time;
   *   `ERR_SHARED_KEY_RECORD` when it gives something else
   */
  async read(version: number): Promise<ReadRecord | undefined> {
    if (version > MAX_VERSION) return undefined;
    const { name, spec, store } = this.#options;
    const bytes = await this.#ask("read", (call) => store.read(recordName(name, version), call));
    return bytes === undefined ? undefined : decodeRecord(bytes, { name, version, spec });
  }

  /**
   * Has KMS open a record, and confirm all that it says.
   *
   * @param record Record that was read
   * @returns The version; the caller disposes it
   * @throws {SharedKeyError} `ERR_SHARED_KEY_RECORD` when KMS did not make it for just this key, version and context;
   *   `ERR_SHARED_KEY_IMAGE` when an image made it that is not listed
   * @throws The errors of `KmsService.decrypt`
   */
  async open(record: ReadRecord): Promise<LoadedVersion> {
    const secret = await this.#decrypt(record);
    try {
      if (record.spec === "AES_256" && secret.length !== DATA_KEY_BYTES) {
        throw refused(record, `holds no key of ${DATA_KEY_BYTES} bytes`);
      }
      const boot = await this.#askNsm();
      this.#checkImage(record, boot.image);
      return new LoadedVersion(record, secret, boot.now());
    } catch (error) {
      secret[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Has KMS make a version, and writes its record unless there is one already: then that one counts.
   *
   * @param version Version, from 1
   * @param previous Hash of the record before; undefined with version 1
   * @returns The version that the store has; the caller disposes it
   * @throws The errors of {@link KeyRecords.read} and {@link KeyRecords.open}
   */
  async make(version: number, previous: string | undefined): Promise<LoadedVersion> {
    const { name, spec, store } = this.#options;
    const { image, now } = await this.#askNsm();
    const facts = { name, version, spec, madeMs: Math.floor(now()), image, previous };
    const fresh = await this.#generate(facts);
    let isTaken = false;
    try {
      const bytes = encodeRecord({ ...facts, ciphertext: fresh.ciphertext });
      const hash = hashOf(bytes);
      await this.#ask("write", (call) => store.create(recordName(name, version), bytes, call));
      // Whatever it said: what it gives is what the others get.
      const stored = await this.read(version);
      if (stored === undefined) throw this.#storeError("it has no record of what was written");
      if (stored.previous !== previous) throw this.#chainError(version);
      if (stored.hash !== hash) return await this.open(stored);
      const made = new LoadedVersion(stored, fresh.secret, now());
      isTaken = true;
      return made;
    } finally {
      if (!isTaken) fresh.secret[Symbol.dispose]();
    }
  }

  /**
   * Checks that a record follows another.
   *
   * @param record Later record
   * @param before Record before it
   * @throws {SharedKeyError} `ERR_SHARED_KEY_CHAIN` when it follows another one
   */
  checkFollows(record: ReadRecord, before: ReadRecord): void {
    if (record.previous !== before.hash) throw this.#chainError(record.version);
  }

  async #decrypt(record: ReadRecord): Promise<SecretBytes> {
    const { keyId, encryptionContext } = this.#options;
    const { ciphertext } = record;
    try {
      return await this.#own(
        this.#kms.decrypt({ ciphertext, keyId, encryptionContext: contextOf(record, encryptionContext) }),
      );
    } catch (error) {
      if (!(error instanceof KmsError && UNREADABLE.includes(error.kmsCode))) throw error;
      throw refused(record, "is not as KMS made it, or for another key, context or version", error);
    }
  }

  async #generate(facts: RecordFacts): Promise<FreshKey> {
    const { keyId, spec } = this.#options;
    const encryptionContext = contextOf(facts, this.#options.encryptionContext);
    if (spec === "AES_256") {
      const key = await this.#own(this.#kms.generateKey({ keyId, keySpec: spec, encryptionContext }));
      return { secret: key.plaintext, ciphertext: key.ciphertext };
    }
    const keyPairSpec: DataKeyPairSpec = spec;
    const pair = await this.#own(this.#kms.generateKeyPair({ keyId, keyPairSpec, encryptionContext }));
    return { secret: pair.privateKey, ciphertext: pair.privateKeyCiphertext };
  }

  #checkImage(record: ReadRecord, own: string): void {
    const { images, name } = this.#options;
    const { version, image } = record;
    if (images === undefined || images.includes(image) || image === own) return;
    throw new SharedKeyError(
      "IMAGE",
      `Cannot take shared key ${name}: another image made version ${version}`,
      {
        hint: "Is it a newer or older image than this one? List its PCR0 in `images` if it may make the key",
      },
    );
  }

  /** Asks the NSM for the PCR0 of this image and the time, once: the parent sets neither. */
  #askNsm(): Promise<BootFacts> {
    return this.#boot ??= readBoot(this.#kms).catch((error) => {
      this.#boot = undefined;
      throw error;
    });
  }

  /** Waits for something that is to be disposed, and sees to it when it comes too late. */
  async #own<T extends Disposable>(work: Promise<T>): Promise<T> {
    const { timeoutMs } = this.#options;
    using deadline = new Deadline("ask KMS about the shared key", timeoutMs, this.#signal, "kms");
    work.then((late) => deadline.signal.aborted && late[Symbol.dispose](), () => {});
    return await deadline.race(work);
  }

  async #ask<T>(verb: "read" | "write", ask: (call: StoreCall) => Promise<T>): Promise<T> {
    const { timeoutMs, name } = this.#options;
    using deadline = new Deadline(`${verb} shared key ${name}`, timeoutMs, this.#signal);
    try {
      const { signal } = deadline;
      return await deadline.race((async () => await ask({ signal, maxBytes: MAX_STORED_BYTES }))());
    } catch (cause) {
      this.#signal.throwIfAborted();
      throw this.#storeError(`the store cannot be ${verb === "read" ? "read" : "written"}`, cause);
    }
  }

  #storeError(what: string, cause?: unknown): SharedKeyError {
    return new SharedKeyError("STORE", `Cannot take shared key ${this.#options.name}: ${what}`, {
      hint: "Does the parent let the enclave reach the store, and may its role read and write there?",
      cause,
    });
  }

  #chainError(version: number): SharedKeyError {
    const { name } = this.#options;
    return new SharedKeyError(
      "CHAIN",
      `Cannot take shared key ${name}: version ${version} does not follow the one before`,
      {
        hint:
          "Was a record deleted and made anew, or does the store give different enclaves different records?",
      },
    );
  }
}
