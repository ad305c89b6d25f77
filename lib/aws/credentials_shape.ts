/**
 * Reader of credentials in each form: this library's, and those of IMDS, ECS, STS and AWS's command line.
 *
 * @module
 */

/** Part of the credentials: text, or its UTF-8 bytes. */
export type CredentialPart = string | Uint8Array;

/** Credentials in one form, after every check. The parts are the caller's own, not copies. */
export interface CheckedCredentials {
  readonly accessKeyId: CredentialPart;
  readonly secretAccessKey: CredentialPart;
  readonly sessionToken: CredentialPart | undefined;
  /** Expiration, in milliseconds since 1970. */
  readonly expiresAtMs: number | undefined;
}

/** Wrong field, without its value. */
export interface CredentialsProblem {
  /** Path such as `secretAccessKey` or `Credentials.Token`; empty for the whole value. */
  readonly path: string;
  readonly expected: string;
}

/**
 * Origin of credentials. An object in `code` may have other fields, such as one of AWS's SDK; in `json` an unknown
 * field is refused, since it may be a misspelt session token.
 */
export type CredentialsOrigin = "code" | "json";

/**
 * Reads credentials in any form.
 *
 * @param given Value that may be credentials
 * @param origin Origin of the value
 * @returns The credentials, or every field that is wrong
 */
export function readCredentials(
  given: unknown,
  origin: CredentialsOrigin,
): CheckedCredentials | readonly CredentialsProblem[] {
  const reader = new CredentialsReader(origin);
  const checked = reader.read(given);
  return reader.problems.length === 0 && checked !== undefined ? checked : reader.problems;
}

/** Longest access key id, in bytes. */
export const MAX_ACCESS_KEY_ID_BYTES = 128;

/** Longest secret access key, in bytes. */
export const MAX_SECRET_ACCESS_KEY_BYTES = 1024;

/** Longest session token, in bytes. */
export const MAX_SESSION_TOKEN_BYTES = 16_384;

const OWN_FIELDS: readonly string[] = ["accessKeyId", "secretAccessKey", "sessionToken", "expiration"];

const AWS_FIELDS: readonly string[] = [
  ...["AccessKeyId", "SecretAccessKey", "SessionToken", "Token", "Expiration"],
  // Beside them in the answers of IMDS (the first three), ECS and the command line.
  ...["Code", "LastUpdated", "Type", "RoleArn", "AccountId", "Version"],
];

/** Fields of the answers of STS, `Credentials` among them. */
export const STS_FIELDS: readonly string[] = [
  ...["Credentials", "AssumedRoleUser", "FederatedUser", "PackedPolicySize", "SourceIdentity"],
  ...["SubjectFromWebIdentityToken", "Provider", "Audience"],
  ...["Subject", "SubjectType", "Issuer", "NameQualifier", "ResponseMetadata"],
];

/** Time with its zone, in the form of ISO 8601 that AWS writes. */
export const ISO_TIME: RegExp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)$/;

/** Times that are taken for milliseconds come after this one, in 1973: an earlier one was given in seconds. */
export const EARLIEST_MS = 1e11;

/** Last time that a Date can hold, in milliseconds. */
export const LATEST_MS = 8.64e15;

type Fields = Readonly<Record<string, unknown>>;

class CredentialsReader {
  readonly problems: CredentialsProblem[] = [];
  readonly #origin: CredentialsOrigin;
  #prefix = "";

  constructor(origin: CredentialsOrigin) {
    this.#origin = origin;
  }

  read(given: unknown): CheckedCredentials | undefined {
    if (!isObject(given)) return void this.#note("", "an object");
    if (hasAnyOf(given, OWN_FIELDS)) return this.#readOwn(given);
    if (!("Credentials" in given)) {
      return hasAnyOf(given, AWS_FIELDS) ? this.#readAws(given) : this.#readOwn(given);
    }
    this.#refuseOthers(given, STS_FIELDS);
    const inner = given["Credentials"];
    if (!isObject(inner)) return void this.#note("Credentials", "an object");
    this.#prefix = "Credentials.";
    return this.#readAws(inner);
  }

