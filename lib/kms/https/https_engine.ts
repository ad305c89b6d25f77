import type { OwnedCredentials } from "../../aws/credentials.ts";
import {
  type CredentialsLender,
  type CredentialsSource,
  ExpiredCredentialsError,
} from "../../aws/credentials_source.ts";
import { Deadline } from "../../core/deadline.ts";
import { CredentialsError, DisposedError, type KmsError } from "../../core/errors.ts";
import { SecretBytes } from "../../core/secret_bytes.ts";
import type { KmsCall, KmsEngine } from "../engine.ts";
import { KmsClock } from "../../aws/kms_clock.ts";
import { StaleConnectionError } from "./connection_errors.ts";
import { encodeBody } from "./encode_body.ts";
import type { KmsAnswer, KmsConnection, RequestBody } from "./kms_connection.ts";
import { isClockRefusal, isCredentialsRefusal, kmsError } from "./kms_errors.ts";
import { KmsReply } from "../operations/kms_reply.ts";
import { GENERATE_RANDOM } from "../operations/generate_random.ts";
import type { Operation } from "../operations/operation.ts";
import { type Checked, type OperationName, operationOf, type Result } from "../operations/operations.ts";
import { withRetries } from "./retry.ts";
import { SigV4Signer, unsignedHeaders } from "../../aws/sigv4.ts";
import { openingTurn } from "../recipient/opening_turns.ts";
import { RecipientRotation, type RecipientRotationOptions } from "../recipient/recipient_rotation.ts";

/** Parts of the engine; it owns the connection, the recipients and the credentials from then on. */
export interface HttpsEngineOptions extends RecipientRotationOptions {
  readonly name: "direct" | "sdk";
  readonly region: string;
  readonly hostName: string;
  readonly credentials: CredentialsSource;
  readonly connection: KmsConnection;
  /** 1 to 10. */
  readonly maxAttempts: number;
  /** The time to sign with, until KMS shows another. Default: the system's. */
  readonly now?: (() => Date) | undefined;
}

/** Milliseconds that KMS may take to tell the time. */
const TIME_QUESTION_MS = 2000;

/** Any request will do, and KMS refuses this one. */
const TIME_QUESTION: RequestBody = { bytes: new TextEncoder().encode("{}"), isSecret: false };

/** Our own HTTPS to KMS, over either recipient. */
export class HttpsEngine implements KmsEngine {
  readonly name: "direct" | "sdk";
  readonly #options: HttpsEngineOptions;
  readonly #signer: SigV4Signer;
  readonly #clock: KmsClock;
  readonly #recipients: RecipientRotation;
  #disposed = false;

  /** @param options Parts of the engine */
  constructor(options: HttpsEngineOptions) {
    this.name = options.name;
    this.#options = options;
    this.#signer = new SigV4Signer(options.region);
    this.#clock = new KmsClock(options.now);
    this.#recipients = new RecipientRotation(options);
  }

  /** See {@link KmsEngine.clockOffsetMs}. */
  get clockOffsetMs(): number {
    return this.#clock.offsetMs;
  }

  /** See {@link KmsEngine.kmsTimeMs}. */
  get kmsTimeMs(): number | undefined {
    return this.#clock.timeMs;
  }

