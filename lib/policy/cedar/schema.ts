import { checkRecord } from "../../core/checks.ts";

/** What an attribute that the operator gives to a caller may be. */
export type AttributeType = "String" | "Long" | "Boolean" | "Set<String>";

/** The attributes that callers may have, by name. */
export type AttributeTypes = Readonly<Record<string, AttributeType>>;

/** The attributes there are when {@link CedarOptions.attributes} names no others. */
export const DEFAULT_ATTRIBUTES: AttributeTypes = Object.freeze({
  name: "String",
  tenant: "String",
  roles: "Set<String>",
});

const ATTRIBUTE_NAME = /^[A-Za-z_]\w{0,63}$/;
const ATTRIBUTE_TYPES: readonly unknown[] = ["String", "Long", "Boolean", "Set<String>"];

/** Words of Cedar's that cannot name an attribute without quotes, and our own attribute. */
const RESERVED: readonly string[] = ["cid", "true", "false", "if", "then", "else", "in", "is", "like", "has"];

/**
 * The schema that policies are checked against, in Cedar's own notation.
 *
 * - `Caller::"7"` is the process behind CID 7; `principal.cid` is the number. What else it has, the operator
 *   assigned: each attribute is optional, so policies ask `principal has tenant` first.
 * - `Key::"…"` is the key that the caller named, to the letter: a key id, a key ARN or an alias; `Key::""` when
 *   it named none. KMS refuses a ciphertext of any other key than the named one; with none named, the
 *   ciphertext chooses the key.
 * - `context.encryptionContext` has the encryption context's pairs as tags: `hasTag("tenant")` first, then
 *   `getTag("tenant")`, or the policy does not load.
 * - `SetCredentials` sets the credentials of everybody who comes over HTTP, `SetOwnCredentials` those of the caller's
 *   own kmstool connection and nobody else's.
 * - `context.time` is in seconds since 1970, by the enclave's clock, which the parent may set.
 * - `context.recentCount` counts this caller's requests in the window, with this one and those refused on the
 *   same connection. Callers with one CID share it. Requests that this policy is not asked about do not count.
 *
 * @param attributes The attributes that callers may have
 * @returns The schema's text
 * @throws {TypeError} When an attribute's name or type is not possible
 * @example
 * ```ts
 * import { cedarSchema } from "enclave-kms/policy";
 *
 * cedarSchema({ tier: "Long" }).includes('"tier"?: Long'); // true
 * ```
 */
export function cedarSchema(attributes: AttributeTypes = DEFAULT_ATTRIBUTES): string {
  const assigned = checkRecord("attributes", attributes).map(([name, type]) => {
    if (!ATTRIBUTE_NAME.test(name) || RESERVED.includes(name)) {
      throw new TypeError(
        "A caller's attribute needs a name of letters, digits and _, and not a word of Cedar's",
      );
    }
    if (!ATTRIBUTE_TYPES.includes(type)) {
      throw new TypeError(`The attribute ${name} must be String, Long, Boolean or Set<String>`);
    }
    return `  "${name}"?: ${type},\n`;
  });
  return SCHEMA.replace("  // attributes\n", assigned.join(""));
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
action "Decrypt", "GenerateDataKey", "GenerateDataKeyPair", "GenerateRandom", "DeriveSharedSecret", "Encrypt",
  "GetAttestation", "SetCredentials", "SetOwnCredentials" appliesTo {
  principal: [Caller],
  resource: [Key],
  context: Request,
};
`;
