import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { checkFields, checkInteger } from "../core/checks.ts";
import { type CallOptions, checkCall } from "../core/call_options.ts";
import { Deadline, MAX_TIMEOUT_MS } from "../core/deadline.ts";
import { DisposedError } from "../core/errors.ts";
import { SecretBytes } from "../core/secret_bytes.ts";
import { CachedDataKey, type CachedDataKeyParts, type CachedKeyLimits } from "./cached_data_key.ts";
import type { EncryptionContext } from "./encryption_context.ts";
import {
  checkKeyClient,
  type DataKeyOpener,
  type DataKeyRequest,
  type DataKeySource,
  expectDataKey,
  type SourcedDataKey,
} from "./key_client.ts";

/** Options of {@link DataKeyCache}. */
export interface DataKeyCacheOptions {
  /** Milliseconds that a data key is used for and kept, 1000 to 86400000. */
  readonly maxAgeMs: number;
  /** Messages to encrypt under one data key, 1 to 4294967296. Default: 1000. */
  readonly maxMessages?: number | undefined;
  /** Plaintext bytes to encrypt under one data key, 1 to 2^40. Default: 268435456. */
  readonly maxBytes?: number | undefined;
  /** Data keys to keep, 1 to 100000, for encryption and decryption together. The one that was used least lately goes. Default: 100. */
  readonly maxKeys?: number | undefined;
}

/** Takes what is needed of a key, unless its limits forbid it. */
type Take = (key: CachedDataKey) => SecretBytes | undefined;

/** Asks KMS for a key. */
type Fetch = (call: { readonly signal: AbortSignal }) => Promise<CachedDataKey>;

const FIELDS = ["maxAgeMs", "maxMessages", "maxBytes", "maxKeys"];
const AGE_RANGE = { min: 1000, max: 86_400_000 };
const MESSAGES_RANGE = { min: 1, max: 2 ** 32, default: 1000 };
const BYTES_RANGE = { min: 1, max: 2 ** 40, default: 268_435_456 };
const KEYS_RANGE = { min: 1, max: 100_000, default: 100 };

/**
 * Data keys for many short messages with one call to KMS. It takes the place of the client in {@link encryptMessage} and
 * in every decryption. A data key belongs to its key id and its encryption context; each message still has a key of its
 * own, derived from the data key and a random id.
 *
 * **What is given up: KMS neither sees nor permits each message. Whoever loses the right to the key, and an enclave that
 * is no longer allowed, goes on for `maxAgeMs`; CloudTrail has one line for many messages; and the plaintext data key is
 * in memory for that long, whose loss opens all messages under it.**
 *
 * A signed message (`signed`) has a key pair, and so an encryption context, of its own: KMS is asked for each, and
 * signed records gain nothing. Nor do streams and files, whose length is not known: each gets a data key of its own.
 *
 * Callers who ask at once for the same wait for one call. One that gives up or runs out of time does not stop it.
 *
 * @example
 * ```ts
 * import { KmsClient } from "enclave-kms";
 * import { DataKeyCache, decryptMessage, encryptMessage } from "enclave-kms/envelope";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
 * const { arn: keyId } = await enclave.createKey();
 * await using client = await KmsClient.open(enclave.clientOptions);
 * using cache = new DataKeyCache(client, { maxAgeMs: 60_000 });
 * const options = { keyId, encryptionContext: { tenant: "a" } };
 *
 * const records = ["attack", "at", "dawn"].map((text) => new TextEncoder().encode(text));
 * const messages = await Promise.all(records.map((record) => encryptMessage(cache, record, options)));
 * using plaintext = await decryptMessage(cache, messages[2] ?? new Uint8Array(), options);
 * new TextDecoder().decode(plaintext.bytes); // "dawn"
 * ```
 */