  /** See {@link KmsEngine.run}. */
  run<K extends OperationName>(name: K, checked: Checked<K>, call: KmsCall): Promise<Result<K>> {
    const operation = operationOf(name);
    let tries = 0;
    const attempt = () => {
      if (tries++ > 0) call.onRetry?.();
      return this.#runOnce(operation, checked, call);
    };
    return withRetries(attempt, this.#options.maxAttempts, call.deadline);
  }

  /** See {@link KmsEngine.forgetDocuments}. */
  forgetDocuments(): void {
    this.#recipients.forgetDocuments();
  }

  /** See {@link KmsEngine.askTime}. Sent without a signature, and so without a secret. */
  async askTime(deadline: Deadline): Promise<void> {
    const { connection, hostName } = this.#options;
    const timeoutMs = Math.max(1, Math.min(TIME_QUESTION_MS, deadline.remainingMs / 2));
    using limit = new Deadline("ask KMS for the time", timeoutMs, deadline.signal);
    const headers = unsignedHeaders({ hostName, operation: GENERATE_RANDOM.action });
    try {
      const ask = () => connection.request(headers, TIME_QUESTION, limit);
      const { dateMs } = await ask().catch((error) => {
        if (error instanceof StaleConnectionError) return ask();
        throw error;
      });
      this.#clock.compare(dateMs);
    } catch {
      // That KMS did not answer shows in the clock, unless nobody waits for it any more.
      deadline.throwIfPassed();
    }
  }

  /**
   * Closes the connections, which fails the calls that run, destroys the key pair and wipes the credentials, in
   * this order. Disposing twice is harmless.
   */
  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => resolve(this.#release()));
  }

  async #runOnce<Checked, Result>(
    operation: Operation<never, Checked, Result | Promise<Result>>,
    checked: Checked,
    call: KmsCall,
  ): Promise<Result> {
    if (this.#disposed) throw new DisposedError("KmsClient");
    const { deadline } = call;
    using recipient = this.#recipients.take();
    deadline.stage = "nsm";
    const document = operation.attested ? await recipient.document(deadline) : undefined;
    using body = new SecretBytes(encodeBody(operation, checked, document));
    const answer = await this.#send(operation, body.bytes, call);
    deadline.stage = "process";
    const { openElsewhere } = recipient;
    if (operation.attested && openElsewhere === undefined) await openingTurn();
    if (this.#disposed) throw new DisposedError("KmsClient");
    const open = openElsewhere === undefined
      ? (envelope: Uint8Array) => recipient.open(envelope)
      : (envelope: Uint8Array) => this.#await(openElsewhere(envelope), deadline);
    return await operation.result(new KmsReply(operation.action, answer, open), checked);
  }

  /** Waits for what another thread opens, and wipes what nobody waits for any more. */
  async #await(opening: Promise<SecretBytes>, deadline: Deadline): Promise<SecretBytes> {
    try {
      const secret = await deadline.race(opening);
      if (!this.#disposed) return secret;
      throw new DisposedError("KmsClient");
    } catch (error) {
      opening.then((secret) => secret[Symbol.dispose](), () => {});
      throw error;
    }
  }

  #release(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    using _credentials = this.#options.credentials;
    using _signer = this.#signer;
    using _recipients = this.#recipients;
    using _connection = this.#options.connection;
  }

  async #send(
    { action, secretMember }: Pick<Operation<never, never, unknown>, "action" | "secretMember">,
    bytes: Uint8Array<ArrayBuffer>,
    { deadline, credentials = this.#options.credentials, onRefused }: KmsCall,
  ): Promise<Uint8Array> {
    const body = { bytes, isSecret: secretMember !== undefined };
    const send = (owned: OwnedCredentials) => this.#sendOnce(action, body, owned, deadline);
    using owned = await this.#getCredentials(credentials, deadline);
    let answer = await send(owned);
    if (isClockRefusal(answer) && this.#clock.correct(answer.dateMs)) answer = await send(owned);
    if (isCredentialsRefusal(answer)) {
      deadline.stage = "credentials";
      using other = await this.#getOther(credentials, owned, kmsError(action, answer), deadline);
      if (other !== undefined) answer = await send(other);
    }
    if (answer.status === 200) return answer.body;
    const error = kmsError(action, answer);
    onRefused?.(error);
    throw error;
  }

  async #sendOnce(
    operation: string,
    body: RequestBody,
    owned: OwnedCredentials,
    deadline: Deadline,
  ): Promise<KmsAnswer> {
    const { connection, hostName } = this.#options;
    const headers = this.#signer.sign({ hostName, operation, body: body.bytes }, owned, this.#clock.now());
    const answer = await connection.request(headers, body, deadline);
    this.#clock.compare(answer.dateMs);
    return answer;
  }

  // By a clock that is far ahead, good credentials look expired, and KMS would never be asked anything that shows
  // its time. So it is asked, once: credentials that did expire fail at once from then on.
  async #getCredentials(credentials: CredentialsLender, deadline: Deadline): Promise<OwnedCredentials> {
    deadline.stage = "credentials";
    try {
      return await credentials.get(deadline, this.#clock.ofLastAnswer);
    } catch (error) {
      if (!(error instanceof ExpiredCredentialsError) || this.#clock.isCompared) throw error;
      await this.askTime(deadline);
      if (!this.#clock.isCompared) throw error;
      deadline.stage = "credentials";
      return await credentials.get(deadline, this.#clock.ofLastAnswer);
    }
  }

  async #getOther(
    credentials: CredentialsLender,
    refused: OwnedCredentials,
    { kmsCode }: KmsError,
    deadline: Deadline,
  ): Promise<OwnedCredentials | undefined> {
    try {
      return await credentials.getOther(refused, deadline, this.#clock.ofLastAnswer);
    } catch (error) {
      if (!(error instanceof CredentialsError)) throw error;
      const hint = `KMS refused the previous credentials with ${kmsCode}. ${error.hint}`;
      throw new CredentialsError(error.message, { hint });
    }
  }
}
