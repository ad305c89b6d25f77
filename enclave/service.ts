import { NsmClient } from "../lib/nsm/nsm_client.ts";
import { OwnedCredentials, type ProvidedCredentials } from "../lib/aws/credentials.ts";
import { Deadline } from "../lib/core/deadline.ts";
import type { RequestFacts } from "../lib/core/request_facts.ts";
import { asDryRun, type DryRunName, expectWillingness } from "../lib/kms/operations/dry_run.ts";
import type { JsonRequest } from "../lib/kms/operations/operation.ts";
import {
  type Checked,
  checkJson,
  type OperationName,
  operationOf,
  type Requested,
  type Result,
} from "../lib/kms/operations/operations.ts";
import type { CredentialAction } from "./actions.ts";
import { admit } from "./admit.ts";
import { checkForm } from "./check_form.ts";
import { CredentialStore } from "./credential_store.ts";
import { DocumentMaker } from "./document_maker.ts";
import type { Keeper } from "./gate.ts";
import { KmsPacing, type PacedTurn, watchCall } from "./kms_pacing.ts";
import { NsmCheck } from "./nsm_check.ts";
import { ALL_NEEDS, type Readiness } from "./readiness.ts";
import { describeCredentials } from "../lib/aws/logged_credentials.ts";
import { quotaOf, type Scope } from "./scope.ts";
import type { ServiceParts } from "./service_parts.ts";
import type { RequestRecord } from "./telemetry/request_record.ts";

export type { Scope } from "./scope.ts";

/** Work that the server does for its callers, whatever protocol they speak. */
export class EnclaveService implements AsyncDisposable {
  /** Scope of HTTP's callers. */
  readonly scope: Scope;
  /** Limits of requests that run at once, which shrink while KMS throttles. */
  readonly pacing: KmsPacing;
  /** Whether the NSM answers, and who it says that the enclave is. */
  readonly nsmCheck: NsmCheck;
  readonly #parts: ServiceParts;
  readonly #documents: DocumentMaker;

  /** @param parts Gate, admission, engines and NSM */
  constructor(parts: ServiceParts) {
    this.#parts = parts;
    const nsm = parts.nsm === undefined ? undefined : new NsmClient(parts.nsm);
    this.#documents = new DocumentMaker({ nsm, userData: parts.userData });
    this.nsmCheck = new NsmCheck(nsm, parts.timeoutMs);
    this.pacing = new KmsPacing(parts.admission);
    this.scope = { region: parts.region, credentials: new CredentialStore() };
  }

  /** Number of requests with the service's own credentials that may run at once. */
  get turnLimit(): number {
    return this.pacing.limitOf(quotaOf(this.scope));
  }

  /**
   * Has KMS do one operation, if the policy says yes. The request is checked once: the bytes that are judged are the
   * bytes that are sent.
   *
   * @param name Name of the operation
   * @param request Request as a JSON body has it: bytes are base64
   * @param scope Region and credentials
   * @param record Record of the request
   * @returns KMS's answer; the caller disposes it
   * @throws {BadRequestError} When the request is wrong in form
   * @throws {PolicyDeniedError} When the policy did not say yes
   * @throws {OverloadedError} When too many requests wait already
   * @throws {TimeoutError} When the time is up
   * @throws {CredentialsError} When none are set, or KMS refuses them, now or just before
   * @throws {CallerGoneError} When the caller goes away: the call to KMS is broken off, and its turn is free
   * @throws The errors of `KmsClient`'s own method
   */
  async run<K extends OperationName>(
    name: K,
    request: JsonRequest<Requested<K>>,
    scope: Scope,
    record: RequestRecord,
  ): Promise<Result<K>> {
    const checked = checkForm(() => checkJson(name, request));
    return await this.runChecked(name, checked, scope, record);
  }

