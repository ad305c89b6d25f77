import { checkFields, checkRecord } from "../../core/checks.ts";
import { checkActions } from "../actions.ts";

/** Type of an attribute that the operator assigns to a caller. */
export type AttributeType = "String" | "Long" | "Boolean" | "Set<String>";

/** Types of the attributes that callers may have, by name. */
export type AttributeTypes = Readonly<Record<string, AttributeType>>;

/** Attributes of callers when {@link CedarOptions.attributes} names no others. */
export const DEFAULT_ATTRIBUTES: AttributeTypes = Object.freeze({
  name: "String",
  tenant: "String",
  roles: "Set<String>",
});

const ATTRIBUTE_NAME = /^[A-Za-z_]\w{0,63}$/;
const ATTRIBUTE_TYPES: readonly unknown[] = ["String", "Long", "Boolean", "Set<String>"];

/** Words that cannot name an attribute: Cedar's own, which would need quotes, and `cid`. */
const RESERVED: readonly string[] = ["cid", "true", "false", "if", "then", "else", "in", "is", "like", "has"];

/** Names that a schema declares. */
export interface SchemaParts {
  /** Actions that the host asks about, each a word such as `Decrypt`. */
  readonly actions: readonly string[];
  /** Attributes that callers may have. Default: {@link DEFAULT_ATTRIBUTES}. */
  readonly attributes?: AttributeTypes | undefined;
}

/**
 * Writes the schema that policies are checked against, in Cedar's own notation.
 *
 * - `Caller::"7"` is the process behind CID 7; `principal.cid` is the number. Its other attributes are those that the
 *   operator assigned: each is optional, so policies ask `principal has tenant` first.
 * - `Key::"…"` is the key that the caller named, to the letter: a key id, a key ARN or an alias; `Key::""` when
 *   the caller named none. KMS refuses a ciphertext of any other key than the named one; with none named, the
 *   ciphertext chooses the key.
 * - `context.encryptionContext` has the encryption context's pairs as tags: `hasTag("tenant")` first, then
 *   `getTag("tenant")`, or the policy does not load.
 * - `context.time` is in seconds since 1970, by the enclave's clock, which the parent may set.
 * - `context.recentCount` counts this caller's requests in the window, with this one and those refused on the
 *   same connection. Callers with one CID share it. Requests that this policy is not asked about do not count.
 *
 * @param parts The actions that the host asks about, and the attributes that callers may have
 * @returns The schema's text
 * @throws {TypeError} When an action's name, or an attribute's name or type, is not possible
 * @throws {RangeError} When there are no actions, or more than 128
 * @example
 * ```ts
 * import { cedarSchema } from "enclave-kms/policy";
 *
 * const schema = cedarSchema({ actions: ["Decrypt", "Sign"], attributes: { tier: "Long" } });
 * schema.includes('"tier"?: Long'); // true
 * schema.includes('action "Decrypt", "Sign" appliesTo'); // true
 * ```
 */
export function cedarSchema(parts: SchemaParts): string {
  const given = checkFields("schema parts", parts, ["actions", "attributes"]);
  const actions = checkActions(given.actions).map((action) => `"${action}"`);
  const { attributes = DEFAULT_ATTRIBUTES } = given;
  return SCHEMA.replace("  // attributes\n", declareAttributes(attributes))
    .replace("// actions", actions.join(", "));
}

function declareAttributes(attributes: AttributeTypes): string {
  return checkRecord("attributes", attributes).map(([name, type]) => {
    if (!ATTRIBUTE_NAME.test(name) || RESERVED.includes(name)) {
      throw new TypeError(
        "A caller's attribute needs a name of letters, digits and _, and not a word of Cedar's",
      );
    }
    if (!ATTRIBUTE_TYPES.includes(type)) {
      throw new TypeError(`The attribute ${name} must be String, Long, Boolean or Set<String>`);
    }
    return `  "${name}"?: ${type},\n`;
  }).join("");
}

const SCHEMA = `entity Caller = {
  "cid": Long,
  // attributes
};
entity Key = {
  "id": String,
  "region": String,
};
entity EncryptionContext tags String;
type Pcrs = {
${Array.from({ length: 16 }, (_, index) => `  "pcr${index}"?: String,`).join("\n")}
};
type Request = {
  "encryptionContext": EncryptionContext,
  "ciphertextLength": Long,
  "ciphertextSha256": String,
  "pcrs": Pcrs,
  "time": Long,
  "recentCount": Long,
};
action // actions appliesTo {
  principal: [Caller],
  resource: [Key],
  context: Request,
};
`;