export class DataKeyCache implements DataKeySource, DataKeyOpener, Disposable {
  readonly #client: DataKeySource & DataKeyOpener;
  readonly #limits: CachedKeyLimits;
  readonly #maxKeys: number;
  /** Keys by what they are for, the least recently used first. */
  readonly #keys = new Map<string, CachedDataKey>();
  /** Calls to KMS that callers wait for. */
  readonly #calls = new Map<string, Promise<void>>();
  /** Number of times that it was cleared. */
  #generation = 0;
  /** Aborts the calls when the cache is disposed. */
  readonly #end = new AbortController();

  /**
   * Makes an empty cache.
   *
   * @param client A {@link KmsClient}, or anything else that makes and opens data keys; the caller disposes it later
   * @param options Limits of a data key
   * @throws {TypeError} When an argument is missing, unknown or of a wrong type
   * @throws {RangeError} When an option is out of range
   */
  constructor(client: DataKeySource & DataKeyOpener, options: DataKeyCacheOptions) {
    checkKeyClient(client, "generateDataKey");
    checkKeyClient(client, "decrypt");
    const given = checkFields("options of a data key cache", options, FIELDS);
    this.#client = client;
    this.#limits = {
      maxAgeMs: checkInteger("maxAgeMs", given.maxAgeMs, AGE_RANGE),
      maxMessages: checkInteger("maxMessages", given.maxMessages, MESSAGES_RANGE),
      maxBytes: checkInteger("maxBytes", given.maxBytes, BYTES_RANGE),
    };
    this.#maxKeys = checkInteger("maxKeys", given.maxKeys, KEYS_RANGE);
  }

  /** Number of data keys that are kept. */
  get size(): number {
    return this.#keys.size;
  }

  /**
   * Makes a data key that is not kept, for a message of unknown length.
   *
   * @param request Request as the client takes it
   * @throws {DisposedError} After dispose; and as the client does
   */
  async generateDataKey(request: DataKeyRequest): Promise<SourcedDataKey> {
    this.#end.signal.throwIfAborted();
    return await this.#client.generateDataKey(request);
  }

  /**
   * Gives a data key for one message.
   *
   * @param plaintextBytes Bytes of the message; more than `maxBytes` get a data key that is not kept
   * @param request Request as the client takes it
   * @returns A copy, for the caller to dispose
   * @throws {DisposedError} After dispose
   * @throws {EnvelopeError} `KEY`, when the client's data key is of no use; and as the client does
   */
  async generateDataKeyFor(plaintextBytes: number, request: DataKeyRequest): Promise<SourcedDataKey> {
    checkInteger("plaintextBytes", plaintextBytes, { min: 0, max: Number.MAX_SAFE_INTEGER });
    if (plaintextBytes > this.#limits.maxBytes) return await this.generateDataKey(request);
    const { keyId } = request;
    const encryptionContext = copyContext(request.encryptionContext);
    const name = nameOf("encrypt", keyId, encryptionContext);
    const take = (key: CachedDataKey) => key.reserve(plaintextBytes) ? key.copy() : undefined;
    return await this.#get(name, request, take, async (call) => {
      using made = await this.#client.generateDataKey({
        keyId,
        keySpec: "AES_256",
        encryptionContext,
        ...call,
      });
      expectDataKey(made.plaintext);
      return this.#cached(name, SecretBytes.copyOf(made.plaintext.bytes), made);
    });
  }

  /**
   * Opens a data key, or gives it as it was opened before.
   *
   * @param request Request as the client takes it
   * @returns A copy, for the caller to dispose
   * @throws {DisposedError} After dispose; and as the client does
   */
  async decrypt(request: Parameters<DataKeyOpener["decrypt"]>[0]): Promise<SecretBytes> {
    const { keyId } = request;
    const encryptionContext = copyContext(request.encryptionContext);
    const ciphertext = new Uint8Array(request.ciphertext);
    const name = nameOf("decrypt", keyId, encryptionContext, ciphertext);
    const { plaintext } = await this.#get(name, request, (key) => key.copy(), async (call) => {
      const opened = await this.#client.decrypt({ ciphertext, keyId, encryptionContext, ...call });
      return this.#cached(name, opened, { ciphertext, keyId });
    });
    return plaintext;
  }

  /**
   * Wipes all data keys that are kept. The cache can go on, and asks KMS again; what a call under way brings is wiped, too.
   */
  clear(): void {
    this.#generation++;
    for (const name of [...this.#keys.keys()]) this.#remove(name);
  }

  /** Wipes all data keys, and ends the calls that are under way. The client stays open. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#end.abort(new DisposedError("DataKeyCache"));
    this.clear();
  }

  /** Takes a key that is there, or waits for a call that brings one; one call at a time for what is the same. */
  async #get(
    name: string,
    { signal, timeoutMs }: CallOptions,
    take: Take,
    fetch: Fetch,
  ): Promise<SourcedDataKey> {
    const call = checkCall({ signal, timeoutMs }, MAX_TIMEOUT_MS);
    call.signal?.throwIfAborted();
    const ready = this.#take(name, take);
    if (ready !== undefined) return ready;
    using deadline = new Deadline("get a data key", call.timeoutMs, call.signal);
    for (;;) {
      await deadline.race(this.#calls.get(name) ?? this.#fetch(name, fetch));
      const fetched = this.#take(name, take);
      if (fetched !== undefined) return fetched;
    }
  }

  /** Takes a copy of the key, if it has one left; if not, it goes. */
  #take(name: string, take: Take): SourcedDataKey | undefined {
    this.#end.signal.throwIfAborted();
    const key = this.#keys.get(name);
    if (key === undefined) return undefined;
    const plaintext = key.isTooOld ? undefined : take(key);
    this.#keys.delete(name);
    if (plaintext === undefined) {
      key[Symbol.dispose]();
      return undefined;
    }
    this.#keys.set(name, key);
    const { ciphertext, keyId } = key;
    const dispose = () => plaintext[Symbol.dispose]();
    return { plaintext, ciphertext: ciphertext.slice(), keyId, [Symbol.dispose]: dispose };
  }

  #fetch(
    name: string,
    fetch: (call: { readonly signal: AbortSignal }) => Promise<CachedDataKey>,
  ): Promise<void> {
    const generation = this.#generation;
    const call = fetch({ signal: this.#end.signal })
      .then((key) => this.#keep(name, key, generation))
      .finally(() => this.#calls.delete(name));
    this.#calls.set(name, call);
    return call;
  }

  #keep(name: string, key: CachedDataKey, generation: number): void {
    if (this.#end.signal.aborted) {
      key[Symbol.dispose]();
      throw this.#end.signal.reason;
    }
    if (generation !== this.#generation) return key[Symbol.dispose]();
    this.#remove(name);
    this.#keys.set(name, key);
    for (const oldest of this.#keys.keys()) {
      if (this.#keys.size <= this.#maxKeys) break;
      this.#remove(oldest);
    }
  }

  #cached(name: string, plaintext: SecretBytes, key: CachedDataKeyParts): CachedDataKey {
    return new CachedDataKey(plaintext, key, this.#limits, () => this.#remove(name));
  }

  #remove(name: string): void {
    this.#keys.get(name)?.[Symbol.dispose]();
    this.#keys.delete(name);
  }
}

/** Copies what a caller may change while KMS is asked. */
function copyContext(context: EncryptionContext | undefined): EncryptionContext | undefined {
  return context && Object.freeze({ ...context });
}

/** Names what a data key is for, in 44 characters, whatever the lengths of its parts. */
function nameOf(
  use: "encrypt" | "decrypt",
  keyId: string,
  context: EncryptionContext = {},
  ciphertext: Uint8Array<ArrayBuffer> = new Uint8Array(0),
): string {
  const pairs = Object.entries(context).sort(([left], [right]) => left < right ? -1 : 1);
  const parts = JSON.stringify([use, keyId, pairs, Buffer.from(ciphertext).toString("base64")]);
  return createHash("sha256").update(parts).digest("base64");
}
