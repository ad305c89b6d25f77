import { decodeBase64 } from "../lib/encoding.ts";
import { KmsRefusal } from "./kms_errors.ts";
import type { KeyAlgorithm } from "./kms_keys.ts";

/** The JSON object of a request, read member by member, each with KMS's own errors. */
export class KmsInput {
  readonly #members: Readonly<Record<string, unknown>>;

  /** @param members The parsed JSON */
  constructor(members: Readonly<Record<string, unknown>>) {
    this.#members = members;
  }

  /**
   * @param body The request's body
   * @throws {KmsRefusal} `SerializationException` when it is not a JSON object
   */
  static parse(body: Uint8Array): KmsInput {
    try {
      const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
      if (isRecord(value)) return new KmsInput(value);
    } catch {
      // refused below
    }
    throw new KmsRefusal("SerializationException", null);
  }

  /** A member that may be absent. */
  text(name: string): string | undefined {
    const value = this.#members[name] ?? undefined;
    if (value === undefined || typeof value === "string") return value;
    throw new KmsRefusal("SerializationException", `${name} is not a string`);
  }

  /** A member that has to be there. */
  requiredText(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw invalid("null", name, "Member must not be null");
    return value;
  }

  /** Base64 of 1 to `maxLength` bytes. */
  bytes(name: string, maxLength: number): Uint8Array<ArrayBuffer> {
    const bytes = this.#decode(name, this.requiredText(name));
    if (bytes.length === 0) throw invalid("", name, "Member must have length greater than or equal to 1");
    if (bytes.length > maxLength) {
      throw invalid("", name, `Member must have length less than or equal to ${maxLength}`);
    }
    return bytes;
  }

  /** A map of strings; empty when absent. */
  textMap(name: string): Readonly<Record<string, string>> {
    const value = this.#members[name] ?? {};
    if (isRecord(value) && Object.values(value).every((entry) => typeof entry === "string")) {
      return value as Record<string, string>;
    }
    throw new KmsRefusal("SerializationException", `${name} is not a map of strings`);
  }

  /** A structure that may be absent. */
  structure(name: string): KmsInput | undefined {
    const value = this.#members[name] ?? undefined;
    if (value === undefined) return undefined;
    if (isRecord(value)) return new KmsInput(value);
    throw new KmsRefusal("SerializationException", `${name} is not a structure`);
  }

  /** EncryptionAlgorithm; `SYMMETRIC_DEFAULT` when absent. */
  algorithm(): KeyAlgorithm {
    const value = this.text("EncryptionAlgorithm") ?? "SYMMETRIC_DEFAULT";
    const algorithm = ALGORITHMS.find((known) => known === value);
    if (algorithm !== undefined) return algorithm;
    const set = `Member must satisfy enum value set: [${ALGORITHMS.join(", ")}]`;
    throw invalid(value, "EncryptionAlgorithm", set);
  }

  #decode(name: string, text: string): Uint8Array<ArrayBuffer> {
    try {
      return decodeBase64(text);
    } catch {
      throw new KmsRefusal("SerializationException", `${name} is not base64`);
    }
  }
}

const ALGORITHMS: readonly KeyAlgorithm[] = ["SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"];

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(value: string, name: string, constraint: string): KmsRefusal {
  const member = name.charAt(0).toLowerCase() + name.slice(1);
  const shown = value === "null" ? "" : ` '${value}'`;
  return new KmsRefusal(
    "ValidationException",
    `1 validation error detected: Value${shown} at '${member}' failed to satisfy constraint: ${constraint}`,
  );
}
