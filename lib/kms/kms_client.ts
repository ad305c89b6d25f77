import type { DataKey, DataKeyPair } from "./data_key.ts";
import { Deadline } from "../core/deadline.ts";
import type { EngineName, KmsEngine } from "./engine.ts";
import { openEngine } from "./open_engine.ts";
import { DisposedError } from "../core/errors.ts";
import { checkOptions, type KmsClientOptions } from "./kms_options.ts";
import type { DecryptRequest } from "./operations/decrypt.ts";
import type { DeriveSharedSecretRequest } from "./operations/derive_shared_secret.ts";
import { asDryRun, checkDryRunName, type DryRunRequests, expectWillingness } from "./operations/dry_run.ts";
import type { Encrypted, EncryptRequest } from "./operations/encrypt.ts";
import type { GenerateDataKeyRequest } from "./operations/generate_data_key.ts";
import type { GenerateDataKeyPairRequest } from "./operations/generate_data_key_pair.ts";
import type { GenerateRandomRequest } from "./operations/generate_random.ts";
import {
  type Checked,
  type OperationName,
  operationOf,
  type Requested,
  type Result,
} from "./operations/operations.ts";
import { checkCall } from "../core/call_options.ts";
import type { SecretBytes } from "../core/secret_bytes.ts";

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
   * @param options `region` and `credentials`; the rest is right for an enclave. Outside of one, `recipient: "none"`
   *   opens a client that encrypts
   * @returns The client; dispose it with `await using`
   * @throws {TypeError} When an option is missing, unknown or of a wrong type
   * @throws {RangeError} When an option is out of range
   * @throws {LibraryLoadError} When the engine needs a library that does not load
   * @throws {AttestationError} When engine `direct` finds no NSM
   * @throws {CertificateError} When there are no certificate authorities to trust KMS by
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
   * Milliseconds that KMS's clock is ahead of this machine's; below zero if this machine's is ahead. It is measured
   * to a second, by the Date header, when KMS refuses a signature for its time; the request is then signed once more,
   * and later ones by KMS's clock. Zero until then, and always on engine `sdk-client`; more than a day is not
   * corrected.
   */
  get clockOffsetMs(): number {
    return this.#engine.clockOffsetMs;
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
  decrypt(request: DecryptRequest): Promise<SecretBytes> {
    return this.#run("decrypt", request);
  }

  /**
   * Encrypts up to 4096 bytes. Nothing about it is attested: the key policy must let this role encrypt. For more
   * data, or many pieces of it, see {@link KmsClient.generateDataKey}.
   *
   * @param request The plaintext and the key
   * @returns The ciphertext and the key's ARN
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   * @example
   * ```ts
   * import { KmsClient } from "enclave-kms";
   * import { startSimulator } from "enclave-kms/sim";
   *
   * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
   * const { keyId } = await enclave.createKey();
   * await using client = await KmsClient.open(enclave.clientOptions);
   *
   * const plaintext = crypto.getRandomValues(new Uint8Array(32));
   * const { ciphertext } = await client.encrypt({ keyId, plaintext, encryptionContext: { tenant: "a" } });
   * ciphertext.length > 32; // true
   * ```
   */
  encrypt(request: EncryptRequest): Promise<Encrypted> {
    return this.#run("encrypt", request);
  }

  /**
   * Has KMS make a data key: in clear for this enclave only, and encrypted under the KMS key to be kept beside
   * the data.
   *
   * @param request The KMS key, and how long the data key is to be
   * @returns The data key; dispose it with `using`
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   * @throws {UnsupportedOperationError} When engine `sdk-client` cannot do what the request asks
   * @example
   * ```ts
   * import { KmsClient } from "enclave-kms";
   * import { startSimulator } from "enclave-kms/sim";
   *
   * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
   * const { keyId } = await enclave.createKey();
   * await using client = await KmsClient.open(enclave.clientOptions);
   *
   * using dataKey = await client.generateDataKey({ keyId });
   * dataKey.plaintext.length; // 32
   * using again = await client.decrypt({ ciphertext: dataKey.ciphertext, keyId });
   * again.length; // 32
   * ```
   */
  generateDataKey(request: GenerateDataKeyRequest): Promise<DataKey> {
    return this.#run("generateDataKey", request);
  }

  /**
   * Has KMS make a key pair: the private key in clear for this enclave only, and encrypted under the KMS key.
   *
   * @param request The KMS key, and what kind of key pair
   * @returns The key pair; dispose it with `using`
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   * @throws {UnsupportedOperationError} On engine `sdk-client`
   */
  generateDataKeyPair(request: GenerateDataKeyPairRequest): Promise<DataKeyPair> {
    return this.#run("generateDataKeyPair", request);
  }

  /**
   * Random bytes from KMS's hardware security modules, readable by this enclave only.
   *
   * @param request Number of bytes, 1 to 1024
   * @returns The bytes; dispose them with `using`
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   */
  generateRandom(request: GenerateRandomRequest): Promise<SecretBytes> {
    return this.#run("generateRandom", request);
  }

  /**
   * The shared secret of an elliptic curve key in KMS and a peer's public key (ECDH): the raw x coordinate, 32 to
   * 66 bytes. Put it through a key derivation function before use.
   *
   * @param request The key in KMS, and the peer's public key
   * @returns The shared secret; dispose it with `using`
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   * @throws {UnsupportedOperationError} On engine `sdk-client`
   */
  deriveSharedSecret(request: DeriveSharedSecretRequest): Promise<SecretBytes> {
    return this.#run("deriveSharedSecret", request);
  }

  /**
   * Asks KMS whether it would do an operation, with this enclave's attestation document: key policy, grants,
   * state and usage of the key, and the ciphertext are checked, and nothing is done.
   *
   * @param operation The method that the request is for
   * @param request Request of that method
   * @throws {KmsError} When KMS would refuse, and the other errors of the method
   * @throws {UnsupportedOperationError} On engine `sdk-client`
   * @example
   * ```ts
   * import { KmsClient } from "enclave-kms";
   * import { startSimulator } from "enclave-kms/sim";
   *
   * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
   * const { keyId } = await enclave.createKey();
   * await using client = await KmsClient.open(enclave.clientOptions);
   *
   * await client.dryRun("generateDataKey", { keyId }); // throws a KmsError if it would not
   * ```
   */
  async dryRun<Name extends keyof DryRunRequests>(
    operation: Name,
    request: DryRunRequests[Name],
  ): Promise<void> {
    const name = checkDryRunName(operation) as Name;
    const { what } = operationOf(name);
    await expectWillingness(what, this.#run(name, request as Requested<Name>, asDryRun));
  }

  /** Ends the connections, destroys the key pair and wipes the credentials. Closing twice is harmless. */
  close(): Promise<void> {
    return this.#closing ??= Promise.resolve(this.#engine[Symbol.asyncDispose]());
  }

  /** The same as {@link KmsClient.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #run<K extends OperationName>(
    name: K,
    request: Requested<K>,
    change: (checked: Checked<K>) => Checked<K> = (checked) => checked,
  ): Promise<Result<K>> {
    if (this.#closing !== undefined) throw new DisposedError("KmsClient");
    const operation = operationOf(name);
    const checked = operation.check(request);
    try {
      const { signal, timeoutMs } = checkCall(request, this.#timeoutMs);
      using deadline = new Deadline(operation.what, timeoutMs, signal);
      deadline.throwIfPassed();
      return await this.#engine.run(name, change(checked), { deadline });
    } finally {
      operation.release?.(checked);
    }
  }
}