  #readOwn(given: Fields): CheckedCredentials {
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = given;
    const checked = {
      accessKeyId: this.#accessKeyId("accessKeyId", accessKeyId),
      secretAccessKey: this.#part("secretAccessKey", secretAccessKey, MAX_SECRET_ACCESS_KEY_BYTES),
      sessionToken: this.#sessionToken("sessionToken", sessionToken),
      expiresAtMs: this.#time("expiration", expiration),
    };
    this.#refuseOthers(given, OWN_FIELDS, [...AWS_FIELDS, "Credentials"]);
    return checked;
  }

  #readAws(given: Fields): CheckedCredentials {
    const { AccessKeyId, SecretAccessKey, SessionToken, Token, Expiration, Code, Version } = given;
    if (Code !== undefined && Code !== "Success") this.#note("Code", '"Success", as IMDS has it');
    if (Version !== undefined && Version !== 1) this.#note("Version", "1, as credential_process has it");
    if (Token !== undefined && SessionToken !== undefined) this.#note("Token", "nothing beside SessionToken");
    const checked = {
      accessKeyId: this.#accessKeyId("AccessKeyId", AccessKeyId),
      secretAccessKey: this.#part("SecretAccessKey", SecretAccessKey, MAX_SECRET_ACCESS_KEY_BYTES),
      sessionToken: this.#sessionToken("SessionToken", SessionToken) ?? this.#sessionToken("Token", Token),
      expiresAtMs: this.#time("Expiration", Expiration),
    };
    this.#refuseOthers(given, AWS_FIELDS, OWN_FIELDS);
    return checked;
  }

  #accessKeyId(path: string, value: unknown): CredentialPart {
    const part = this.#part(path, value, MAX_ACCESS_KEY_ID_BYTES);
    const text = typeof part === "string" ? part : new TextDecoder().decode(part);
    // In the Authorization header these two end the access key id.
    if (/[/,]/.test(text)) this.#note(path, "neither a slash nor a comma");
    return part;
  }

  #sessionToken(path: string, value: unknown): CredentialPart | undefined {
    return value === undefined ? undefined : this.#part(path, value, MAX_SESSION_TOKEN_BYTES);
  }

  #part(path: string, value: unknown, maxBytes: number): CredentialPart {
    if (value === undefined && this.#origin === "json") return this.#note(path, "to be there");
    if (typeof value !== "string" && !(value instanceof Uint8Array)) {
      return this.#note(path, this.#origin === "json" ? "a string" : "a string or a Uint8Array");
    }
    if (value.length === 0 || value.length > maxBytes) return this.#note(path, `1 to ${maxBytes} bytes`);
    const printable = typeof value === "string" ? !/[^\x21-\x7e]/.test(value) : value.every(isPrintable);
    return printable ? value : this.#note(path, "printable ASCII without spaces");
  }

  #time(path: string, value: unknown): number | undefined {
    if (value === undefined) return undefined;
    const milliseconds = typeof value === "string" && ISO_TIME.test(value)
      ? Date.parse(value)
      : value instanceof Date
      ? value.getTime()
      : value;
    if (typeof milliseconds === "number" && milliseconds > EARLIEST_MS && milliseconds <= LATEST_MS) {
      return milliseconds;
    }
    const date = this.#origin === "json" ? "" : "a Date, ";
    this.#note(path, `${date}ISO 8601 with a time zone, or milliseconds since 1970`);
    return undefined;
  }

  /** Refuses fields of another form from every origin: they would be dropped in silence. */
  #refuseOthers(given: Fields, known: readonly string[], foreign: readonly string[] = []): void {
    for (const field of foreign) if (field in given) this.#note(field, `nothing beside ${known[0]}`);
    if (this.#origin === "code") return;
    for (const field of Object.keys(given)) {
      if (known.includes(field) || foreign.includes(field)) continue;
      this.#note(showable(field), `no other fields than ${known.join(", ")}`);
    }
  }

  #note(path: string, expected: string): "" {
    this.problems.push({ path: path === "" ? "" : `${this.#prefix}${path}`, expected });
    return "";
  }
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hasAnyOf(given: Fields, fields: readonly string[]): boolean {
  return fields.some((field) => field in given);
}

/** Shows a name only when it is short and has no digits: it could be a credential in the place of a name. */
function showable(field: string): string {
  return /^[A-Za-z_]{1,24}$/.test(field) ? field : "";
}

function isPrintable(byte: number): boolean {
  return byte > 0x20 && byte < 0x7f;
}
