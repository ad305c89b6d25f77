import type { Deadline } from "./deadline.ts";
import { CredentialsError } from "./errors.ts";
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
}

/** Credentials, or a function that returns them and is asked before every request. */
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

  private constructor(accessKeyId: string, secretAccessKey: SecretBytes, sessionToken?: SecretBytes) {
    this.accessKeyId = accessKeyId;
    this.secretAccessKey = secretAccessKey;
    this.sessionToken = sessionToken;
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
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    checkPart("accessKeyId", accessKeyId, MAX_ACCESS_KEY_ID_BYTES);
    checkPart("secretAccessKey", secretAccessKey, MAX_SECRET_ACCESS_KEY_BYTES);
    if (sessionToken !== undefined) checkPart("sessionToken", sessionToken, MAX_SESSION_TOKEN_BYTES);
    return new OwnedCredentials(
      checkScopeable(typeof accessKeyId === "string" ? accessKeyId : new TextDecoder().decode(accessKeyId)),
      copyPart(secretAccessKey),
      sessionToken === undefined ? undefined : copyPart(sessionToken),
    );
  }

  /** Another copy, with an owner of its own. */
  clone(): OwnedCredentials {
    return OwnedCredentials.copyOf({
      accessKeyId: this.accessKeyId,
      secretAccessKey: this.secretAccessKey.bytes,
      sessionToken: this.sessionToken?.bytes,
    });
  }

  /** Wipes the secrets. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.secretAccessKey[Symbol.dispose]();
    this.sessionToken?.[Symbol.dispose]();
  }
}

/**
 * Where a client's credentials come from: a copy of those it was given, or a provider that is asked before
 * every request. Nothing is cached for a provider, so that rotated credentials are used at once.
 */
export class CredentialsSource implements Disposable {
  readonly #source: OwnedCredentials | (() => Credentials | Promise<Credentials>);

  /**
   * @param provider Credentials, which are checked and copied now, or a function
   * @throws {TypeError} If it is neither, or a part of the credentials is malformed
   */
  constructor(provider: CredentialsProvider) {
    this.#source = typeof provider === "function" ? provider : OwnedCredentials.copyOf(provider);
  }

  /**
   * @param deadline When to stop waiting for the provider
   * @returns A copy for one request; the caller disposes it
   * @throws {CredentialsError} If the provider fails or returns something malformed
   * @throws {DisposedError} After dispose, if there was a copy
   */
  async get(deadline: Deadline): Promise<OwnedCredentials> {
    if (this.#source instanceof OwnedCredentials) return this.#source.clone();
    const provided = await deadline.race(ask(this.#source));
    try {
      return OwnedCredentials.copyOf(provided);
    } catch (error) {
      throw malformed(error);
    }
  }

  /** Wipes the copy, where there is one. Disposing twice is harmless. */
  [Symbol.dispose](): void {
    if (this.#source instanceof OwnedCredentials) this.#source[Symbol.dispose]();
  }
}

const MAX_ACCESS_KEY_ID_BYTES = 128;
const MAX_SECRET_ACCESS_KEY_BYTES = 1024;
const MAX_SESSION_TOKEN_BYTES = 16_384;

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

function copyPart(part: CredentialPart): SecretBytes {
  if (typeof part !== "string") return SecretBytes.copyOf(part);
  const bytes = allocateOffHeap(part.length);
  new TextEncoder().encodeInto(part, bytes);
  return new SecretBytes(bytes);
}

async function ask(provider: () => Credentials | Promise<Credentials>): Promise<Credentials> {
  try {
    return await provider();
  } catch (error) {
    throw new CredentialsError(`Cannot get credentials: the provider failed${nameOf(error)}`, {
      hint: "The provider's own error is withheld, since it may hold secrets; log it inside the provider",
    });
  }
}

// The name and the system's code say what happened; the message may hold a secret.
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const words = [error.name, code].filter((word) =>
    /^(?:[A-Za-z]{1,40}Error|Error|E[A-Z]{3,14})$/.test(word)
  );
  return words.length === 0 ? "" : ` with ${words.join(" ")}`;
}

function malformed(error: unknown): CredentialsError {
  const reason = error instanceof TypeError ? error.message : "Cannot use credentials: unreadable";
  return new CredentialsError(reason, {
    hint: "Does the provider return what STS or the parent handed out?",
  });
}
