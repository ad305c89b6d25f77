import { checkFields } from "../../lib/core/checks.ts";
import { SimulatedClock } from "../clock.ts";
import { checkFault, type FaultTimes } from "../fault_queue.ts";
import { choosePort } from "../free_port.ts";
import type { SimulatedCredentials } from "./kms_credentials.ts";
import { faultScope, KMS_FAULTS, type KmsFault } from "./kms_faults.ts";
import type { CreateGrantOptions, SimulatedGrant } from "./kms_grants.ts";
import { KmsInput } from "./kms_input.ts";
import type { KmsOutput } from "./keys/key_use.ts";
import type { CreateKeyOptions, SimulatedKey } from "./keys/simulated_key.ts";
import type { KeyPolicy } from "./policy/key_policy.ts";
import { checkPolicy } from "./policy/check_policy.ts";
import type { ReleaseOptions } from "./kms_release.ts";
import { KmsService, type LoggedRequest, type Tampering } from "./kms_service.ts";
import type { ServerCertificate, TlsAuthority } from "../tls/tls_certificates.ts";
import { type ListenAddress, TlsServer } from "../tls/tls_server.ts";

/** Options of the simulated KMS. */
export interface SimulatedKmsOptions extends ReleaseOptions {
  /** Region, such as `us-east-1`. */
  readonly region: string;
  /** Authority that issues its TLS certificates. */
  readonly tls: TlsAuthority;
  /** Root certificate that attestation documents must descend from, DER. */
  readonly attestationRoot: Uint8Array;
  /** The clock, milliseconds since 1970, or one that can be moved. Default: `Date.now`. */
  readonly now?: (() => number) | SimulatedClock | undefined;
}

const OPTIONS = [
  ...["region", "tls", "attestationRoot", "now", "envelopeShape", "plaintextBesideEnvelope"],
];

