import { randomUUID } from "node:crypto";
import type { HttpRequest } from "./http_message.ts";
import { FaultQueue, type FaultTimes } from "./fault_queue.ts";
import { authenticate } from "./kms_auth.ts";
import { CredentialStore, type SimulatedCredentials } from "./kms_credentials.ts";
import { deliveryOf, jsonAnswer, refusalOf } from "./kms_delivery.ts";
import { KmsRefusal } from "./kms_errors.ts";
import { faultScope, type KmsFault } from "./kms_faults.ts";
import { KmsInput } from "./kms_input.ts";
import { type CreateKeyOptions, KeyStore, type SimulatedKey } from "./kms_keys.ts";
import { type KmsOutput, OPERATIONS } from "./kms_operations.ts";
import { RecipientReader } from "./kms_recipient.ts";
import { type ReleaseOptions, Releaser } from "./kms_release.ts";
import type { ServerCertificate, TlsAuthority } from "./tls_certificates.ts";
import { type Delivery, type ListenAddress, TlsServer } from "./tls_server.ts";

/** How the simulated KMS is set up. */
export interface SimulatedKmsOptions extends ReleaseOptions {
  /** Such as `us-east-1`. */
  readonly region: string;
  /** Whose TLS certificates it shows. */
  readonly tls: TlsAuthority;
  /** The root certificate that attestation documents have to descend from, DER. */
  readonly attestationRoot: Uint8Array;
  /** The clock, milliseconds since 1970. Default: `Date.now`. */
  readonly now?: (() => number) | undefined;
}

/** One request as the simulated KMS saw it. Holds no secret. */
export interface LoggedRequest {
  /** Such as `Decrypt`; empty when there was none. */
  readonly operation: string;
  /** The ARN of the key that was used, once it was found. */
  readonly keyArn: string | undefined;
  /** The `x-amzn-requestid` of the answer. */
  readonly requestId: string;
  /** The exception it was refused with. */
  readonly refusedWith: string | undefined;
  /** The fault that struck it. */
  readonly fault: string | undefined;
}

/**
 * KMS over TLS: verifies signatures and attestation documents, encrypts and decrypts, and fails on demand.
 *
 * @example
 * ```ts
 * import { kmsDecrypt } from "enclave-kms";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator();
 * const { keyId } = await enclave.createKey();
 * const ciphertext = await enclave.encrypt({ keyId, plaintext: "hello" });
 * await enclave.kms.injectFault({ kind: "throttled" }, { times: 2 });
 *
 * using plaintext = await kmsDecrypt({ ...enclave.clientOptions, ciphertext });
 * plaintext.length; // 5
 * enclave.kms.requests.length; // 3
 * ```
 */
export class SimulatedKms implements AsyncDisposable {
  /** The region. */
  readonly region: string;
  readonly #keys: KeyStore;
  readonly #credentials: CredentialStore;
  readonly #recipients: RecipientReader;
  readonly #releaser: Releaser;
  readonly #tls: TlsAuthority;
  readonly #now: () => number;
  readonly #faults = new FaultQueue<KmsFault>();
  readonly #requests: LoggedRequest[] = [];
  readonly #addresses: ListenAddress[] = [];
  #servers: TlsServer[] = [];
  #requestCount = 0;
  #pastConnections = 0;

  /**
   * Sets KMS up; it listens nowhere yet.
   *
   * @param options Region, certificates, clock and the form of answers
   */
  constructor(options: SimulatedKmsOptions) {
    const { region, tls, attestationRoot, now = Date.now } = options;
    this.region = region;
    this.#tls = tls;
    this.#now = now;
    this.#keys = new KeyStore(region);
    this.#credentials = new CredentialStore(now);
    this.#recipients = new RecipientReader(attestationRoot, now);
    this.#releaser = new Releaser(options);
  }

  /** The last requests that were read whole, in order; the oldest go once there are {@link MAX_LOGGED_REQUESTS}. */
  get requests(): readonly LoggedRequest[] {
    return this.#requests;
  }

  /** How many requests have been read whole. */
  get requestCount(): number {
    return this.#requestCount;
  }

