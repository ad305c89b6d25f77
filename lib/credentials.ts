import { allocateOffHeap, SecretBytes } from "./secret_bytes.ts";

/** One part of the credentials: text, or its UTF-8 bytes. */
export type CredentialPart = string | Uint8Array;

/** AWS credentials, as STS or the parent hands them out. Every part is printable ASCII without spaces. */
export interface Credentials {
  /** Access key id, 1 to 128 bytes. */
  readonly accessKeyId: CredentialPart;
  /** Secret access key, 1 to 1024 bytes. */
  readonly secretAccessKey: CredentialPart;
  /** Session token of temporary credentials, 1 to 16384 bytes. */
  readonly sessionToken?: CredentialPart | undefined;
  /** When temporary credentials expire: a date, ISO 8601 with its time zone, or milliseconds since 1970. */
  readonly expiration?: Date | string | number | undefined;
}

/**
 * Credentials, or a function that returns them.
 *
 * A function whose answer has no `expiration` is asked before every request. One whose answer has is asked again
 * five minutes before, or when a tenth of the time is left if that is later, in the background, while requests go on
 * with what there is; all requests share the answer. If it fails, it is asked again after pauses that grow to a
 * minute. Requests that come at once share one question, also the first ones; one that is aborted ends no other.
 *
 * An `expiration` is advice, as it is to AWS's SDKs: past it the credentials are used on, and KMS decides, unless
 * {@link KmsClientOptions.expiredCredentials} is `refuse`. When KMS refuses credentials, as expired, as unknown or
 * for their signature, the function is asked once more, and the request sent again if its answer is another.
 * Engine `sdk-client` is not told why KMS refuses; it waits two seconds at most for fresher ones than those past
 * their `expiration`.
 *
 * With `refuse`, credentials fail with a {@link CredentialsError} from their `expiration` on, and nothing is sent.
 * Whether it is then is judged by KMS's clock, which its last answer showed. If there was none yet, KMS is asked for
 * the time first, without a signature: a clock that is far ahead makes good credentials look expired. Engine
 * `sdk-client` knows this machine's clock only.
 *
 * @example
 * ```ts
 * import { KmsClient } from "enclave-kms";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using enclave = await startSimulator(); // in an enclave: { region }
 * const credentials = () => {
 *   const { accessKeyId, secretAccessKey, sessionToken } = enclave.kms.issueCredentials(); // ask the parent
 *   return { accessKeyId, secretAccessKey, sessionToken, expiration: Date.now() + 3_600_000 };
 * };
 * await using client = await KmsClient.open({ ...enclave.clientOptions, credentials });
 * using random = await client.generateRandom({ numberOfBytes: 32 });
 * random.length; // 32
 * ```
 */
export type CredentialsProvider = Credentials | (() => Credentials | Promise<Credentials>);

/**
 * A checked copy of credentials that wipes its secrets when disposed. The caller's own copy stays the
 * caller's to wipe; what came as a JavaScript string cannot be wiped by anybody.
 */
export class OwnedCredentials implements Disposable {
  /** Access key id; it is sent in the clear and is no secret. */
  readonly accessKeyId: string;
  /** Secret access key, 1 to 1024 bytes. */
  readonly secretAccessKey: SecretBytes;
  /** Session token of temporary credentials, 1 to 16384 bytes. */
  readonly sessionToken: SecretBytes | undefined;
  /** When they expire, milliseconds since 1970, where that is known. */
  readonly expiresAtMs: number | undefined;

  private constructor(
    accessKeyId: string,
    secretAccessKey: SecretBytes,
    sessionToken: SecretBytes | undefined,
    expiresAtMs: number | undefined,
  ) {
    this.accessKeyId = accessKeyId;
    this.secretAccessKey = secretAccessKey;
    this.sessionToken = sessionToken;
    this.expiresAtMs = expiresAtMs;
  }

