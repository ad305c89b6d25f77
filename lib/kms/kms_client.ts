import { Deadline } from "../core/deadline.ts";
import type { EngineName } from "./engine.ts";
import { KmsCalls } from "./kms_calls.ts";
import { KmsMethods } from "./kms_methods.ts";
import { checkOptions, type KmsClientOptions } from "./kms_options.ts";
import { openEngine } from "./open_engine.ts";
import { asDryRun, checkDryRunName, type DryRunRequests, expectWillingness } from "./operations/dry_run.ts";
import { keyPairCrypto, type RuntimeCrypto } from "./runtime_crypto.ts";
import { operationOf, type Requested } from "./operations/operations.ts";

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
 * using secret = await client.decrypt({ ciphertext, keyId, timeoutMs: 5000 });
 * secret.bytes.length; // 5
 * ```
 */
export class KmsClient extends KmsMethods implements AsyncDisposable {
  readonly #calls: KmsCalls;
  readonly #crypto: RuntimeCrypto;

  private constructor(calls: KmsCalls, crypto: RuntimeCrypto) {
    super((name, request) => calls.run(name, request));
    this.#calls = calls;
    this.#crypto = crypto;
  }

  /**
   * Makes the key pair (but engine `sdk-client`, which makes one for each call) and checks that there is an NSM or a
   * C SDK. It does not speak to KMS yet.
   *
   * @param options `region` and `credentials`; the rest is right for an enclave. Outside of one, `recipient: "none"`
   *   opens a client that does what is not attested
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
    const calls = new KmsCalls(await openEngine(checked, deadline), checked.timeoutMs);
    return new KmsClient(calls, keyPairCrypto(calls.engine.name, checked.libcryptoPath));
  }

  /** The engine in use: what `auto` came to. */
  get engine(): EngineName {
    return this.#calls.engine.name;
  }

  /**
   * The library that has this client's key pair, with which secrets from KMS are opened: on engine `direct` OpenSSL 3
   * where it may be called, and the runtime's `node:crypto` otherwise; on `sdk` and `sdk-client` the C SDK's own AWS-LC.
   * It may sign requests by another: by the OpenSSL of the process where there is one.
   *
   * @example
   * ```ts
   * import { KmsClient } from "enclave-kms";
   * import { startSimulator } from "enclave-kms/sim";
   *
   * await using enclave = await startSimulator(); // in an enclave: { region, credentials }
   * await using client = await KmsClient.open(enclave.clientOptions);
   *
   * const { provider, version, origin, reason } = client.crypto;
   * if (provider === "node:crypto") console.warn(`Not in OpenSSL: ${reason}`);
   * ```
   */
  get crypto(): RuntimeCrypto {
    return this.#crypto;
  }

  /**
   * Milliseconds that KMS's clock is ahead of this machine's; below zero if this machine's is ahead. It is measured
   * to a second, by the Date header, when KMS refuses a signature for its time; the request is then signed once more,
   * and later ones by KMS's clock. Zero until then, and always on engine `sdk-client`; more than a day is not
   * corrected.
   */
  get clockOffsetMs(): number {
    return this.#calls.engine.clockOffsetMs;
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
    await expectWillingness(what, this.#calls.run(name, request as Requested<Name>, asDryRun));
  }

  /** Ends the connections, destroys the key pair and wipes the credentials. Closing twice is harmless. */
  close(): Promise<void> {
    return this.#calls.close();
  }

  /** The same as {@link KmsClient.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