  /**
   * Does the same for a request that was checked already, whose bytes are bytes.
   *
   * @param name Name of the operation
   * @param checked Request after the operation's check; its secrets are wiped
   * @param scope Region and credentials
   * @param record Record of the request
   * @param gate Gate that is asked. Default: the service's own
   * @returns KMS's answer; the caller disposes it
   * @throws The errors of {@link EnclaveService.run}
   */
  async runChecked<K extends OperationName>(
    name: K,
    checked: Checked<K>,
    scope: Scope,
    record: RequestRecord,
    gate: Keeper = this.#parts.gate,
  ): Promise<Result<K>> {
    const operation = operationOf(name);
    const quota = quotaOf(scope);
    try {
      const judged = {
        action: operation.action,
        region: scope.region,
        facts: operation.facts(checked),
      };
      note(judged.facts, record);
      using deadline = new Deadline(operation.what, this.#parts.timeoutMs, record.gone);
      const entrance = this.pacing.entrance(quota);
      using turn = await admit({ gate, entrance }, judged, record, deadline);
      return await this.#ask(name, checked, scope, deadline, turn);
    } catch (error) {
      record.retryAfterSeconds = this.pacing.retryAfterSeconds(quota);
      throw error;
    } finally {
      operation.release?.(checked);
    }
  }

  /**
   * Asks KMS whether it would, if the policy says yes.
   *
   * @param name Name of the operation
   * @param request Request as a JSON body has it: bytes are base64
   * @param scope Region and credentials
   * @param record Record of the request
   * @throws The errors of {@link EnclaveService.run}
   */
  async dryRun<K extends DryRunName>(
    name: K,
    request: JsonRequest<Requested<K>>,
    scope: Scope,
    record: RequestRecord,
  ): Promise<void> {
    const checked = checkForm(() => checkJson(name, request));
    await expectWillingness(operationOf(name).what, this.runChecked(name, asDryRun(checked), scope, record));
  }

  /**
   * Asks whether the caller may set credentials, and checks them.
   *
   * @param action Action: everybody's credentials, or those of the connection
   * @param credentials Credentials as the caller sent them
   * @param region Region that they are for
   * @param record Record of the request
   * @param gate Gate that is asked. Default: the service's own
   * @returns A copy, for the caller to put into a store
   * @throws {PolicyDeniedError} When the policy did not say yes
   * @throws {BadRequestError} When they are wrong in form
   */
  acceptCredentials(
    action: CredentialAction,
    credentials: ProvidedCredentials,
    region: string,
    record: RequestRecord,
    gate: Keeper = this.#parts.gate,
  ): OwnedCredentials {
    gate.check({ action, region }, record);
    const owned = checkForm(() => OwnedCredentials.copyOf(credentials));
    record.credentials = describeCredentials(owned);
    return owned;
  }

  /**
   * Has the NSM make an attestation document, if the policy says yes. Its user data are the service's, and it has no
   * public key: KMS would encrypt plaintexts to that.
   *
   * @param nonce Nonce of at most 512 bytes; none leaves it out
   * @param record Record of the request
   * @param gate Gate that is asked. Default: the service's own
   * @returns An attestation document with the nonce
   * @throws {PolicyDeniedError} When the policy did not say yes
   * @throws {AttestationError} When there is no NSM, it refuses, or too many wait for it
   */
  async attest(
    nonce: Uint8Array | undefined,
    record: RequestRecord,
    gate: Keeper = this.#parts.gate,
  ): Promise<Uint8Array> {
    using deadline = new Deadline("attest", this.#parts.timeoutMs, record.gone);
    const judged = { action: "GetAttestation", region: this.scope.region };
    const { admission: entrance } = this.#parts;
    using _turn = await admit({ gate, entrance }, judged, record, deadline);
    return await this.#documents.make(nonce, record.connection, deadline);
  }

  /** Forgets all documents but callers' own: a register was extended since. */
  async forgetDocuments(): Promise<void> {
    this.#parts.engines.forgetDocuments();
    this.nsmCheck.forget();
    await this.nsmCheck.answers();
  }

  /**
   * Opens the engine of a region.
   *
   * @param region Region of the keys
   * @throws The errors of `KmsClient.open`
   */
  async openRegion(region: string): Promise<void> {
    await this.#parts.engines.open(region);
  }

  /**
   * Finds out whether all is there that the application needs.
   *
   * @param report Told why there is no engine, if there is none
   * @returns The parts that are there
   */
  async readiness(report?: (error: unknown) => void): Promise<Readiness> {
    const { needs = ALL_NEEDS, hasPolicy, clock } = this.#parts;
    const { credentials, region } = this.scope;
    const needsKms = needs.includes("kms");
    const opening = needsKms ? succeeds(this.openRegion(region), report) : undefined;
    const [library, nsm, isTimeKnown] = await Promise.all([opening, this.nsmCheck.answers(), clock?.learn()]);
    if (needsKms && credentials.isTrialDue) void succeeds(this.#tryCredentials());
    return {
      nsm,
      ...(library !== undefined && { library, credentials: credentials.isUsable }),
      ...(needs.includes("policy") && { policy: hasPolicy() }),
      ...(isTimeKnown !== undefined && { clock: isTimeKnown }),
    };
  }

  /** Wipes the credentials and closes the engines. */
  async [Symbol.asyncDispose](): Promise<void> {
    using _nsm = this.#parts.nsm;
    this.scope.credentials[Symbol.dispose]();
    await this.#parts.engines[Symbol.asyncDispose]();
  }

  async #ask<K extends OperationName>(
    name: K,
    checked: Checked<K>,
    scope: Scope,
    deadline: Deadline,
    turn?: PacedTurn,
  ): Promise<Result<K>> {
    using credentials = scope.credentials.lease();
    deadline.stage = "key-pair";
    const engine = await deadline.race(this.#parts.engines.open(scope.region));
    const call = { deadline, credentials, ...watchCall(turn, this.#parts.metrics) };
    const result = await credentials.judge(engine.run(name, checked, call));
    turn?.succeeded();
    return result;
  }

  /** Tries refused credentials for nobody: a server that is not ready may get no requests that would try them. */
  async #tryCredentials(): Promise<void> {
    using deadline = new Deadline("try the credentials", this.#parts.timeoutMs);
    using _random = await this.#ask("generateRandom", { numberOfBytes: 1 }, this.scope, deadline);
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
