import { checkFields } from "../../core/checks.ts";
import { checkActions } from "../actions.ts";
import { type AttributeTypes, checkAttributeTypes } from "../attributes.ts";

/** Attributes of callers when {@link CedarOptions.attributes} names no others. */
export const DEFAULT_ATTRIBUTES: AttributeTypes = Object.freeze({
  name: "String",
  tenant: "String",
  roles: "Set<String>",
});

/** Names that a schema declares. */
export interface SchemaParts {
  /** Actions that the host asks about, each a word such as `Decrypt`. */
  readonly actions: readonly string[];
  /** Attributes that the operator may assign to callers. Default: {@link DEFAULT_ATTRIBUTES}. */
  readonly attributes?: AttributeTypes | undefined;
  /** Claims of tokens that reach the policy. Default: none. */
  readonly claims?: AttributeTypes | undefined;
}

/**
 * Writes the schema that policies are checked against, in Cedar's own notation.
 *
 * - `Caller::"7"` is whoever came from CID 7 and proved nothing else; `principal.cid` is the number. Its other
 *   attributes are those that the operator assigned: each is optional, so policies ask `principal has tenant` first.
 * - `Token::"<issuer>|<subject>"` brought a token that was verified; it has `issuer`, `subject`, and the declared claims
 *   as optional attributes.
 * - `Certificate::"<sha256>"` holds the key of a client certificate with that SHA-256 of its DER, in lowercase hex; it
 *   has `sha256`, and attributes like a caller's.
 * - `Parent::"parent"` is the parent instance on the control listener.
 * - A policy for all four types asks `principal is Token` before it reads what only tokens have.
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
  const given = checkFields("schema parts", parts, ["actions", "attributes", "claims"]);
  const actions = checkActions(given.actions).map((action) => `"${action}"`);
  const { attributes = DEFAULT_ATTRIBUTES, claims = {} } = given;
  return SCHEMA.replaceAll("  // attributes\n", declare("A caller's attribute", attributes))
    .replace("  // claims\n", declare("A token's claim", claims))
    .replace("// actions", actions.join(", "));
}

function declare(what: string, types: AttributeTypes): string {
  return checkAttributeTypes(what, types).map(([name, type]) => `  "${name}"?: ${type},\n`).join("");
}

const SCHEMA = `entity Caller = {
  "cid": Long,
  // attributes
};
entity Token = {
  "issuer": String,
  "subject": String,
  // claims
};
entity Certificate = {
  "sha256": String,
  // attributes
};
entity Parent;
entity Key = {
  "id": String,
  "region": String,
};
entity EncryptionContext tags String;
type Pcrs = {
${Array.from({ length: 17 }, (_, index) => `  "pcr${index}"?: String,`).join("\n")}
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
  principal: [Caller, Token, Certificate, Parent],
  resource: [Key],
  context: Request,
};
`;