  /** How many connections it has accepted. */
  get connectionCount(): number {
    return this.#servers.reduce(
      (total, { connectionCount }) => total + connectionCount,
      this.#pastConnections,
    );
  }

  /**
   * Listens, at this address as well.
   *
   * @param address Where to; TCP port 0 takes a free one
   * @returns Where it listens
   */
  async listen(address: ListenAddress): Promise<ListenAddress> {
    const bound = await this.#open(address);
    this.#addresses.push(bound);
    return bound;
  }

  /**
   * Makes a key.
   *
   * @param options Kind, alias, policy and state
   */
  createKey(options: CreateKeyOptions = {}): Promise<SimulatedKey> {
    return this.#keys.create(options);
  }

  /**
   * Hands out credentials that this KMS accepts.
   *
   * @param options How long they live, in milliseconds. Default: an hour
   */
  issueCredentials(options: { readonly lifetimeMs?: number } = {}): SimulatedCredentials {
    return this.#credentials.issue(options.lifetimeMs);
  }

  /**
   * Lets credentials expire at once.
   *
   * @param credentials Which
   */
  expireCredentials(credentials: Pick<SimulatedCredentials, "accessKeyId">): void {
    this.#credentials.expire(credentials);
  }

  /**
   * Runs an operation without the network and without a signature.
   *
   * @param operation Such as `Encrypt`
   * @param members Of the request, as KMS's JSON has them
   * @returns The members of the answer
   * @throws {KmsRefusal} When KMS would refuse
   */
  call(operation: string, members: Readonly<Record<string, unknown>>): Promise<KmsOutput> {
    return this.#run(operation, new KmsInput(members), undefined, () => {});
  }

  /**
   * Makes KMS misbehave. Of several faults the last injected strikes first.
   *
   * @param fault What to do
   * @param options For how many requests (or connections). Default: until {@link clearFaults}
   * @throws {RangeError} When `times` is not a whole number above 0
   */
  async injectFault(fault: KmsFault, options: FaultTimes = {}): Promise<void> {
    if (faultScope(fault) === "listener") return await this.#closeServers();
    this.#faults.add(fault, options);
  }

  /** Ends all faults; listens again where it had stopped. */
  async clearFaults(): Promise<void> {
    this.#faults.clear();
    if (this.#servers.length === 0) await Promise.all(this.#addresses.map((address) => this.#open(address)));
  }

  /** Stops listening and breaks all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#addresses.length = 0;
    await this.#closeServers();
  }

  async #open(address: ListenAddress): Promise<ListenAddress> {
    const server = new TlsServer({
      certificate: () => this.#certificate(),
      answer: (request) => this.#answer(request),
    });
    const bound = await server.listen(address);
    this.#servers.push(server);
    return bound;
  }

  async #closeServers(): Promise<void> {
    this.#pastConnections = this.connectionCount;
    const servers = this.#servers;
    this.#servers = [];
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  }

  async #certificate(): Promise<ServerCertificate | "silence"> {
    const fault = this.#faults.take((candidate) => faultScope(candidate) === "connection");
    if (fault?.kind === "tlsSilence") return "silence";
    return await this.#tls.certificate(fault?.kind === "certificate" ? fault.certificate : "valid");
  }

  async #answer(request: HttpRequest): Promise<Delivery> {
    const requestId = randomUUID();
    const fault = this.#faults.take((candidate) => faultScope(candidate) === "request");
    if (fault?.kind === "latency") await new Promise((resolve) => setTimeout(resolve, fault.ms));
    const operation = request.headers.get("x-amz-target")?.replace(/^TrentService\./, "") ?? "";
    let keyArn: string | undefined;
    const output = await this.#authenticatedOutput(
      operation,
      request,
      fault,
      ({ arn }) => void (keyArn = arn),
    );
    const refusedWith = output instanceof KmsRefusal ? output.kmsCode : undefined;
    this.#log({ operation, keyArn, requestId, refusedWith, fault: fault?.kind });
    if (fault?.kind === "hang") await new Promise<never>(() => {});
    const stamp = { requestId, now: this.#now() };
    return deliveryOf(jsonAnswer(output, stamp), fault, stamp);
  }

  async #authenticatedOutput(
    operation: string,
    request: HttpRequest,
    fault: KmsFault | undefined,
    noteKey: (key: SimulatedKey) => void,
  ): Promise<KmsOutput | KmsRefusal> {
    try {
      if (request.method !== "POST" || request.target !== "/" || !Object.hasOwn(OPERATIONS, operation)) {
        throw new KmsRefusal("UnknownOperationException");
      }
      authenticate(request, { credentials: this.#credentials, region: this.region, now: this.#now });
      const refusal = refusalOf(fault);
      if (refusal !== undefined) throw refusal;
      return await this.#run(operation, KmsInput.parse(request.body), fault, noteKey);
    } catch (error) {
      return error instanceof KmsRefusal ? error : new KmsRefusal("KMSInternalException", String(error));
    }
  }

  async #run(
    name: string,
    input: KmsInput,
    fault: KmsFault | undefined,
    noteKey: (key: SimulatedKey) => void,
  ): Promise<KmsOutput> {
    const operation = Object.hasOwn(OPERATIONS, name) ? OPERATIONS[name] : undefined;
    if (operation === undefined) throw new KmsRefusal("UnknownOperationException");
    const output = await operation({
      keys: this.#keys,
      recipients: this.#recipients,
      release: (member, secret, recipient) => this.#releaser.release(member, secret, recipient, fault),
      noteKey,
    }, input);
    return fault?.kind === "wrongKeyId"
      ? { ...output, KeyId: `${String(output["KeyId"]).slice(0, -36)}${randomUUID()}` }
      : output;
  }

  #log(request: LoggedRequest): void {
    this.#requestCount++;
    this.#requests.push(request);
    if (this.#requests.length > MAX_LOGGED_REQUESTS) this.#requests.shift();
  }
}

/** How many requests are kept in the log. */
export const MAX_LOGGED_REQUESTS = 1000;
