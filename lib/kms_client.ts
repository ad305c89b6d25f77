import { Deadline } from "./deadline.ts";
import type { EngineName, KmsEngine } from "./engine/engine.ts";
import { openEngine } from "./engine/open_engine.ts";
import { DisposedError } from "./errors.ts";
import { checkOptions, type KmsClientOptions } from "./kms_options.ts";
import {
  CALL_FIELDS,
  checkCall,
  checkDecryptRequest,
  type DecryptRequest,
  REQUEST_FIELDS,
} from "./kms_request.ts";
import type { SecretBytes } from "./secret_bytes.ts";

/**
 * A long-lived client of AWS KMS for one enclave: it keeps the key pair, the attestation document and the
 * connections, and takes any number of calls at once.
 *
 * @example
 * ```ts
 * import { KmsClient } from "enclave-kms";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
 * const { keyId } = await enclave.createKey();
 * const ciphertext = await enclave.encrypt({ keyId, plaintext: "hello" });
 *
 * await using client = await KmsClient.open(enclave.clientOptions);
 * using secret = await client.decrypt({ ciphertext, keyId, timeoutMs: 2000 });
 * secret.bytes.length; // 5
 * ```
 */
export class KmsClient implements AsyncDisposable {
  readonly #engine: KmsEngine;
  readonly #timeoutMs: number;
  #closing: Promise<void> | undefined;

  private constructor(engine: KmsEngine, timeoutMs: number) {
    this.#engine = engine;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Makes the key pair and checks that there is an NSM or a C SDK. It does not speak to KMS yet.
   *
   * @param options `region` and `credentials`; the rest is right for an enclave
   * @returns The client; dispose it with `await using`
   * @throws {TypeError} When an option is missing, unknown or of a wrong type
   * @throws {RangeError} When an option is out of range
   * @throws {LibraryLoadError} When the engine needs a library that does not load
   * @throws {AttestationError} When engine `direct` finds no NSM
   * @throws {TimeoutError} When it takes longer than `timeoutMs`
   */
  static async open(options: KmsClientOptions): Promise<KmsClient> {
    const checked = checkOptions(options);
    using deadline = new Deadline("open the KMS client", checked.timeoutMs);
    return new KmsClient(await openEngine(checked, deadline), checked.timeoutMs);
  }

  /** The engine in use: what `auto` came to. */
  get engine(): EngineName {
    return this.#engine.name;
  }

  /**
   * Decrypts one ciphertext. The request is checked and copied before anything else happens.
   *
   * @param request The ciphertext, and what it must have been encrypted with
   * @returns The plaintext, at most 4096 bytes for a symmetric key; dispose it with `using`
   * @throws {TypeError} When a field is missing, unknown or of a wrong type
   * @throws {RangeError} When a field is out of range
   * @throws {KmsError} When KMS refuses; `kmsCode` has its exception's name
   * @throws {ConnectionError} When KMS cannot be reached
   * @throws {CertificateError} When whoever answers is not KMS
   * @throws {AttestationError} When the NSM gives no document
   * @throws {CredentialsError} When the provider of credentials fails
   * @throws {ProtocolError} When the answer is not one that KMS gives
   * @throws {SdkKmsDecryptError} When the C client failed, on engine `sdk-client`: it does not say why
   * @throws {TimeoutError} When the time is up; on an abort, the signal's reason
   */
  async decrypt(request: DecryptRequest): Promise<SecretBytes> {
    if (this.#closing !== undefined) throw new DisposedError("KmsClient");
    const checked = checkDecryptRequest(request);
    const { signal, timeoutMs } = checkCall(request, this.#timeoutMs);
    using deadline = new Deadline("decrypt", timeoutMs, signal);
    deadline.throwIfPassed();
    return await this.#engine.decrypt(checked, deadline);
  }

  /** Ends the connections, destroys the key pair and wipes the credentials. Closing twice is harmless. */
  close(): Promise<void> {
    return this.#closing ??= Promise.resolve(this.#engine[Symbol.asyncDispose]());
  }

  /** The same as {@link KmsClient.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** What {@link kmsDecrypt} takes: the options of a client, and one request. */
export type KmsDecryptOptions = KmsClientOptions & DecryptRequest;

/**
 * Decrypts one ciphertext with a client of its own, from the key pair to the clean-up. A service that
 * decrypts more than once keeps a {@link KmsClient} instead: making the key pair is most of the work.
 *
 * @param options The options of {@link KmsClient.open} and of {@link KmsClient.decrypt}; `timeoutMs` bounds it
 *   all
 * @returns The plaintext; dispose it with `using`
 * @throws What {@link KmsClient.open} and {@link KmsClient.decrypt} throw
 *
 * @example
 * ```ts
 * import { kmsDecrypt } from "enclave-kms";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
 * const { keyId } = await enclave.createKey();
 * const encryptionContext = { tenant: "a" };
 * const ciphertext = await enclave.encrypt({ keyId, plaintext: "hello", encryptionContext });
 *
 * using plaintext = await kmsDecrypt({ ...enclave.clientOptions, ciphertext, encryptionContext });
 * new TextDecoder().decode(plaintext.bytes); // "hello"
 * ```
 */
export async function kmsDecrypt(options: KmsDecryptOptions): Promise<SecretBytes> {
  const [request, clientOptions] = splitOptions(options);
  const checkedRequest = checkDecryptRequest(request);
  const checkedOptions = checkOptions(clientOptions);
  const { signal, timeoutMs } = checkCall(request, checkedOptions.timeoutMs);
  using deadline = new Deadline("decrypt", timeoutMs, signal);
  deadline.throwIfPassed();
  await using engine = await openEngine(checkedOptions, deadline);
  return await engine.decrypt(checkedRequest, deadline);
}

function splitOptions(options: KmsDecryptOptions): [request: DecryptRequest, options: KmsClientOptions] {
  if (typeof options !== "object" || options === null) throw new TypeError("The options must be an object");
  const ofRequest = (field: string) => REQUEST_FIELDS.includes(field) || CALL_FIELDS.includes(field);
  const entries = Object.entries(options);
  const request = Object.fromEntries(entries.filter(([field]) => ofRequest(field)));
  const rest = entries.filter(([field]) => !ofRequest(field));
  return [request as unknown as DecryptRequest, Object.fromEntries(rest) as unknown as KmsClientOptions];
}
