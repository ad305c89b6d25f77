import { decodeAttestationDocument } from "../lib/attestation/document.ts";
import { NsmClient } from "../lib/nsm/nsm_client.ts";
import type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
import { OwnedCredentials, type ProvidedCredentials } from "../lib/aws/credentials.ts";
import { Deadline } from "../lib/core/deadline.ts";
import { encodeHex } from "../lib/core/encoding.ts";
import { AttestationError } from "../lib/core/errors.ts";
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
import { admit, type AdmitParts } from "./admit.ts";
import { checkForm } from "./check_form.ts";
import { CredentialStore } from "./credential_store.ts";
import type { EnginePool } from "./engine_pool.ts";
import type { RequestRecord } from "./telemetry/request_record.ts";

/** Region and credentials of a request: the server's own, or those of one kmstool connection. */
export interface Scope {
  /** Region of the keys. */
  readonly region: string;
  /** Sign the requests. */
  readonly credentials: CredentialStore;
}

/** Parts of an {@link EnclaveService}, which owns the engines and the NSM from then on. */
export interface ServiceParts extends AdmitParts {
  /** Region of the keys, for HTTP. */
  readonly region: string;
  /** Engines that speak to KMS. */
  readonly engines: EnginePool;
  /** Makes attestation documents; none when there is no module. */
  readonly nsm: NsmTransport | undefined;
  /** Milliseconds for one request, with the wait for its turn. */
  readonly timeoutMs: number;
  /** Whether there is a policy that can say yes. */
  readonly hasPolicy: () => boolean;
}

/** Parts that must be there before the server can decrypt. */
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

/** Milliseconds for which the NSM's last answer counts: the NSM takes one request at a time. */
const NSM_CHECK_MS = 10_000;

/**
 * Most documents of callers that wait for the NSM, which makes one at a time; one of each connection. Each holds a turn.
 * There are more turns than that, so that a slow or silent NSM leaves some to requests without a document.
 */
const MAX_ATTESTATIONS_WAITING = 16;

/** Work that the server does for its callers, whatever protocol they speak. */
export class EnclaveService implements AsyncDisposable {
  /** Scope of HTTP's callers. */
  readonly scope: Scope;
  readonly #parts: ServiceParts;
  readonly #nsm: NsmClient | undefined;
  #nsmCheckedAt = -Infinity;
  #nsmAnswers = false;
  #pcrs: Readonly<Record<number, string>> = {};

  /** @param parts Gate, admission, engines and NSM */
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
    return await this.#run(name, checked, scope, record);
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
    await expectWillingness(operationOf(name).what, this.#run(name, asDryRun(checked), scope, record));
  }

  /**
   * Asks whether the caller may set credentials, and checks them.
   *
   * @param action Action: everybody's credentials, or those of the connection
   * @param credentials Credentials as the caller sent them
   * @param region Region that they are for
   * @param record Record of the request
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
    return checkForm(() => OwnedCredentials.copyOf(credentials));
  }

  /**
   * Has the NSM make an attestation document, if the policy says yes.
   *
   * @param nonce Nonce of at most 512 bytes
   * @param record Record of the request
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
   * Opens the engine of a region.
   *
   * @param region Region of the keys
   * @throws The errors of `KmsClient.open`
   */
  async openRegion(region: string): Promise<void> {
    await this.#parts.engines.open(region);
  }

  /**
   * Finds out whether the server can decrypt.
   *
   * @param report Told why there is no engine, if there is none
   * @returns The parts that are there
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

  /** Wipes the credentials and closes the engines. */
  async [Symbol.asyncDispose](): Promise<void> {
    using _nsm = this.#parts.nsm;
    this.scope.credentials[Symbol.dispose]();
    await this.#parts.engines[Symbol.asyncDispose]();
  }

  async #run<K extends OperationName>(
    name: K,
    checked: Checked<K>,
    scope: Scope,
    record: RequestRecord,
  ): Promise<Result<K>> {
    const operation = operationOf(name);
    try {
      const judged = {
        action: operation.action,
        region: scope.region,
        facts: operation.facts(checked),
      };
      note(judged.facts, record);
      using deadline = new Deadline(operation.what, this.#parts.timeoutMs, record.gone);
      using _turn = await admit(this.#parts, judged, record, deadline);
      return await this.#ask(name, checked, scope, deadline);
    } finally {
      operation.release?.(checked);
    }
  }

  async #ask<K extends OperationName>(
    name: K,
    checked: Checked<K>,
    scope: Scope,
    deadline: Deadline,
  ): Promise<Result<K>> {
    using credentials = scope.credentials.lease();
    deadline.stage = "key-pair";
    const engine = await deadline.race(this.#parts.engines.open(scope.region));
    return await credentials.judge(engine.run(name, checked, { deadline, credentials }));
  }

  /** Tries refused credentials for nobody: a server that is not ready may get no requests that would try them. */
  async #tryCredentials(): Promise<void> {
    using deadline = new Deadline("try the credentials", this.#parts.timeoutMs);
    using _random = await this.#ask("generateRandom", { numberOfBytes: 1 }, this.scope, deadline);
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
