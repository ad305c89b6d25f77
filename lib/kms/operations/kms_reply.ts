import { decodeBase64 } from "../../core/encoding.ts";
import { ProtocolError } from "../../core/errors.ts";
import type { SecretBytes } from "../../core/secret_bytes.ts";

/** KMS's answer to one request, read member by member. Whatever KMS would not answer is an error. */
export class KmsReply {
  readonly #operation: string;
  readonly #members: Readonly<Record<string, unknown>>;
  readonly #open: (envelope: Uint8Array) => SecretBytes | Promise<SecretBytes>;

  /**
   * @param operation Such as `Decrypt`
   * @param body Answer of KMS with status 200
   * @param open Opens a `CiphertextForRecipient`
   * @throws {ProtocolError} When the body is not a JSON object
   */
  constructor(
    operation: string,
    body: Uint8Array,
    open: (envelope: Uint8Array) => SecretBytes | Promise<SecretBytes>,
  ) {
    this.#operation = operation;
    this.#open = open;
    this.#members = this.#parse(body);
  }

  /**
   * The ARN of the key that KMS used. A key ARN or key id that was asked for names one key, so the answer has
   * to name the same; an alias KMS resolves itself, but not to another region or account than its ARN says.
   *
   * @param asked Key that the request named, if it named one
   * @throws {ProtocolError} When it is another key, or no ARN
   */
  keyId(asked: string | undefined): string {
    const answered = this.#members["KeyId"];
    if (typeof answered !== "string" || !KEY_ARN.test(answered)) {
      throw this.#unexpected("KeyId is not a key ARN");
    }
    if (asked === undefined || canBe(asked, answered)) return answered;
    throw this.#unexpected("KeyId is not the key that was asked for");
  }

  /**
   * @param member Its name
   * @param expected The one value it can have
   * @throws {ProtocolError} When it has another
   */
  expect(member: string, expected: string | true): void {
    if (this.#members[member] !== expected) throw this.#unexpected(`${member} is not what was asked for`);
  }

  /**
   * @param member Its name
   * @param length Number of bytes that it must have, if that is known
   * @returns Its bytes, at least one
   * @throws {ProtocolError} When it is not there, empty, not base64, or of another length
   */
  bytes(member: string, length?: number): Uint8Array<ArrayBuffer> {
    const bytes = this.#decode(member);
    if (length === undefined || bytes.length === length) return bytes;
    throw this.#otherLength(member);
  }

  /**
   * @param member Its name
   * @returns A name of KMS's, such as `ECC_NIST_P256`: 1 to 64 capital letters, digits and underscores
   * @throws {ProtocolError} When it is something else
   */
  name(member: string): string {
    const value = this.#members[member];
    if (isName(value)) return value;
    throw this.#unexpected(`${member} is not a name of KMS's`);
  }

  /**
   * @param member Its name
   * @returns Up to 64 names of KMS's; none when it is not there
   * @throws {ProtocolError} When it is something else
   */
  names(member: string): readonly string[] {
    const value = this.#members[member] ?? [];
    if (Array.isArray(value) && value.length <= MAX_NAMES && value.every(isName)) return value;
    throw this.#unexpected(`${member} is not a list of names of KMS's`);
  }

  /**
   * Opens the secret that KMS encrypted to the recipient. An answer to a recipient holds no secret in clear: KMS did
   * not make one that does for this request.
   *
   * @param member Name of the member that would hold the secret in clear
   * @param length Number of bytes that it must have, if that is known
   * @returns The secret; the caller disposes it
   * @throws {ProtocolError} When it is in clear, not there, or cannot be opened
   */
  async secret(member: string, length?: number): Promise<SecretBytes> {
    const inClear = this.#members[member];
    if (inClear !== undefined && inClear !== null && inClear !== "") {
      throw this.#unexpected(`it has ${member} unencrypted`);
    }
    const secret = await this.#open(this.bytes("CiphertextForRecipient"));
    if (length === undefined || secret.length === length) return secret;
    secret[Symbol.dispose]();
    throw this.#otherLength(member);
  }

  #parse(body: Uint8Array): Readonly<Record<string, unknown>> {
    let answer: unknown;
    try {
      answer = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
    } catch {
      throw this.#unexpected("not JSON");
    }
    if (typeof answer !== "object" || answer === null || Array.isArray(answer)) {
      throw this.#unexpected("not an object");
    }
    return answer as Record<string, unknown>;
  }

  #decode(member: string): Uint8Array<ArrayBuffer> {
    const value = this.#members[member];
    if (typeof value !== "string" || value === "") throw this.#unexpected(`no ${member}`);
    try {
      return decodeBase64(value);
    } catch {
      throw this.#unexpected(`${member} is not base64`);
    }
  }

  #otherLength(member: string): ProtocolError {
    return this.#unexpected(`${member} is not as long as was asked for`);
  }

  #unexpected(what: string): ProtocolError {
    return new ProtocolError(`Cannot use KMS's answer to ${this.#operation}: ${what}`, {
      hint: "The certificate was KMS's. Is a TLS-inspecting proxy answering in its place?",
    });
  }
}

/** Most names of a list. */
const MAX_NAMES = 64;

const isName = (value: unknown): value is string =>
  typeof value === "string" && /^[A-Z0-9_]{1,64}$/.test(value);

const KEY_ARN = /^arn:[\w-]+:kms:[\w-]+:\d{12}:key\/[\w-]+$/;

function canBe(asked: string, answered: string): boolean {
  if (asked.startsWith("alias/")) return true;
  const [owner, name] = splitArn(answered);
  const [askedOwner, askedName] = asked.startsWith("arn:") ? splitArn(asked) : [owner, `key/${asked}`];
  return askedOwner === owner && (askedName.startsWith("alias/") || askedName === name);
}

function splitArn(arn: string): [owner: string, name: string] {
  const parts = arn.split(":");
  return [parts.slice(0, 5).join(":"), parts.slice(5).join(":")];
}
