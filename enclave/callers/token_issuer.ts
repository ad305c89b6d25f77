/**
 * Issuers whose tokens are taken, as the configuration pins them.
 *
 * @module
 */
import { checkFields, checkInteger, checkText } from "../../lib/core/checks.ts";
import { MAX_NAME_LENGTH } from "../../lib/policy/principal.ts";
import { decodeBase64Url } from "./base64_url.ts";

/** Algorithm that a token may be signed with. `none` and those with a shared secret are none of them. */
export type TokenAlgorithm =
  | "ES256"
  | "ES384"
  | "EdDSA"
  | "RS256"
  | "RS384"
  | "RS512"
  | "PS256"
  | "PS384"
  | "PS512";

/** Public key as a JWK has it (RFC 7517); members beside those of the key and `kid` are not used. */
export type PublicJwk = Readonly<Record<string, unknown>>;

/** Issuer of tokens, and what its tokens must have. */
export interface TokenIssuer {
  /** Issuer, to the letter, as `iss` has it: 1 to 512 characters without `|`. */
  readonly issuer: string;
  /** Audience that a token must name in `aud`, or several, of which one suffices. */
  readonly audience: string | readonly string[];
  /** Algorithms that it signs with. */
  readonly algorithms: readonly TokenAlgorithm[];
  /** Its public keys as a JWK set, 1 to 32; RSA keys have 2048 bits at least. */
  readonly keys: { readonly keys: readonly PublicJwk[] };
  /** Type that a token's header must name in `typ`, such as `at+jwt`. Default: it may name none, and every one. */
  readonly typ?: string | undefined;
  /** Longest lifetime of a token in seconds, 60 to 2678400. Default: 86400. */
  readonly maxLifetimeSeconds?: number | undefined;
}

/** Key that was checked, with the algorithms that it is for. */
export interface CheckedKey {
  /** Name of the key; undefined when it has none, and then fits every token. */
  readonly kid: string | undefined;
  /** Members that make the key, and nothing else. */
  readonly jwk: Readonly<Record<string, string>>;
  /** Algorithms that a token may be signed with by this key. */
  readonly algorithms: readonly TokenAlgorithm[];
}

/** Issuer that was checked. */
export interface CheckedIssuer {
  readonly issuer: string;
  readonly audience: readonly string[];
  readonly keys: readonly CheckedKey[];
  readonly typ: string | undefined;
  readonly maxLifetimeSeconds: number;
}

const MAX_ISSUERS = 16;
const MAX_KEYS = 32;
const MAX_AUDIENCES = 16;
const MAX_KID_LENGTH = 256;
const MIN_RSA_BYTES = 256;
const MAX_RSA_BYTES = 1024;

/** Key that an algorithm needs: its type and curve, and the members that make it. */
const ALGORITHMS: Readonly<Record<TokenAlgorithm, readonly [kty: string, crv: string | undefined]>> = {
  ES256: ["EC", "P-256"],
  ES384: ["EC", "P-384"],
  EdDSA: ["OKP", "Ed25519"],
  RS256: ["RSA", undefined],
  RS384: ["RSA", undefined],
  RS512: ["RSA", undefined],
  PS256: ["RSA", undefined],
  PS384: ["RSA", undefined],
  PS512: ["RSA", undefined],
};

const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  EC: ["kty", "crv", "x", "y"],
  OKP: ["kty", "crv", "x"],
  RSA: ["kty", "n", "e"],
};

/** Names of all algorithms. */
export const TOKEN_ALGORITHMS: readonly string[] = Object.keys(ALGORITHMS);

/** Members of private and of shared keys: one that is written into an image is no secret any more. */
const SECRET_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/**
 * Checks the issuers of a configuration.
 *
 * @param given Issuers, at most 16, each {@link TokenIssuer}
 * @returns The issuers with their keys
 * @throws {TypeError} When a part is missing, unknown or of a wrong form; the message names the part and never its value
 * @throws {RangeError} When a part is too long, or there are too many
 */
export function checkTokenIssuers(given: unknown): readonly CheckedIssuer[] {
  const list = checkList("tokens", given, MAX_ISSUERS, 0);
  const issuers = list.map((issuer, place) => checkIssuer(`tokens[${place}]`, issuer));
  const names = issuers.map(({ issuer }) => issuer);
  if (new Set(names).size === names.length) return issuers;
  throw new TypeError("tokens must have no issuer twice");
}

