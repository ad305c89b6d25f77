import { randomUUID } from "node:crypto";
import type { SimulatedClock } from "../clock.ts";
import { FaultQueue } from "../fault_queue.ts";
import type { HttpRequest } from "../tls/http_message.ts";
import { authenticate } from "./kms_auth.ts";
import { CredentialStore } from "./kms_credentials.ts";
import { deliveryOf, jsonAnswer, refusalOf } from "./kms_delivery.ts";
import { KmsRefusal } from "./kms_errors.ts";
import { faultScope, type KmsFault } from "./kms_faults.ts";
import { GrantStore } from "./kms_grants.ts";
import { KmsInput } from "./kms_input.ts";
import { KeyStore } from "./keys/key_store.ts";
import type { KmsOutput, UsableKey } from "./keys/key_use.ts";
import { MANAGEMENT } from "./kms_management.ts";
import { OPERATIONS } from "./kms_operations.ts";
import { ALLOW_ALL_KEY_POLICY, type KeyPolicy } from "./policy/key_policy.ts";
import { RecipientReader } from "./kms_recipient.ts";
import { type ReleaseOptions, Releaser } from "./kms_release.ts";
import type { Delivery } from "../tls/tls_server.ts";

/** One request as the simulated KMS saw it. Holds no secret. */
export interface LoggedRequest {
  /** Name of the operation, such as `Decrypt`; empty when there was none. */
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

/** Changes the members of an output before it goes out. */
export type Tampering = (output: KmsOutput, operation: string) => KmsOutput;

/** Options of the service. */
export interface KmsServiceOptions extends ReleaseOptions {
  /** Region, such as `us-east-1`. */
  readonly region: string;
  /** Root certificate that attestation documents must descend from, DER. */
  readonly attestationRoot: Uint8Array;
  /** The clock. */
  readonly clock: SimulatedClock;
}

/**
 * Simulated KMS behind its HTTP server: answers a request, from the signature to the members of the answer.
 */
export class KmsService {
  /** The region. */
  readonly region: string;
  /** The clock. */
  readonly clock: SimulatedClock;
  /** The keys. */
  readonly keys: KeyStore;
  /** The permissions beside the key policies. */
  readonly grants = new GrantStore();
  /** The credentials that are accepted. */
  readonly credentials: CredentialStore;
  /** The faults in force. */
  readonly faults = new FaultQueue<KmsFault>();
  /** The changes in force. */
  readonly tamperings = new FaultQueue<Tampering>();
  /** The permissions of the callers. */
  identityPolicy: KeyPolicy = ALLOW_ALL_KEY_POLICY;
  /** The last requests, in order. */
  readonly requests: LoggedRequest[] = [];
  /** Number of requests so far. */
  requestCount = 0;
  readonly #recipients: RecipientReader;
  readonly #releaser: Releaser;

  /** @param options Region, certificate, clock and the form of answers */
  constructor(options: KmsServiceOptions) {
    const { region, attestationRoot, clock } = options;
    this.region = region;
    this.clock = clock;
    this.keys = new KeyStore(region);
    this.credentials = new CredentialStore(clock.base);
    this.#recipients = new RecipientReader(attestationRoot, clock.now);
    this.#releaser = new Releaser(options);
  }

  /**
   * Answers a request.
   *
   * @param request As it came
   */
  async answer(request: HttpRequest): Promise<Delivery> {
    const requestId = randomUUID();
    const fault = this.faults.take((candidate) => faultScope(candidate) === "request");
    if (fault?.kind === "latency") await new Promise((resolve) => setTimeout(resolve, fault.ms));
    const operation = request.headers.get("x-amz-target")?.replace(/^TrentService\./, "") ?? "";
    let keyArn: string | undefined;
    const noteKey = ({ arn }: UsableKey) => void (keyArn = arn);
    const output = await this.#authenticatedOutput(operation, request, fault, noteKey);
    const refusedWith = output instanceof KmsRefusal ? output.kmsCode : undefined;
    this.#log({ operation, keyArn, requestId, refusedWith, fault: fault?.kind });
    if (fault?.kind === "hang") await new Promise<never>(() => {});
    const stamp = { requestId, now: this.clock.now() };
    return deliveryOf(jsonAnswer(output, stamp), fault, stamp);
  }

  /**
   * Runs an operation.
   *
   * @param name Such as `Encrypt`
   * @param input The request
   * @param fault The fault in force
   * @param noteKey Is told which key was used
   * @returns The members of the answer
   * @throws {KmsRefusal} When KMS would refuse
   */
  async run(
    name: string,
    input: KmsInput,
    fault?: KmsFault,
    noteKey: (key: UsableKey) => void = () => {},
  ): Promise<KmsOutput> {
    if (Object.hasOwn(MANAGEMENT, name)) {
      const { keys, identityPolicy } = this;
      return await MANAGEMENT[name]!({ keys, identityPolicy, noteKey }, input);
    }
    const operation = Object.hasOwn(OPERATIONS, name) ? OPERATIONS[name] : undefined;
    if (operation === undefined) throw new KmsRefusal("UnknownOperationException");
    return await operation({
      keys: this.keys,
      grants: this.grants,
      identityPolicy: this.identityPolicy,
      recipients: this.#recipients,
      release: (member, secret, recipient) => this.#releaser.release(member, secret, recipient, fault),
      noteKey,
    }, input);
  }

  async #authenticatedOutput(
    operation: string,
    request: HttpRequest,
    fault: KmsFault | undefined,
    noteKey: (key: UsableKey) => void,
  ): Promise<KmsOutput | KmsRefusal> {
    try {
      if (request.method !== "POST" || request.target !== "/" || !isKnown(operation)) {
        throw new KmsRefusal("UnknownOperationException");
      }
      authenticate(request, { credentials: this.credentials, region: this.region, now: this.clock.now });
      const refusal = refusalOf(fault);
      if (refusal !== undefined) throw refusal;
      const output = await this.run(operation, KmsInput.parse(request.body), fault, noteKey);
      return this.#altered(output, operation, fault);
    } catch (error) {
      return error instanceof KmsRefusal ? error : new KmsRefusal("KMSInternalException", String(error));
    }
  }

  /**
   * Applies faults of the output. Only an output that names a key can name another one; GenerateRandom's does
   * not.
   */
  #altered(output: KmsOutput, operation: string, fault: KmsFault | undefined): KmsOutput {
    const { KeyId: keyId } = output;
    const named = fault?.kind === "wrongKeyId" && typeof keyId === "string"
      ? { ...output, KeyId: `${keyId.slice(0, -36)}${randomUUID()}` }
      : output;
    return this.tamperings.take()?.(named, operation) ?? named;
  }

  #log(request: LoggedRequest): void {
    this.requestCount++;
    this.requests.push(request);
    if (this.requests.length > MAX_LOGGED_REQUESTS) this.requests.shift();
  }
}

function isKnown(operation: string): boolean {
  return Object.hasOwn(OPERATIONS, operation) || Object.hasOwn(MANAGEMENT, operation);
}

/** Number of requests kept in the log. */
export const MAX_LOGGED_REQUESTS = 1000;
