import type { OwnedCredentials } from "../../aws/credentials.ts";
import { type CredentialsSource, ExpiredCredentialsError } from "../../aws/credentials_source.ts";
import type { DataKey, DataKeyPair } from "../data_key.ts";
import { Deadline } from "../../core/deadline.ts";
import { encodeBase64 } from "../../core/encoding.ts";
import { CredentialsError, DisposedError, type KmsError } from "../../core/errors.ts";
import { SecretBytes } from "../../core/secret_bytes.ts";
import { joinBase64 } from "../../core/secret_json.ts";
import { TurnLimiter } from "../../core/turn_limiter.ts";
import type {
  CheckedDataKeyPairRequest,
  CheckedDataKeyRequest,
  CheckedDecryptRequest,
  CheckedEncryptRequest,
  CheckedRandomRequest,
  CheckedSharedSecretRequest,
  Encrypted,
} from "../checked_request.ts";
import type { KmsEngine } from "../engine.ts";
import { KmsClock } from "../../aws/clock.ts";
import { StaleConnectionError } from "./connection_errors.ts";
import type { KmsAnswer, KmsConnection, RequestBody } from "./kms_connection.ts";
import { isClockRefusal, isCredentialsRefusal, kmsError } from "./kms_errors.ts";
import { KmsReply } from "../operations/kms_reply.ts";
import {
  DECRYPT,
  DERIVE_SHARED_SECRET,
  ENCRYPT,
  GENERATE_DATA_KEY,
  GENERATE_DATA_KEY_PAIR,
  GENERATE_RANDOM,
  type WireOperation,
} from "./operations.ts";
import { withRetries } from "./retry.ts";
import { SigV4Signer, unsignedHeaders } from "../../aws/sigv4.ts";
import { RecipientRotation, type RecipientRotationOptions } from "../recipient/recipient_rotation.ts";

/** What the engine is made of; it owns the connection, the recipients and the credentials from then on. */
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

/** How long KMS may take to say what time it is, in milliseconds. */
const TIME_QUESTION_MS = 2000;

/** Any request will do, and KMS refuses this one. */
const TIME_QUESTION: RequestBody = { bytes: new TextEncoder().encode("{}"), isSecret: false };

/**
 * Opening an answer takes this thread for the time of an RSA operation, 0.3 ms on Node.js and five times that on
 * Deno, and answers come in bursts: opened all in one turn, sixteen of them would hold up timers and other
 * connections for all that time together. All engines share one event loop.
 */
const OPENINGS = new TurnLimiter();

/** Our own HTTPS to KMS, over either recipient. */
export class HttpsEngine implements KmsEngine {
  readonly name: "direct" | "sdk";
  readonly #options: HttpsEngineOptions;
  readonly #signer: SigV4Signer;
  readonly #clock: KmsClock;
  readonly #recipients: RecipientRotation;
  #disposed = false;

  /** @param options What it is made of */
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

  /** See {@link KmsEngine.decrypt}. */
  decrypt(request: CheckedDecryptRequest, deadline: Deadline): Promise<SecretBytes> {
    return this.#call(DECRYPT, request, deadline);
  }

  /** See {@link KmsEngine.encrypt}. */
  encrypt(request: CheckedEncryptRequest, deadline: Deadline): Promise<Encrypted> {
    return this.#call(ENCRYPT, request, deadline);
  }

  /** See {@link KmsEngine.generateDataKey}. */
  generateDataKey(request: CheckedDataKeyRequest, deadline: Deadline): Promise<DataKey> {
    return this.#call(GENERATE_DATA_KEY, request, deadline);
  }

  /** See {@link KmsEngine.generateDataKeyPair}. */
  generateDataKeyPair(request: CheckedDataKeyPairRequest, deadline: Deadline): Promise<DataKeyPair> {
    return this.#call(GENERATE_DATA_KEY_PAIR, request, deadline);
  }

  /** See {@link KmsEngine.generateRandom}. */
  generateRandom(request: CheckedRandomRequest, deadline: Deadline): Promise<SecretBytes> {
    return this.#call(GENERATE_RANDOM, request, deadline);
  }

  /** See {@link KmsEngine.deriveSharedSecret}. */
  deriveSharedSecret(request: CheckedSharedSecretRequest, deadline: Deadline): Promise<SecretBytes> {
    return this.#call(DERIVE_SHARED_SECRET, request, deadline);
  }

  /**
   * Closes the connections, which fails the calls that run, destroys the key pair and wipes the credentials, in
   * this order. Disposing twice is harmless.
   */
  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => resolve(this.#release()));
  }