function checkIssuer(field: string, given: unknown): CheckedIssuer {
  const fields = checkFields(field, given as TokenIssuer, FIELDS);
  const issuer = checkText(`${field}.issuer`, fields.issuer, MAX_NAME_LENGTH);
  if (issuer.includes("|")) throw new TypeError(`${field}.issuer must not contain |`);
  const range = { min: 60, max: 2_678_400, default: 86_400 };
  return {
    issuer,
    audience: checkAudience(`${field}.audience`, fields.audience),
    keys: checkKeys(`${field}.keys`, fields.keys, checkAlgorithms(`${field}.algorithms`, fields.algorithms)),
    typ: fields.typ === undefined ? undefined : normalTyp(checkText(`${field}.typ`, fields.typ, 64)),
    maxLifetimeSeconds: checkInteger(`${field}.maxLifetimeSeconds`, fields.maxLifetimeSeconds, range),
  };
}

const FIELDS = ["issuer", "audience", "algorithms", "keys", "typ", "maxLifetimeSeconds"];

function checkAudience(field: string, given: unknown): string[] {
  const list = typeof given === "string" ? [given] : checkList(field, given, MAX_AUDIENCES);
  return list.map((one) => checkText(field, one, MAX_NAME_LENGTH));
}

function checkAlgorithms(field: string, given: unknown): TokenAlgorithm[] {
  return checkList(field, given, TOKEN_ALGORITHMS.length).map((name) => {
    if (typeof name === "string" && Object.hasOwn(ALGORITHMS, name)) return name as TokenAlgorithm;
    throw new TypeError(`${field} must have names out of ${TOKEN_ALGORITHMS.join(", ")}`);
  });
}

function checkKeys(field: string, given: unknown, algorithms: readonly TokenAlgorithm[]): CheckedKey[] {
  const { keys } = checkFields(field, given as TokenIssuer["keys"], ["keys"]);
  const checked = checkList(field, keys, MAX_KEYS).map((key, place) =>
    checkKey(`${field}.keys[${place}]`, key, algorithms)
  );
  for (const [place, { kid, algorithms: own }] of checked.entries()) {
    const isTwice = checked.slice(0, place).some((other) =>
      other.kid === kid && other.algorithms.some((algorithm) => own.includes(algorithm))
    );
    if (isTwice) throw new TypeError(`${field}.keys[${place}] needs a kid of its own`);
  }
  return checked;
}

function checkKey(field: string, given: unknown, allowed: readonly TokenAlgorithm[]): CheckedKey {
  if (typeof given !== "object" || given === null) throw new TypeError(`${field} must be an object`);
  const jwk: Readonly<Record<string, unknown>> = { __proto__: null, ...given };
  if (SECRET_MEMBERS.some((member) => member in jwk)) {
    throw new TypeError(`${field} must be a public key: it has members of a private or a shared one`);
  }
  const { kty, crv, alg, use, key_ops: operations, kid } = jwk;
  const algorithms = allowed.filter((name) => {
    const [needed, curve] = ALGORITHMS[name];
    return kty === needed && (curve === undefined || crv === curve) && (alg === undefined || alg === name);
  });
  const isForSigning = (use === undefined || use === "sig") &&
    (operations === undefined || Array.isArray(operations) && operations.includes("verify"));
  if (algorithms.length === 0 || !isForSigning) {
    throw new TypeError(`${field} must be a key that verifies one of the algorithms`);
  }
  return {
    kid: kid === undefined ? undefined : checkText(`${field}.kid`, kid, MAX_KID_LENGTH),
    jwk: checkMembers(field, jwk, String(kty)),
    algorithms,
  };
}

function checkMembers(field: string, jwk: PublicJwk, kty: string): Record<string, string> {
  const members = (MEMBERS[kty] ?? []).map((member) => [member, jwk[member]] as const);
  for (const [member, value] of members) {
    if (typeof value !== "string") throw new TypeError(`${field}.${member} must be a string`);
  }
  if (kty === "RSA") checkModulus(`${field}.n`, String(jwk["n"]));
  return Object.fromEntries(members) as Record<string, string>;
}

function checkModulus(field: string, n: string): void {
  const bytes = decodeBase64Url(n)?.length ?? 0;
  if (bytes >= MIN_RSA_BYTES && bytes <= MAX_RSA_BYTES) return;
  throw new RangeError(`${field} must have 2048 to 8192 bits, in base64url`);
}

function checkList(field: string, given: unknown, most: number, least = 1): readonly unknown[] {
  if (!Array.isArray(given)) throw new TypeError(`${field} must be a list`);
  if (given.length >= least && given.length <= most) return Array.from(given);
  throw new RangeError(`${field} must have ${least} to ${most} entries`);
}

/**
 * Writes a `typ` as RFC 7515 compares it: without case, and without `application/` where nothing else has a slash.
 *
 * @param typ Type as a header or a configuration names it
 */
export function normalTyp(typ: string): string {
  return typ.toLowerCase().replace(/^application\/(?=[^/]*$)/, "");
}
