import { isIPv6 } from "node:net";
import type { OwnedCredentials } from "../../aws/credentials.ts";
import type { CredentialsSource } from "../../aws/credentials_source.ts";
import type { Endpoint } from "../../core/endpoint.ts";
import { DisposedError, UnsupportedOperationError } from "../../core/errors.ts";
import type { SocketDomain } from "../../native/sdk_client.ts";
import type { SdkLibrary } from "../../native/sdk_library.ts";
import { TrustStore } from "../../native/trust_store.ts";
import type { KmsCall, KmsEngine } from "../engine.ts";
import type { CheckedKeyRequest } from "../operations/key_request.ts";
import { type Checked, type OperationName, operationOf, type Result } from "../operations/operations.ts";
import type { SdkClientSetup, SdkClientTask } from "./sdk_client_job.ts";
import {
  copy,
  encode,
  encodeOptional,
  NOTHING,
  SDK_CLIENT_TASKS,
  type SdkClientTasks,
  type TaskResults,
  unsupported,
} from "./sdk_client_tasks.ts";
import { runOnClientThread } from "./sdk_client_thread.ts";

/** C does not say that KMS refused expired credentials, so fresher ones are waited for, in milliseconds. */
const FRESHER_CREDENTIALS_MS = 2000;

/** Parts of the engine; it owns the library and the credentials from then on. */
export interface SdkClientEngineOptions {
  readonly library: SdkLibrary;
  readonly credentials: CredentialsSource;
  readonly region: string;
  readonly endpoint: Endpoint;
  /** Host name, where it differs from `kms.<region>.amazonaws.com`. */
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
  /** C does not show KMS's answers. */
  readonly kmsTimeMs: undefined;
  readonly #options: SdkClientEngineOptions;
  #disposed = false;

  /** @param options Parts of the engine */
  constructor(options: SdkClientEngineOptions) {
    this.#options = options;
  }

  /** Does nothing: see {@link SdkClientEngine.kmsTimeMs}. */
  askTime(): Promise<void> {
    return Promise.resolve();
  }

  /** Does nothing: the C SDK asks for a document each time. */
  forgetDocuments(): void {}

  /** See {@link KmsEngine.run}. Grant tokens and dry runs are refused for all operations. */
  async run<K extends OperationName>(name: K, checked: Checked<K>, call: KmsCall): Promise<Result<K>> {
    const task: SdkClientTasks[K] = SDK_CLIENT_TASKS[name];
    const { what } = operationOf(name);
    const { dryRun, grantTokens } = checked as Partial<CheckedKeyRequest>;
    if (dryRun === true) throw noDryRun(what);
    if (task === undefined) throw unsupported(what);
    if (grantTokens !== undefined) throw unsupported(`${what} with grant tokens`);
    return await task(checked, (makeTask) => this.#runTask(call, makeTask));
  }

  async #runTask(
    { deadline, credentials: lender = this.#options.credentials }: KmsCall,
    makeTask: () => SdkClientTask,
  ): Promise<TaskResults> {
    if (this.#disposed) throw new DisposedError("KmsClient");
    const library = this.#options.library.share();
    let trustStore: TrustStore | undefined;
    const release = () => {
      using _library = library;
      using _trustStore = trustStore;
    };
    deadline.stage = "credentials";
    const getting = lender.get(deadline, undefined, FRESHER_CREDENTIALS_MS);
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
      return await runOnClientThread(makeJob, deadline, release) as TaskResults;
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

function noDryRun(what: string): UnsupportedOperationError {
  return new UnsupportedOperationError(`Cannot try to ${what}: the C SDK's client has no dry run`, {
    hint: "Use engine direct or sdk",
  });
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
