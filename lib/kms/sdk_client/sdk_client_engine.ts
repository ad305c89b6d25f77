import { isIPv6 } from "node:net";
import type { OwnedCredentials } from "../../aws/credentials.ts";
import type { CredentialsSource } from "../../aws/credentials_source.ts";
import { DataKey } from "../data_key.ts";
import type { Deadline } from "../../core/deadline.ts";
import type { Endpoint } from "../../core/endpoint.ts";
import { DisposedError, UnsupportedOperationError } from "../../core/errors.ts";
import type { SocketDomain } from "../../native/sdk_client.ts";
import type { SdkLibrary } from "../../native/sdk_library.ts";
import { TrustStore } from "../../native/trust_store.ts";
import { allocateOffHeap, SecretBytes } from "../../core/secret_bytes.ts";
import type {
  CheckedDataKeyRequest,
  CheckedDecryptRequest,
  CheckedEncryptRequest,
  CheckedOptionsOfRequest,
  CheckedRandomRequest,
  Encrypted,
} from "../checked_request.ts";
import type { KmsEngine } from "../engine.ts";
import type { SdkClientSetup, SdkClientTask } from "./sdk_client_job.ts";
import { runOnClientThread } from "./sdk_client_thread.ts";

/** What a task fills: every one fills something, the secret first. */
type Results = readonly [Uint8Array<ArrayBuffer>, ...Uint8Array<ArrayBuffer>[]];

/** C does not say that KMS refused expired credentials, so fresher ones are waited for, in milliseconds. */
const FRESHER_CREDENTIALS_MS = 2000;

const NOTHING = new Uint8Array(new ArrayBuffer(0));

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
 * The C SDK's own client, call for call as kmstool uses it: a new client for every call, destroyed
 * right after it, one at a time in the process, on one thread, under a deadline.
 *
 * Not guaranteed: that the process survives it. The C client may crash its host when KMS or the proxy
 * misbehaves, and says of no failure what it was. Nor that there is one client in the process when several
 * of its JavaScript threads use this engine, or when a worker is ended in the middle of a call: C's client
 * may stay behind, and another one beside it may crash the process. Use it from one thread only.
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
    refuseGrantTokens("decrypt", request);
    const { ciphertext, keyId, encryptionAlgorithm, encryptionContext } = request;
    const [plaintext] = await this.#run(deadline, () => ({
      operation: "decrypt",
      ciphertext: copy(ciphertext),
      keyId: encodeOptional(keyId),
      encryptionAlgorithm: encodeOptional(encryptionAlgorithm),
      encryptionContext: encodeContext(encryptionContext),
    }));
    return new SecretBytes(plaintext);
  }

  /** See {@link KmsEngine.encrypt}. C takes no algorithm: symmetric keys only. */
  async encrypt(request: CheckedEncryptRequest, deadline: Deadline): Promise<Encrypted> {
    refuseGrantTokens("encrypt", request);
    const { plaintext, keyId, encryptionAlgorithm, encryptionContext } = request;
    if (encryptionAlgorithm !== "SYMMETRIC_DEFAULT") throw unsupported("encrypt under an asymmetric key");
    const [ciphertext] = await this.#run(deadline, () => ({
      operation: "encrypt",
      plaintext: copy(plaintext.bytes),
      keyId: encode(keyId),
      encryptionContext: encodeContext(encryptionContext),
    }));
    return { ciphertext, keyId };
  }

  /** See {@link KmsEngine.generateDataKey}. C takes no encryption context and no other length. */
  async generateDataKey(request: CheckedDataKeyRequest, deadline: Deadline): Promise<DataKey> {
    refuseGrantTokens("generate a data key", request);
    const { keyId, length, encryptionContext } = request;
    if (encryptionContext !== undefined) throw unsupported("generate a data key with an encryption context");
    if (typeof length === "number") throw unsupported("generate a data key by numberOfBytes");
    const [plaintext, ciphertext] = await this.#run(deadline, () => ({
      operation: "generateDataKey",
      keyId: encode(keyId),
      keySpec: length,
    }));
    return new DataKey({ plaintext: new SecretBytes(plaintext), ciphertext: ciphertext ?? NOTHING, keyId });
  }

  /** See {@link KmsEngine.generateRandom}. */
  async generateRandom({ numberOfBytes }: CheckedRandomRequest, deadline: Deadline): Promise<SecretBytes> {
    const [random] = await this.#run(deadline, () => ({ operation: "generateRandom", numberOfBytes }));
    return new SecretBytes(random);
  }

  /** Always refused. See {@link KmsEngine.generateDataKeyPair}. */
  generateDataKeyPair(): Promise<never> {
    return Promise.reject(unsupported("generate a data key pair"));
  }

  /** Always refused. See {@link KmsEngine.deriveSharedSecret}. */
  deriveSharedSecret(): Promise<never> {
    return Promise.reject(unsupported("derive a shared secret"));
  }

  async #run(deadline: Deadline, makeTask: () => SdkClientTask): Promise<Results> {
    if (this.#disposed) throw new DisposedError("KmsClient");
    const library = this.#options.library.share();
    let trustStore: TrustStore | undefined;
    const release = () => {
      using _library = library;
      using _trustStore = trustStore;
    };
    deadline.stage = "credentials";
    const getting = this.#options.credentials.get(deadline, undefined, FRESHER_CREDENTIALS_MS);
    const credentials = await getting.catch((error) => {
      release();
      throw error;
    });
    const makeJob = () => {
      using owned = credentials;
      trustStore = trust(this.#options.trustedCertificates);
      return { ...setup(this.#options, library, owned), ...makeTask() };
    };
    try {
      return await runOnClientThread(makeJob, deadline, release) as Results;
    } finally {
      credentials[Symbol.dispose]();
    }
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

function refuseGrantTokens(what: string, { grantTokens }: CheckedOptionsOfRequest): void {
  if (grantTokens !== undefined) throw unsupported(`${what} with grant tokens`);
}

function unsupported(what: string): UnsupportedOperationError {
  return new UnsupportedOperationError(
    `Cannot ${what} on engine sdk-client: the C client has no call for it`,
    {
      hint: "Use engine direct or sdk",
    },
  );
}

function trust(pem: string | undefined): TrustStore | undefined {
  return pem === undefined ? undefined : new TrustStore(pem);
}

function setup(
  options: SdkClientEngineOptions,
  library: SdkLibrary,
  credentials: OwnedCredentials,
): SdkClientSetup {
  return {
    library: library.path,
    ...address(options.endpoint),
    region: encode(options.region),
    hostName: encodeOptional(options.hostName),
    accessKeyId: encode(credentials.accessKeyId),
    secretAccessKey: copy(credentials.secretAccessKey.bytes),
    sessionToken: copy(credentials.sessionToken?.bytes ?? NOTHING),
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

function encodeOptional(text: string | undefined): Uint8Array<ArrayBuffer> | undefined {
  return text === undefined ? undefined : encode(text);
}

function encodeContext(context: Readonly<Record<string, string>> | undefined) {
  return context === undefined ? undefined : encode(JSON.stringify(context));
}
