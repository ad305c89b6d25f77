/**
 * Messages of the kmstool protocol: JSON, each ended by one NUL byte.
 *
 * @see https://github.com/aws/aws-nitro-enclaves-sdk-c/blob/main/docs/kmstool.md
 *
 * @module
 */
import { allocateOffHeap } from "../core/secret_bytes.ts";
import { joinBase64, joinSecretJson } from "../core/secret_json.ts";
import { readSecretJson } from "../core/secret_json_reader.ts";

/** Longest message, in bytes, with its NUL. */
export const MAX_MESSAGE_BYTES = 8192;

/** Most messages of one connection that are no JSON object: after the last of them the connection ends. */
export const MAX_MALFORMED_MESSAGES = 8;

/** Texts that kmstool_instance expects after a failure, to the letter. */
export const KMSTOOL_ERRORS = {
  notJson: "Error reading JSON object",
  notObject: "JSON is wrong type",
  noOperation: "JSON structure incomplete",
  operationType: "Operation is wrong type",
  operationUnknown: "Operation not recognized",
  credentials: "Could not read credentials",
  region: "Could not set region correctly, check configuration.",
  client: "Could not create new client",
  noClient: "Client not initialized",
  noCiphertext: "Message does not contain a Ciphertext",
  ciphertextType: "Ciphertext not a base64 string",
  decrypt: "Could not decrypt ciphertext",
  tooLarge: "Message size too large.",
} as const;

/** Text of {@link KMSTOOL_ERRORS}. */
export type KmstoolErrorText = (typeof KMSTOOL_ERRORS)[keyof typeof KMSTOOL_ERRORS];

/** Refusal that is answered with one of the texts. The cause is for the log. */
export class KmstoolRefusal extends Error {
  /** Text of the answer. */
  readonly text: KmstoolErrorText;

  /**
   * Chooses the text.
   *
   * @param text Text of the answer
   * @param cause Cause, for the log
   */
  constructor(text: KmstoolErrorText, cause?: unknown) {
    super(text, { cause });
    this.text = text;
  }
}

/** Tells whether a message was refused for being no JSON object. */
export function isMalformed(refusal: KmstoolRefusal): boolean {
  return refusal.text === KMSTOOL_ERRORS.notJson || refusal.text === KMSTOOL_ERRORS.notObject;
}

/** Fields of a message. */
export type KmstoolMessage = Readonly<Record<string, unknown>>;

/**
 * Parses a message.
 *
 * @param bytes One message, without its NUL
 * @returns Its fields; one that is null counts as absent, as it does in C
 * @throws {KmstoolRefusal} When it is no JSON object
 */
export function parseMessage(bytes: Uint8Array): KmstoolMessage {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new KmstoolRefusal(KMSTOOL_ERRORS.notJson);
  }
  // json-c makes no difference between the text `null` and no JSON at all.
  if (value === null) throw new KmstoolRefusal(KMSTOOL_ERRORS.notJson);
  if (typeof value !== "object" || Array.isArray(value)) throw new KmstoolRefusal(KMSTOOL_ERRORS.notObject);
  return value as KmstoolMessage;
}

/**
 * Reads a field.
 *
 * @param message Fields of the message
 * @param name Name of the field
 * @returns The field; undefined when it is absent or null
 */
export function field(message: KmstoolMessage, name: string): unknown {
  return Object.hasOwn(message, name) ? message[name] ?? undefined : undefined;
}

/**
 * Reads the encryption context of a decrypt.
 *
 * kmstool_enclave prints the field and reads the text as JSON, so a string that holds an object is that object. A
 * string that holds anything else ends that process; here it is refused.
 *
 * @param message Fields of the message
 * @returns The context, not checked yet; undefined when there is none
 * @throws {KmstoolRefusal} When a string holds no object
 */
export function readEncryptionContext(message: KmstoolMessage): Record<string, string> | undefined {
  const context = field(message, "EncryptionContext");
  if (typeof context !== "string") return context as Record<string, string> | undefined;
  let read: unknown;
  try {
    read = JSON.parse(context);
  } catch {
    // Said below.
  }
  if (typeof read !== "object" || read === null) throw new KmstoolRefusal(KMSTOOL_ERRORS.decrypt);
  return read as Record<string, string>;
}

/** Makes the answer of a success without a result. */
export function okMessage(): Uint8Array<ArrayBuffer> {
  return encode({ Status: "Ok" });
}

/**
 * Makes the answer to a decrypt.
 *
 * @param plaintext The plaintext; not kept
 * @returns The answer, for the caller to wipe
 */
export function plaintextMessage(plaintext: Uint8Array): Uint8Array<ArrayBuffer> {
  return joinBase64('{"Status":"Ok","Message":"', plaintext, '"}\0');
}

