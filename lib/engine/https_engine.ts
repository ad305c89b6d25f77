import type { CredentialsSource } from "../credentials.ts";
import type { Deadline } from "../deadline.ts";
import { decodeBase64, encodeBase64 } from "../encoding.ts";
import { DisposedError, ProtocolError } from "../errors.ts";
import type { SecretBytes } from "../secret_bytes.ts";
import { DocumentCache } from "./document_cache.ts";
import type { CheckedDecryptRequest, KmsEngine } from "./engine.ts";
import type { KmsConnection } from "./https/kms_connection.ts";
import { kmsError } from "./https/kms_errors.ts";
import { withRetries } from "./https/retry.ts";
import { SigV4Signer } from "./https/sigv4.ts";
import type { Recipient } from "./recipient.ts";

/** What the engine is made of; it owns the connection, the recipient and the credentials from then on. */
export interface HttpsEngineOptions {
  readonly name: "direct" | "sdk";
  readonly region: string;
  readonly hostName: string;
  readonly credentials: CredentialsSource;
  readonly connection: KmsConnection;
  readonly recipient: Recipient;
  /** 1 to 10. */
  readonly maxAttempts: number;
  /** In milliseconds. */
  readonly attestationMaxAgeMs: number;
  /** The time to sign with. Default: the system's. */
  readonly now?: (() => Date) | undefined;
}

/** Our own HTTPS to KMS, over either recipient. */
export class HttpsEngine implements KmsEngine {
  readonly name: "direct" | "sdk";
  readonly #options: HttpsEngineOptions;
  readonly #signer: SigV4Signer;
  readonly #documents: DocumentCache;
  #disposed = false;

  /** @param options What it is made of */
  constructor(options: HttpsEngineOptions) {
    this.name = options.name;
    this.#options = options;
    this.#signer = new SigV4Signer(options.region);
    this.#documents = new DocumentCache(options.recipient, options.attestationMaxAgeMs);
  }

  /** See {@link KmsEngine.decrypt}. */
  decrypt(request: CheckedDecryptRequest, deadline: Deadline): Promise<SecretBytes> {
    return withRetries(() => this.#decryptOnce(request, deadline), this.#options.maxAttempts, deadline);
  }

  /**
   * Closes the connections, which fails the calls that run, destroys the key pair and wipes the credentials, in
   * this order. Disposing twice is harmless.
   */
  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => resolve(this.#release()));
  }

  async #decryptOnce(request: CheckedDecryptRequest, deadline: Deadline): Promise<SecretBytes> {
    if (this.#disposed) throw new DisposedError("KmsClient");
    const document = await this.#documents.get(deadline);
    const answer = await this.#send("Decrypt", decryptBody(request, document), deadline);
    checkKeyId(request.keyId, answer["KeyId"]);
    return this.#options.recipient.open(envelopeOf(answer));
  }

  #release(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    using _credentials = this.#options.credentials;
    using _signer = this.#signer;
    using _recipient = this.#options.recipient;
    using _connection = this.#options.connection;
  }

  async #send(
    operation: string,
    body: Uint8Array<ArrayBuffer>,
    deadline: Deadline,
  ): Promise<Record<string, unknown>> {
    const { connection, credentials, hostName, now = () => new Date() } = this.#options;
    using owned = await credentials.get(deadline);
    const headers = this.#signer.sign({ hostName, operation, body }, owned, now());
    const answer = await connection.request(headers, body, deadline);
    if (answer.status !== 200) throw kmsError(operation, answer);
    return parseAnswer(answer.body);
  }
}

function decryptBody(request: CheckedDecryptRequest, document: Uint8Array): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify({
    CiphertextBlob: encodeBase64(request.ciphertext),
    EncryptionContext: request.encryptionContext,
    KeyId: request.keyId,
    EncryptionAlgorithm: request.encryptionAlgorithm,
    Recipient: {
      AttestationDocument: encodeBase64(document),
      KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
    },
  }));
}

function parseAnswer(body: Uint8Array): Record<string, unknown> {
  let answer: unknown;
  try {
    answer = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw unexpected("not JSON");
  }
  if (typeof answer !== "object" || answer === null || Array.isArray(answer)) {
    throw unexpected("not an object");
  }
  return answer as Record<string, unknown>;
}

/** An answer to a recipient holds no plaintext. One that does was not made by KMS for this request. */
function envelopeOf(answer: Record<string, unknown>): Uint8Array {
  const { Plaintext: plaintext, CiphertextForRecipient: envelope } = answer;
  if (plaintext !== undefined && plaintext !== null && plaintext !== "") throw unexpected("a bare Plaintext");
  if (typeof envelope !== "string") throw unexpected("no CiphertextForRecipient");
  try {
    return decodeBase64(envelope);
  } catch {
    throw unexpected("CiphertextForRecipient is not base64");
  }
}

/** A key ARN names one key, so the answer has to name the same; other forms KMS resolves itself. */
function checkKeyId(asked: string | undefined, answered: unknown): void {
  if (asked === undefined || !/^arn:[^:]+:kms:[^:]+:[^:]+:key\//.test(asked) || answered === asked) return;
  throw unexpected("KeyId is another key than the one asked for");
}

function unexpected(what: string): ProtocolError {
  return new ProtocolError(`Cannot use KMS's answer to Decrypt: ${what}`, {
    hint: "TLS says it came from KMS: does something between answer in its place?",
  });
}