  #call<Request, Result>(
    operation: WireOperation<Request, Result>,
    request: Request,
    deadline: Deadline,
  ): Promise<Result> {
    const attempt = () => this.#callOnce(operation, request, deadline);
    return withRetries(attempt, this.#options.maxAttempts, deadline);
  }

  async #callOnce<Request, Result>(
    operation: WireOperation<Request, Result>,
    request: Request,
    deadline: Deadline,
  ): Promise<Result> {
    if (this.#disposed) throw new DisposedError("KmsClient");
    using recipient = this.#recipients.take();
    deadline.stage = "nsm";
    const document = operation.attested ? await recipient.document(deadline) : undefined;
    using body = new SecretBytes(encodeBody(operation, request, document));
    const answer = await this.#send(operation, body.bytes, deadline);
    deadline.stage = "process";
    if (operation.attested) await OPENINGS.take();
    if (this.#disposed) throw new DisposedError("KmsClient");
    const open = (envelope: Uint8Array) => recipient.open(envelope);
    return operation.result(new KmsReply(operation.name, answer, open), request);
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
    { name, secretMember }: Pick<WireOperation<never, unknown>, "name" | "secretMember">,
    bytes: Uint8Array<ArrayBuffer>,
    deadline: Deadline,
  ): Promise<Uint8Array> {
    const body = { bytes, isSecret: secretMember !== undefined };
    const send = (owned: OwnedCredentials) => this.#sendOnce(name, body, owned, deadline);
    using owned = await this.#getCredentials(deadline);
    let answer = await send(owned);
    if (isClockRefusal(answer) && this.#clock.correct(answer.dateMs)) answer = await send(owned);
    if (isCredentialsRefusal(answer)) {
      deadline.stage = "credentials";
      using other = await this.#getOther(owned, kmsError(name, answer), deadline);
      if (other !== undefined) answer = await send(other);
    }
    if (answer.status !== 200) throw kmsError(name, answer);
    return answer.body;
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
  async #getCredentials(deadline: Deadline): Promise<OwnedCredentials> {
    const { credentials } = this.#options;
    deadline.stage = "credentials";
    try {
      return await credentials.get(deadline, this.#clock.ofLastAnswer);
    } catch (error) {
      if (!(error instanceof ExpiredCredentialsError) || this.#clock.isCompared) throw error;
      await this.#askTime(deadline);
      if (!this.#clock.isCompared) throw error;
      deadline.stage = "credentials";
      return await credentials.get(deadline, this.#clock.ofLastAnswer);
    }
  }

  async #getOther(
    refused: OwnedCredentials,
    { kmsCode }: KmsError,
    deadline: Deadline,
  ): Promise<OwnedCredentials | undefined> {
    try {
      return await this.#options.credentials.getOther(refused, deadline, this.#clock.ofLastAnswer);
    } catch (error) {
      if (!(error instanceof CredentialsError)) throw error;
      const hint = `KMS refused the old ones with ${kmsCode}. ${error.hint}`;
      throw new CredentialsError(error.message, { hint });
    }
  }

  /** Without a signature and so without a secret: KMS refuses it, and says what time it is. */
  async #askTime(deadline: Deadline): Promise<void> {
    const { connection, hostName } = this.#options;
    const timeoutMs = Math.max(1, Math.min(TIME_QUESTION_MS, deadline.remainingMs / 2));
    using limit = new Deadline("ask KMS for the time", timeoutMs, deadline.signal);
    const headers = unsignedHeaders({ hostName, operation: GENERATE_RANDOM.name });
    try {
      const ask = () => connection.request(headers, TIME_QUESTION, limit);
      const { dateMs } = await ask().catch((error) => {
        if (error instanceof StaleConnectionError) return ask();
        throw error;
      });
      this.#clock.compare(dateMs);
    } catch {
      // What is reported is that the credentials expired, unless nobody waits for it any more.
      deadline.throwIfPassed();
    }
  }
}

/** The request's JSON, with what is secret in it never a JavaScript string. */
function encodeBody<Request>(
  operation: WireOperation<Request, unknown>,
  request: Request,
  document: Uint8Array | undefined,
): Uint8Array<ArrayBuffer> {
  const members = JSON.stringify({
    ...operation.members(request),
    Recipient: document && {
      AttestationDocument: encodeBase64(document),
      KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
    },
  });
  const secret = operation.secretMember?.(request);
  if (secret === undefined) return new TextEncoder().encode(members);
  const [name, bytes] = secret;
  return joinBase64(`{"${name}":"`, bytes, `",${members.slice(1)}`);
}
