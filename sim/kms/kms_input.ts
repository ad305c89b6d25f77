import { decodeBase64 } from "../../lib/core/encoding.ts";
import { KmsRefusal } from "./kms_errors.ts";
import { KEY_ALGORITHMS, type KeyAlgorithm } from "./keys/encryption_algorithms.ts";

/** The JSON object of a request, read member by member, each with KMS's own errors. */
export class KmsInput {
  readonly #members: Readonly<Record<string, unknown>>;

  /** @param members The parsed JSON */
  constructor(members: Readonly<Record<string, unknown>>) {
    this.#members = members;
  }

  /**
   * Parses the body of a request.
   *
   * @param body The body
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

  /** Leaves out a member that the operation does not know: KMS ignores those. */
  without(name: string): KmsInput {
    const { [name]: _, ...others } = this.#members;
    return new KmsInput(others);
  }

  /** Reads a text that may be absent. */
  text(name: string): string | undefined {
    const value = this.#members[name] ?? undefined;
    if (value === undefined || typeof value === "string") return value;
    throw new KmsRefusal("SerializationException", `${name} is not a string`);
  }

  /** Reads a text that must be present. */
  requiredText(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw invalid("null", name, "Member must not be null");
    return value;
  }

  /** Reads base64 of 1 to `maxLength` bytes. */
  bytes(name: string, maxLength: number): Uint8Array<ArrayBuffer> {
    const bytes = this.#decode(name, this.requiredText(name));
    if (bytes.length === 0) throw invalid("", name, "Member must have length greater than or equal to 1");
    if (bytes.length > maxLength) {
      throw invalid("", name, `Member must have length less than or equal to ${maxLength}`);
    }
    return bytes;
  }

  /** Reads a map of strings; empty when absent. */
  textMap(name: string): Readonly<Record<string, string>> {
    const value = this.#members[name] ?? {};
    if (isRecord(value) && Object.values(value).every((entry) => typeof entry === "string")) {
      return value as Record<string, string>;
    }
    throw new KmsRefusal("SerializationException", `${name} is not a map of strings`);
  }

  /** Reads a structure that may be absent. */
  structure(name: string): KmsInput | undefined {
    const value = this.#members[name] ?? undefined;
    if (value === undefined) return undefined;
    if (isRecord(value)) return new KmsInput(value);
    throw new KmsRefusal("SerializationException", `${name} is not a structure`);
  }

  /** Reads EncryptionAlgorithm; `SYMMETRIC_DEFAULT` when absent. */
  algorithm(): KeyAlgorithm {
    return this.choice("EncryptionAlgorithm", KEY_ALGORITHMS) ?? "SYMMETRIC_DEFAULT";
  }

  /** Reads a text that is one of the choices, and may be absent. */
  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const choice = choices.find((known) => known === value);
    if (choice !== undefined) return choice;
    throw invalid(value, name, `Member must satisfy enum value set: [${choices.join(", ")}]`);
  }

  /** Reads a text that must be present and one of the choices. */
  requiredChoice<Choice extends string>(name: string, choices: readonly Choice[]): Choice {
    const choice = this.choice(name, choices);
    if (choice === undefined) throw invalid("null", name, "Member must not be null");
    return choice;
  }

  /** Reads a whole number from `min` to `max` that may be absent. */
  integer(name: string, min: number, max: number): number | undefined {
    const value = this.#members[name] ?? undefined;
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !Number.isInteger(value)) {
      throw new KmsRefusal("SerializationException", `${name} is not an integer`);
    }
    const constraint = value < min ? `greater than or equal to ${min}` : `less than or equal to ${max}`;
    if (value < min || value > max) {
      throw invalid(String(value), name, `Member must have value ${constraint}`);
    }
    return value;
  }

  /** Reads a boolean; false when absent. */
  flag(name: string): boolean {
    const value = this.#members[name] ?? false;
    if (typeof value === "boolean") return value;
    throw new KmsRefusal("SerializationException", `${name} is not a boolean`);
  }

  /** Reads at most `maxCount` texts of 1 to `maxLength` characters; empty when absent. */
  texts(name: string, maxCount: number, maxLength: number): readonly string[] {
    const value: unknown = this.#members[name] ?? [];
    if (!Array.isArray(value) || !value.every((entry) => typeof entry === "string")) {
      throw new KmsRefusal("SerializationException", `${name} is not a list of strings`);
    }
    if (value.length > maxCount) {
      throw invalid("", name, `Member must have length less than or equal to ${maxCount}`);
    }
    if (value.some(({ length }) => length < 1 || length > maxLength)) {
      const [least, most] = [1, maxLength].map((n) =>
        `length ${n === 1 ? "greater" : "less"} than or equal to ${n}`
      );
      throw invalid(
        "",
        name,
        `Member must satisfy constraint: [Member must have ${most}, Member must have ${least}]`,
      );
    }
    return value;
  }

  #decode(name: string, text: string): Uint8Array<ArrayBuffer> {
    try {
      return decodeBase64(text);
    } catch {
      throw new KmsRefusal("SerializationException", `${name} is not base64`);
    }
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Makes the refusal of a value. KMS shows `""` or `"null"` for one that is long, secret or missing. */
function invalid(value: string, name: string, constraint: string): KmsRefusal {
  const member = name.charAt(0).toLowerCase() + name.slice(1);
  const shown = value === "null" || value === "" ? "" : ` '${value}'`;
  return new KmsRefusal(
    "ValidationException",
    `1 validation error detected: Value${shown} at '${member}' failed to satisfy constraint: ${constraint}`,
  );
}
