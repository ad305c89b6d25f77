import { decodeBase64 } from "../../core/encoding.ts";
import { ProtocolError } from "../../core/errors.ts";
import type { SecretBytes } from "../../core/secret_bytes.ts";

/** KMS's answer to one request, read member by member. Whatever KMS would not answer is an error. */
export class KmsReply {
  readonly #operation: string;
  readonly #members: Readonly<Record<string, unknown>>;
  readonly #open: (envelope: Uint8Array) => SecretBytes;

  /**
   * @param operation Such as `Decrypt`
   * @param body Answer of KMS with status 200
   * @param open Opens a `CiphertextForRecipient`
   * @throws {ProtocolError} When the body is not a JSON object
   */
  constructor(operation: string, body: Uint8Array, open: (envelope: Uint8Array) => SecretBytes) {
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
    throw this.#unexpected("KeyId is another key than the one asked for");
  }

  /**
   * @param member Its name
   * @param expected The one value it can have
   * @throws {ProtocolError} When it has another
   */
  expect(member: string, expected: string): void {
    if (this.#members[member] !== expected) throw this.#unexpected(`${member} is not the one asked for`);
  }

  /**
   * @param member Its name
   * @returns Its bytes, at least one
   * @throws {ProtocolError} When it is not there, empty or not base64
   */
  bytes(member: string): Uint8Array<ArrayBuffer> {
    const value = this.#members[member];
    if (typeof value !== "string" || value === "") throw this.#unexpected(`no ${member}`);
    try {
      return decodeBase64(value);
    } catch {
      throw this.#unexpected(`${member} is not base64`);
    }
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
  secret(member: string, length?: number): SecretBytes {
    const inClear = this.#members[member];
    if (inClear !== undefined && inClear !== null && inClear !== "") {
      throw this.#unexpected(`a bare ${member}`);
    }
    const secret = this.#open(this.bytes("CiphertextForRecipient"));
    if (length === undefined || secret.length === length) return secret;
    secret[Symbol.dispose]();
    throw this.#unexpected(`${member} has another length than the one asked for`);
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

  #unexpected(what: string): ProtocolError {
    return new ProtocolError(`Cannot use KMS's answer to ${this.#operation}: ${what}`, {
      hint: "TLS says it came from KMS: does something between answer in its place?",
    });
  }
}

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
