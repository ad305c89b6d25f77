import { isIPv6 } from "node:net";
import type { OwnedCredentials } from "../credentials.ts";
import type { CredentialsSource } from "../credentials_source.ts";
import type { Deadline } from "../deadline.ts";
import type { Endpoint } from "../endpoint.ts";
import { DisposedError, UnsupportedOperationError } from "../errors.ts";
import type { SocketDomain } from "../native/sdk_client.ts";
import type { SdkLibrary } from "../native/sdk_library.ts";
import { TrustStore } from "../native/trust_store.ts";
import { allocateOffHeap, SecretBytes } from "../secret_bytes.ts";
import type { CheckedDecryptRequest, KmsEngine } from "./engine.ts";
import type { SdkClientJob } from "./sdk_client_job.ts";
import { runOnClientThread } from "./sdk_client_thread.ts";

/** What the engine is made of; it owns the library and the credentials from then on. */
export interface SdkClientEngineOptions {
  readonly library: SdkLibrary;
  readonly credentials: CredentialsSource;
  readonly region: string;
  readonly endpoint: Endpoint;
  /** Where it differs from `kms.<region>.amazonaws.com`. */
  readonly hostName: string | undefined;
  /** PEM; the system's bundle otherwise. */
  readonly trustedCertificates: string | undefined;
}

/**
 * The C SDK's own client, call for call as kmstool uses it: a new client for every decrypt, destroyed
 * right after it, one at a time in the process, on one thread, under a deadline.
 *
 * Not guaranteed: that the process survives it. The C client may crash its host when KMS or the proxy
 * misbehaves, and says of no failure what it was.
 */
export class SdkClientEngine implements KmsEngine {
  readonly name = "sdk-client";
  /** C signs by the system's clock, and does not say that a signature was refused for its time. */
  readonly clockOffsetMs = 0;
  readonly #options: SdkClientEngineOptions;
  #disposed = false;

  /** @param options What it is made of */
  constructor(options: SdkClientEngineOptions) {
    this.#options = options;
  }

  /** See {@link KmsEngine.decrypt}. */
  async decrypt(request: CheckedDecryptRequest, deadline: Deadline): Promise<SecretBytes> {
    if (this.#disposed) throw new DisposedError("KmsClient");
    if (request.grantTokens !== undefined) throw unsupported("decrypt with grant tokens");
    const library = this.#options.library.share();
    let trustStore: TrustStore | undefined;
    const release = () => {
      using _library = library;
      using _trustStore = trustStore;
    };
    const credentials = await this.#options.credentials.get(deadline).catch((error) => {
      release();
      throw error;
    });
    const makeJob = () => {
      using owned = credentials;
      trustStore = trust(this.#options.trustedCertificates);
      return toJob(this.#options, library, owned, request);
    };
    try {
      return new SecretBytes(await runOnClientThread(makeJob, deadline, release));
    } finally {
      credentials[Symbol.dispose]();
    }
  }

  // kmstool's other calls exist in C, too; this engine is for comparing, so decrypting is all it does.

  /** Always refused. See {@link KmsEngine.encrypt}. */
  encrypt(): Promise<never> {
    return Promise.reject(unsupported("encrypt"));
  }

  /** Always refused. See {@link KmsEngine.generateDataKey}. */
  generateDataKey(): Promise<never> {
    return Promise.reject(unsupported("generate a data key"));
  }

  /** Always refused. See {@link KmsEngine.generateRandom}. */
  generateRandom(): Promise<never> {
    return Promise.reject(unsupported("generate random bytes"));
  }

  /** Always refused. See {@link KmsEngine.generateDataKeyPair}. */
  generateDataKeyPair(): Promise<never> {
    return Promise.reject(unsupported("generate a data key pair"));
  }

  /** Always refused. See {@link KmsEngine.deriveSharedSecret}. */
  deriveSharedSecret(): Promise<never> {
    return Promise.reject(unsupported("derive a shared secret"));
  }

  /** Wipes the credentials and leaves the library, once C no longer uses it. */
  [Symbol.asyncDispose](): Promise<void> {
    if (!this.#disposed) {
      this.#disposed = true;
      using _library = this.#options.library;
      using _credentials = this.#options.credentials;
    }
    return Promise.resolve();
  }
}

function unsupported(what: string): UnsupportedOperationError {
  return new UnsupportedOperationError(`Cannot ${what} on engine sdk-client: it only decrypts`, {
    hint: "Use engine direct or sdk",
  });
}

function trust(pem: string | undefined): TrustStore | undefined {
  return pem === undefined ? undefined : new TrustStore(pem);
}

function toJob(
  options: SdkClientEngineOptions,
  library: SdkLibrary,
  credentials: OwnedCredentials,
  request: CheckedDecryptRequest,
): SdkClientJob {
  const { keyId, encryptionAlgorithm, encryptionContext } = request;
  return {
    library: library.path,
    ...address(options.endpoint),
    region: encode(options.region),
    hostName: options.hostName === undefined ? undefined : encode(options.hostName),
    accessKeyId: encode(credentials.accessKeyId),
    secretAccessKey: copy(credentials.secretAccessKey.bytes),
    sessionToken: copy(credentials.sessionToken?.bytes ?? new Uint8Array(0)),
    ciphertext: copy(request.ciphertext),
    keyId: keyId === undefined ? undefined : encode(keyId),
    encryptionAlgorithm: encryptionAlgorithm === undefined ? undefined : encode(encryptionAlgorithm),
    encryptionContext: encryptionContext === undefined
      ? undefined
      : encode(JSON.stringify(encryptionContext)),
  };
}

function address(endpoint: Endpoint): { address: string; port: number; domain: SocketDomain } {
  switch (endpoint.transport) {
    case "vsock":
      return { address: String(endpoint.cid), port: endpoint.port, domain: "VSOCK" };
    case "tcp":
      return { address: endpoint.host, port: endpoint.port, domain: isIPv6(endpoint.host) ? "IPV6" : "IPV4" };
    case "unix":
      return { address: endpoint.path, port: 0, domain: "LOCAL" };
  }
}

function copy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const own = allocateOffHeap(bytes.length);
  own.set(bytes);
  return own;
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return copy(new TextEncoder().encode(text));
}
