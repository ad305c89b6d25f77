import { decodeAttestationDocument } from "../lib/attestation/document.ts";
import { NsmClient } from "../lib/nsm/nsm_client.ts";
import type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
import { OwnedCredentials, type ProvidedCredentials } from "../lib/aws/credentials.ts";
import { Deadline } from "../lib/core/deadline.ts";
import { encodeHex } from "../lib/core/encoding.ts";
import { AttestationError } from "../lib/core/errors.ts";
import type { CallOptions } from "../lib/core/call_options.ts";
import type { KmsClient } from "../lib/kms/kms_client.ts";
import type { RequestFacts } from "../lib/core/request_facts.ts";
import type { CredentialAction } from "./actions.ts";
import { admit, type AdmitParts } from "./admit.ts";
import type { ClientPool } from "./client_pool.ts";
import { CredentialStore } from "./credential_store.ts";
import type { ServedOperation } from "./operations.ts";
import type { RequestRecord } from "./telemetry/request_record.ts";
import { BadRequestError } from "./service_errors.ts";

/** Where a request goes, and with whose credentials: the server's own, or those of one kmstool connection. */
export interface Scope {
  /** Region of the keys. */
  readonly region: string;
  /** Sign the requests. */
  readonly credentials: CredentialStore;
}

/** What the service is made of; it owns the clients and the NSM from then on. */
export interface ServiceParts extends AdmitParts {
  /** Of the keys, for HTTP. */
  readonly region: string;
  /** Speak to KMS. */
  readonly clients: ClientPool;
  /** Makes attestation documents; none when there is no module. */
  readonly nsm: NsmTransport | undefined;
  /** Milliseconds for one request, with the wait for its turn. */
  readonly timeoutMs: number;
  /** Whether there is a policy that can say yes. */
  readonly hasPolicy: () => boolean;
}

/** What has to be there before the server can decrypt. */
export interface Readiness {
  /** The engine and its library. */
  readonly library: boolean;
  /** The Nitro Secure Module answers. */
  readonly nsm: boolean;
  /** Credentials are set, and KMS has not refused them. */
  readonly credentials: boolean;
  /** A policy is loaded. */
  readonly policy: boolean;
}

/** For how long the NSM's last answer speaks for it, in milliseconds: it takes one request at a time. */
const NSM_CHECK_MS = 10_000;

/**
 * How many documents of callers wait for the NSM, which makes one at a time: one of a connection. Each holds a
 * turn, and there are more turns than that, so that an NSM that is slow or silent leaves some to those who need no
 * document of their own.
 */
const MAX_ATTESTATIONS_WAITING = 16;

/** What the server does for its callers, whatever protocol they speak. */
export class EnclaveService implements AsyncDisposable {
  /** The scope of HTTP's callers. */
  readonly scope: Scope;
  readonly #parts: ServiceParts;
  readonly #nsm: NsmClient | undefined;
  #nsmCheckedAt = -Infinity;
  #nsmAnswers = false;
  #pcrs: Readonly<Record<number, string>> = {};

  /** @param parts What it is made of */
  constructor(parts: ServiceParts) {
    this.#parts = parts;
    this.#nsm = parts.nsm === undefined ? undefined : new NsmClient(parts.nsm);
    this.scope = { region: parts.region, credentials: new CredentialStore() };
  }

  /** The enclave's PCRs in hex, as the NSM's last document has them. */
  get pcrs(): Readonly<Record<number, string>> {
    return this.#pcrs;
  }

  /**
   * Has KMS do one operation, if the policy says yes.
   *
   * @param served Which
   * @param input What the caller wants
   * @param scope Where, and with whose credentials
   * @param record Of the request
   * @returns What KMS answered; the caller disposes it
   * @throws {BadRequestError} When the request is wrong in form
   * @throws {PolicyDeniedError} When the policy did not say yes
   * @throws {OverloadedError} When too many requests wait already
   * @throws {TimeoutError} When the time is up
   * @throws {CredentialsError} When none are set, or KMS refuses them, now or just before
   * @throws {CallerGoneError} When the caller goes away: the call to KMS is broken off, and its turn is free
   * @throws What `KmsClient`'s own method throws
   */
  run<Request extends CallOptions, Checked extends object, Result>(
    served: ServedOperation<Request, Checked, Result>,
    input: Request,
    scope: Scope,
    record: RequestRecord,
  ): Promise<Result> {
    return this.#run(served, input, scope, record, (client, request) => served.call(client, request));
  }