  /**
   * @param credentials What to check and to copy
   * @returns The owner of the copy
   * @throws {TypeError} Naming the part that is missing, of a wrong type, too long or not printable ASCII
   */
  static copyOf(credentials: Credentials): OwnedCredentials {
    if (typeof credentials !== "object" || credentials === null) {
      throw new TypeError("Cannot use credentials: expected an object or a function that returns one");
    }
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = credentials;
    checkPart("accessKeyId", accessKeyId, MAX_ACCESS_KEY_ID_BYTES);
    checkPart("secretAccessKey", secretAccessKey, MAX_SECRET_ACCESS_KEY_BYTES);
    if (sessionToken !== undefined) checkPart("sessionToken", sessionToken, MAX_SESSION_TOKEN_BYTES);
    const expiresAtMs = expiration === undefined ? undefined : toMilliseconds(expiration);
    return new OwnedCredentials(
      checkScopeable(typeof accessKeyId === "string" ? accessKeyId : new TextDecoder().decode(accessKeyId)),
      copyPart(secretAccessKey),
      sessionToken === undefined ? undefined : copyPart(sessionToken),
      expiresAtMs,
    );
  }

  /** Another copy, with an owner of its own. */
  clone(): OwnedCredentials {
    return OwnedCredentials.copyOf({
      accessKeyId: this.accessKeyId,
      secretAccessKey: this.secretAccessKey.bytes,
      sessionToken: this.sessionToken?.bytes,
      expiration: this.expiresAtMs,
    });
  }

  /** Whether they are the same, whenever they expire. */
  equals(other: OwnedCredentials): boolean {
    return this.accessKeyId === other.accessKeyId &&
      isEqual(this.secretAccessKey.bytes, other.secretAccessKey.bytes) &&
      isEqual(this.sessionToken?.bytes, other.sessionToken?.bytes);
  }

  /** Wipes the secrets. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.secretAccessKey[Symbol.dispose]();
    this.sessionToken?.[Symbol.dispose]();
  }
}

const MAX_ACCESS_KEY_ID_BYTES = 128;
const MAX_SECRET_ACCESS_KEY_BYTES = 1024;
const MAX_SESSION_TOKEN_BYTES = 16_384;

const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)$/;

/** In 1973: what is earlier was given in seconds. */
const EARLIEST_MS = 1e11;

/** The last time that a Date can hold. */
const LATEST_MS = 8.64e15;

function checkPart(field: string, part: CredentialPart, maxBytes: number): void {
  if (typeof part !== "string" && !(part instanceof Uint8Array)) {
    throw new TypeError(`Cannot use credentials.${field}: expected a string or a Uint8Array`);
  }
  if (part.length === 0 || part.length > maxBytes) {
    throw new TypeError(`Cannot use credentials.${field}: expected 1 to ${maxBytes} bytes`);
  }
  const printable = typeof part === "string" ? !/[^\x21-\x7e]/.test(part) : part.every(isPrintable);
  if (!printable) {
    throw new TypeError(`Cannot use credentials.${field}: expected printable ASCII without spaces`);
  }
}

function isPrintable(byte: number): boolean {
  return byte > 0x20 && byte < 0x7f;
}

// In the Authorization header these two end the access key id.
function checkScopeable(accessKeyId: string): string {
  if (!/[/,]/.test(accessKeyId)) return accessKeyId;
  throw new TypeError("Cannot use credentials.accessKeyId: expected neither a slash nor a comma");
}

function toMilliseconds(expiration: unknown): number {
  const milliseconds = typeof expiration === "string" && ISO_TIME.test(expiration)
    ? Date.parse(expiration)
    : expiration instanceof Date
    ? expiration.getTime()
    : expiration;
  if (typeof milliseconds === "number" && milliseconds > EARLIEST_MS && milliseconds <= LATEST_MS) {
    return milliseconds;
  }
  throw new TypeError(
    "Cannot use credentials.expiration: expected a Date, ISO 8601 with a time zone, or milliseconds since 1970",
  );
}

function isEqual(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

function copyPart(part: CredentialPart): SecretBytes {
  if (typeof part !== "string") return SecretBytes.copyOf(part);
  const bytes = allocateOffHeap(part.length);
  new TextEncoder().encodeInto(part, bytes);
  return new SecretBytes(bytes);
}