/**
 * KMS over TLS: verifies signatures and attestation documents, knows every operation that an enclave can
 * attest, Encrypt, signatures and message authentication codes, and fails on demand.
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
  readonly #service: KmsService;
  readonly #tls: TlsAuthority;
  readonly #addresses: { readonly address: ListenAddress; readonly tls: boolean }[] = [];
  #servers: TlsServer[] = [];
  #pastConnections = 0;

  /**
   * Sets KMS up; it listens nowhere yet.
   *
   * @param options Region, certificates, clock and the form of answers
   */
  constructor(options: SimulatedKmsOptions) {
    const { region, tls, now, ...others } = checkFields("options of SimulatedKms", options, OPTIONS);
    this.region = region;
    this.#tls = tls;
    const clock = now instanceof SimulatedClock ? now : new SimulatedClock(now);
    this.#service = new KmsService({ ...others, region, clock });
  }

  /** The last requests that were read whole, in order; the oldest go once there are 1000. */
  get requests(): readonly LoggedRequest[] {
    return this.#service.requests;
  }

  /** Number of requests read whole. */
  get requestCount(): number {
    return this.#service.requestCount;
  }

  /** Number of connections accepted. */
  get connectionCount(): number {
    return this.#servers.reduce(
      (total, { connectionCount }) => total + connectionCount,
      this.#pastConnections,
    );
  }

  /**
   * Listens, at this address as well.
   *
   * @param address The address; TCP port 0 takes a free one
   * @param options `tls`: whether it speaks TLS there; without it anybody on the way reads along. Default: true
   * @returns The address with the port that was taken
   */
  async listen(
    address: ListenAddress,
    { tls = true }: { readonly tls?: boolean } = {},
  ): Promise<ListenAddress> {
    const isAny = address.transport === "tcp" && address.port === 0;
    // It may go away and come back.
    const wanted = isAny ? { ...address, port: await choosePort(address.host) } : address;
    const bound = await this.#open(wanted, tls);
    this.#addresses.push({ address: bound, tls });
    return bound;
  }

  /**
   * Makes a key.
   *
   * @param options Kind, alias, policy and state
   */
  createKey(options: CreateKeyOptions = {}): Promise<SimulatedKey> {
    return this.#service.keys.create(options);
  }

  /**
   * Permits operations beside a key's policy, even where the policy requires attestation. Only a statement
   * that denies wins over a grant.
   *
   * @param options Key, operations, grantee and encryption context
   * @returns The grant's id and token
   * @throws {TypeError} When KMS has no such grant
   * @throws {KmsRefusal} `NotFoundException` when there is no such key
   */
  createGrant(options: CreateGrantOptions): SimulatedGrant {
    return this.#service.grants.create(this.#service.keys.find(options.keyId), options);
  }

  /**
   * Ends a grant at once; its token is invalid from then on.
   *
   * @param grant The grant
   */
  revokeGrant(grant: Pick<SimulatedGrant, "grantId">): void {
    this.#service.grants.revoke(grant);
  }

  /**
   * Policy of the callers' role. It decides where no key is involved (GenerateRandom), and where a key's
   * policy names the account as principal. Default: everything is allowed.
   */
  get identityPolicy(): KeyPolicy {
    return this.#service.identityPolicy;
  }

  set identityPolicy(policy: KeyPolicy) {
    this.#service.identityPolicy = checkPolicy(policy);
  }

  /**
   * Lead of KMS's clock over this process's, in milliseconds; negative when it is behind. The clock sets the
   * `date` header of every answer, and judges signatures and attestation documents. A Nitro Secure Module of
   * the same simulator follows it: a module has the host's clock, and only an enclave's own drifts. The
   * expiry of credentials does not move.
   *
   * @throws {RangeError} When it is set to something that is not a finite number
   * @example
   * ```ts
   * import { startSimulator } from "enclave-kms/sim";
   *
   * await using enclave = await startSimulator();
   * enclave.kms.clockOffsetMs = 10 * 60_000;
   * // … what is signed by this process's clock is now refused: `Signature expired: …`
   * ```
   */
  get clockOffsetMs(): number {
    return this.#service.clock.offsetMs;
  }

  set clockOffsetMs(offsetMs: number) {
    if (!Number.isFinite(offsetMs)) throw new RangeError("clockOffsetMs must be a finite number");
    this.#service.clock.offsetMs = offsetMs;
  }

  /**
   * Hands out credentials that this KMS accepts.
   *
   * @param options Lifetime in milliseconds. Default: an hour
   */
  issueCredentials(options: { readonly lifetimeMs?: number } = {}): SimulatedCredentials {
    return this.#service.credentials.issue(options.lifetimeMs);
  }

  /**
   * Accepts credentials that were made elsewhere.
   *
   * @param credentials The credentials
   * @param lifetimeMs Lifetime in milliseconds. Default: an hour
   */
  acceptCredentials(credentials: SimulatedCredentials, lifetimeMs = 3_600_000): void {
    this.#service.credentials.accept(credentials, lifetimeMs);
  }

  /**
   * Lets credentials expire at once.
   *
   * @param credentials The credentials
   */
  expireCredentials(credentials: Pick<SimulatedCredentials, "accessKeyId">): void {
    this.#service.credentials.expire(credentials);
  }

  /**
   * Forgets credentials: KMS then refuses them as never issued, with `UnrecognizedClientException`.
   *
   * @param credentials The credentials
   */
  revokeCredentials(credentials: Pick<SimulatedCredentials, "accessKeyId">): void {
    this.#service.credentials.revoke(credentials);
  }

  /**
   * Runs an operation without the network and without a signature.
   *
   * @param operation Name of the operation, such as `Encrypt`
   * @param members Members of the request, as in KMS's JSON
   * @returns The members of the answer
   * @throws {KmsRefusal} When KMS would refuse
   */
  call(operation: string, members: Readonly<Record<string, unknown>>): Promise<KmsOutput> {
    return this.#service.run(operation, new KmsInput(members));
  }

  /**
   * Makes KMS misbehave. Of several faults the last injected strikes first.
   *
   * @param fault The fault
   * @param options Number of requests (or connections) that it hits. Default: until {@link clearFaults}
   * @throws {TypeError} When the fault has no kind of {@link KMS_FAULTS}, or not that kind's fields
   * @throws {RangeError} When `times` is not a whole number above 0
   */
  async injectFault(fault: KmsFault, options: FaultTimes = {}): Promise<void> {
    const checked = checkFault(fault, KMS_FAULTS, { name: "KMS_FAULTS", optional: ["afterMs"] });
    if (faultScope(checked) === "listener") return await this.#closeServers();
    this.#service.faults.add(checked, options);
  }

  /**
   * Changes the members of answers that are no refusals, of whatever operation, for faults of one's own.
   *
   * @param change Gets the members and the operation, returns the members to send
   * @param options Number of answers. Default: until {@link clearFaults}
   * @throws {RangeError} When `times` is not a whole number above 0
   * @example
   * ```ts
   * import { startSimulator } from "enclave-kms/sim";
   *
   * await using enclave = await startSimulator();
   * enclave.kms.tamper(({ PublicKey: _, ...members }) => members, { times: 1 });
   * ```
   */
  tamper(change: Tampering, options: FaultTimes = {}): void {
    this.#service.tamperings.add(change, options);
  }

  /** Ends all faults and changes; listens again where it had stopped. */
  async clearFaults(): Promise<void> {
    this.#service.faults.clear();
    this.#service.tamperings.clear();
    if (this.#servers.length === 0) {
      await Promise.all(this.#addresses.map(({ address, tls }) => this.#open(address, tls)));
    }
  }

  /** Stops listening and breaks all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#addresses.length = 0;
    await this.#closeServers();
  }

  async #open(address: ListenAddress, tls: boolean): Promise<ListenAddress> {
    const server = new TlsServer({
      certificate: () => tls ? this.#certificate() : Promise.resolve("clear"),
      answer: (request) => this.#service.answer(request),
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
    const fault = this.#service.faults.take((candidate) => faultScope(candidate) === "connection");
    if (fault?.kind === "tlsSilence") return "silence";
    return await this.#tls.certificate(fault?.kind === "certificate" ? fault.certificate : "valid");
  }
}