/** Makes the answer of a failure. */
export function errorMessage(text: KmstoolErrorText): Uint8Array<ArrayBuffer> {
  return encode({ Status: "Error", Message: text });
}

/** Credentials and region of a client, all in printable ASCII. */
export interface KmstoolClient {
  /** Access key id. */
  readonly accessKeyId: string;
  /** Secret access key. */
  readonly secretAccessKey: Uint8Array;
  /** Session token of temporary credentials. */
  readonly sessionToken?: Uint8Array | undefined;
  /** Region of KMS; an enclave that has one of its own refuses another. */
  readonly region?: string | undefined;
}

/**
 * Makes the message that sets an enclave's client.
 *
 * @param client Credentials and region; not kept
 * @returns The message with its NUL, for the caller to wipe
 */
export function setClientMessage(client: KmstoolClient): Uint8Array<ArrayBuffer> {
  const { accessKeyId, secretAccessKey, sessionToken, region } = client;
  return joinSecretJson([
    `{"Operation":"SetClient","AwsAccessKeyId":${JSON.stringify(accessKeyId)},"AwsSecretAccessKey":"`,
    { secret: secretAccessKey },
    '"',
    ...(sessionToken === undefined ? [] : [',"AwsSessionToken":"', { secret: sessionToken }, '"']),
    region === undefined ? "" : `,"AwsRegion":${JSON.stringify(region)}`,
    "}\0",
  ]);
}

/**
 * Makes the message that asks for a plaintext.
 *
 * @param ciphertext Ciphertext in base64
 * @param context Encryption context; an empty one is left out, as kmstool_instance does
 * @returns The message with its NUL
 */
export function decryptMessage(
  ciphertext: string,
  context: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const hasContext = Object.keys(context).length > 0;
  const message = { Operation: "Decrypt", Ciphertext: ciphertext, EncryptionContext: context };
  return new TextEncoder().encode(
    `${JSON.stringify(message, hasContext ? undefined : ["Operation", "Ciphertext"])}\0`,
  );
}

/** Reply of an enclave. */
export interface KmstoolReply {
  /** Whether it is a success. */
  readonly isOk: boolean;
  /** Plaintext in base64, or the reason of a failure: bytes of what was read. Unset where there is none. */
  readonly message: Uint8Array | undefined;
}

/**
 * Reads a reply.
 *
 * @param bytes One reply without its NUL. It is changed, a secret may lie in it, and the caller wipes it
 * @returns The reply; undefined when it is none
 */
export function readReply(bytes: Uint8Array): KmstoolReply | undefined {
  const { Status: status, Message: message = undefined, ...rest } = readSecretJson(bytes, ["Message"]) ?? {};
  if (status !== "Ok" && status !== "Error") return undefined;
  if (Object.keys(rest).length > 0) return undefined;
  if (message !== undefined && !(message instanceof Uint8Array)) return undefined;
  return { isOk: status === "Ok", message };
}

/** Buffer that cuts a stream into messages. It holds credentials, and wipes each message after its use. */
export class MessageBuffer implements Disposable {
  readonly #bytes = allocateOffHeap(MAX_MESSAGE_BYTES);
  #length = 0;

  /** Whether a message has begun and not ended. */
  get isPartial(): boolean {
    return this.#length > 0;
  }

  /**
   * Takes a chunk of the stream over.
   *
   * @param chunk The chunk; it is overwritten
   * @returns Each message that it ends, without the NUL, valid until the next one is asked for
   * @throws {KmstoolRefusal} When a message is too long; the rest of the stream means nothing then
   */
  *take(chunk: Uint8Array): Generator<Uint8Array> {
    let position = 0;
    while (position < chunk.length) {
      const nul = chunk.indexOf(0, position);
      const end = nul < 0 ? chunk.length : nul;
      this.#append(chunk.subarray(position, end));
      position = end + 1;
      if (nul < 0) return;
      yield this.#bytes.subarray(0, this.#length);
      this.#clear();
    }
  }

  /** Wipes the buffered bytes. */
  [Symbol.dispose](): void {
    this.#clear();
  }

  #append(part: Uint8Array): void {
    if (this.#length + part.length >= MAX_MESSAGE_BYTES) throw new KmstoolRefusal(KMSTOOL_ERRORS.tooLarge);
    this.#bytes.set(part, this.#length);
    this.#length += part.length;
    part.fill(0);
  }

  #clear(): void {
    this.#bytes.fill(0, 0, this.#length);
    this.#length = 0;
  }
}

function encode(answer: Readonly<Record<string, string>>): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${JSON.stringify(answer)}\0`);
}