  /**
   * Asks KMS whether it would, if the policy says yes.
   *
   * @param served Which
   * @param input What the caller wants
   * @param scope Where, and with whose credentials
   * @param record Of the request
   * @throws What {@link EnclaveService.run} throws
   */
  dryRun<Request extends CallOptions, Checked extends object, Result>(
    served: ServedOperation<Request, Checked, Result>,
    input: Request,
    scope: Scope,
    record: RequestRecord,
  ): Promise<void> {
    return this.#run(served, input, scope, record, async (client, request) => {
      if (served.dryRun === undefined) throw new TypeError(`${served.action} has no dry run`);
      await served.dryRun(client, request);
    });
  }

  /**
   * Asks whether the caller may set credentials, and checks them.
   *
   * @param action Whose credentials they are to be
   * @param credentials What the caller sent
   * @param region Where they are to be used
   * @param record Of the request
   * @returns A copy, for the caller to put into a store
   * @throws {PolicyDeniedError} When the policy did not say yes
   * @throws {BadRequestError} When they are wrong in form
   */
  acceptCredentials(
    action: CredentialAction,
    credentials: ProvidedCredentials,
    region: string,
    record: RequestRecord,
  ): OwnedCredentials {
    this.#parts.gate.check({ action, region }, record);
    return check(() => OwnedCredentials.copyOf(credentials));
  }

  /**
   * @param nonce At most 512 bytes
   * @param record Of the request
   * @returns An attestation document with the nonce
   * @throws {PolicyDeniedError} When the policy did not say yes
   * @throws {AttestationError} When there is no NSM, it refuses, or too many wait for it
   */
  async attest(nonce: Uint8Array, record: RequestRecord): Promise<Uint8Array> {
    using deadline = new Deadline("attest", this.#parts.timeoutMs, record.gone);
    const judged = { action: "GetAttestation", region: this.scope.region };
    using _turn = await admit(this.#parts, judged, record, deadline);
    if (this.#nsm === undefined) throw noNsm();
    deadline.stage = "nsm";
    const options = {
      signal: deadline.signal,
      maxWaiting: MAX_ATTESTATIONS_WAITING,
      caller: record.connection,
    };
    return await deadline.race(this.#nsm.attest({ nonce }, options));
  }

  /**
   * Opens the client of a region.
   *
   * @param region A region
   * @throws What `KmsClient.open` throws
   */
  async openRegion(region: string): Promise<void> {
    await this.#parts.clients.open(region);
  }

  /**
   * @param report Told why there is no engine, if there is none
   * @returns What is there and what is not
   */
  async readiness(report?: (error: unknown) => void): Promise<Readiness> {
    const opening = succeeds(this.openRegion(this.scope.region), report);
    const [library, nsm] = await Promise.all([opening, this.checkNsm()]);
    if (this.scope.credentials.isTrialDue) void succeeds(this.#tryCredentials());
    return { library, nsm, credentials: this.scope.credentials.isUsable, policy: this.#parts.hasPolicy() };
  }

  /** Asks the NSM for a document, unless it gave one just now; reads the PCRs from it. */
  async checkNsm(): Promise<boolean> {
    if (this.#nsm === undefined) return false;
    if (performance.now() - this.#nsmCheckedAt < NSM_CHECK_MS) return this.#nsmAnswers;
    this.#nsmCheckedAt = performance.now();
    this.#nsmAnswers = await succeeds(this.#readPcrs(this.#nsm));
    return this.#nsmAnswers;
  }

  /** Wipes the credentials and closes the clients. */
  async [Symbol.asyncDispose](): Promise<void> {
    using _nsm = this.#parts.nsm;
    this.scope.credentials[Symbol.dispose]();
    await this.#parts.clients[Symbol.asyncDispose]();
  }

  async #run<Request extends CallOptions, Checked extends object, Result, Answer>(
    { action, operation, facts, request }: ServedOperation<Request, Checked, Result>,
    input: Request,
    scope: Scope,
    record: RequestRecord,
    call: (client: KmsClient, request: Request) => Promise<Answer>,
  ): Promise<Answer> {
    const checked = check(() => operation.check(input));
    try {
      const { timeoutMs, clients } = this.#parts;
      const own = facts(checked);
      note(own, record);
      using deadline = new Deadline(operation.what, timeoutMs, record.gone);
      const judged = { action, region: scope.region, facts: own };
      using _turn = await admit(this.#parts, judged, record, deadline);
      scope.credentials.admit();
      deadline.stage = "key-pair";
      await deadline.race(clients.open(scope.region));
      // What is left is the call's own: its deadline knows what is waited for.
      const restMs = Math.max(1, Math.ceil(deadline.remainingMs));
      const asked = { ...request(checked), signal: record.gone, timeoutMs: restMs };
      return await clients.use(scope.region, scope.credentials, (client) => call(client, asked));
    } finally {
      operation.release?.(checked);
    }
  }

  /** For nobody's sake: who is not ready may get no requests, and so would never learn that KMS takes them again. */
  async #tryCredentials(): Promise<void> {
    const { region, credentials } = this.scope;
    const request = { numberOfBytes: 1, timeoutMs: this.#parts.timeoutMs };
    credentials.admit();
    using _random = await this.#parts.clients.use(
      region,
      credentials,
      (client) => client.generateRandom(request),
    );
  }

  async #readPcrs(nsm: NsmClient): Promise<void> {
    using deadline = new Deadline("ask the NSM", this.#parts.timeoutMs, undefined, "nsm");
    const { pcrs } = decodeAttestationDocument(
      await deadline.race(nsm.attest({}, { signal: deadline.signal })),
    );
    this.#pcrs = Object.freeze(
      Object.fromEntries([...pcrs].map(([index, value]) => [index, encodeHex(value)])),
    );
  }
}

/** The checks' own messages name the field and what was expected, never the value. */
function check<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof TypeError) && !(error instanceof RangeError)) throw error;
    const [, path = "", expected = error.message] = /^(\w+) must (?:be |have )?(.+)$/.exec(error.message) ??
      [];
    throw new BadRequestError([{ path, expected }]);
  }
}

function note({ keyId, ciphertext }: RequestFacts, record: RequestRecord): void {
  record.keyId = keyId;
  record.ciphertextSha256 = ciphertext?.sha256;
}

async function succeeds(work: Promise<unknown>, report?: (error: unknown) => void): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    report?.(error);
    return false;
  }
}

function noNsm(): AttestationError {
  return new AttestationError("UNAVAILABLE", "Cannot attest: there is no Nitro Secure Module", {
    hint: "Is this process inside a Nitro Enclave, and may it open /dev/nsm?",
  });
}
