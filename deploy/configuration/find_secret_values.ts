import { findSecretSetting, type SecretKind } from "../eif/find_secrets.ts";

/** Value of a configuration that looks like a secret. */
export interface SecretValue {
  /** Place, such as `tokens[0].keys`. */
  readonly path: string;
  /** Kind of the secret, in words. */
  readonly kind: SecretKind;
}

/** Members of a JWK that its owner alone may know (RFC 7518, 6.2.2, 6.3.2 and 6.4.1). */
const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/** Deepest value that is looked into. */
const MAX_DEPTH = 64;

/**
 * Looks for secrets in the values of a configuration.
 *
 * Not guaranteed: that there is none. Hashes, public keys, ARNs and what KMS or age has encrypted are taken for what they
 * are, and so is a secret that has such a form.
 *
 * @param settings JSON of the configuration
 * @returns Places and kinds, never a value
 */
export function findSecretValues(settings: unknown): SecretValue[] {
  return search(settings, { path: "", name: "", isJwk: false, depth: 0 });
}

interface Place {
  readonly path: string;
  /** Name of the member that the value, or the list that has it, is of. */
  readonly name: string;
  readonly isJwk: boolean;
  readonly depth: number;
}

function search(value: unknown, place: Place): SecretValue[] {
  const { path, name, isJwk, depth } = place;
  if (depth > MAX_DEPTH) return [];
  if (typeof value === "string") {
    if (isJwk && PRIVATE_MEMBERS.includes(name)) return [{ path, kind: "a private key (JWK)" }];
    const kind = isJwk ? undefined : findSecretSetting(name, value);
    return kind === undefined ? [] : [{ path, kind }];
  }
  if (Array.isArray(value)) {
    return value.flatMap((item, index) =>
      search(item, { ...place, path: `${path}[${index}]`, depth: depth + 1 })
    );
  }
  if (typeof value !== "object" || value === null) return [];
  const isKey = "kty" in value;
  return Object.entries(value).flatMap(([member, inside]) =>
    search(inside, { path: join(path, member), name: member, isJwk: isKey, depth: depth + 1 })
  );
}

function join(path: string, name: string): string {
  const shown = /^[\w-]{1,64}$/.test(name) ? name : "(a name of other characters)";
  return path === "" ? shown : `${path}.${shown}`;
}
