import { type AttributeTypes, type AttributeValue, isOfType } from "../../lib/policy/attributes.ts";
import { MAX_NAME_LENGTH, type TokenPrincipal } from "../../lib/policy/principal.ts";
import { decodeBase64Url } from "./base64_url.ts";
import { TokenError } from "./token_error.ts";
import { type CheckedIssuer, normalTyp } from "./token_issuer.ts";

/** Most characters of a token. */
export const MAX_TOKEN_LENGTH = 8192;

/** Seconds that an issuer's clock may be ahead of KMS's. A token that expired gets none. */
const MAX_AHEAD_SECONDS = 60;

/** Most audiences that a token may name. */
const MAX_AUDIENCES = 64;

/** Token that was taken apart, and not yet verified: nothing in it is proved. */
export interface UnverifiedToken {
  /** Token as it came, which is what the signature is over. */
  readonly text: string;
  /** Algorithm that its header names. */
  readonly algorithm: string;
  /** Key that its header names, if it names one. */
  readonly kid: string | undefined;
  /** Type that its header names, if it names one. */
  readonly typ: string | undefined;
  /** Claims, by name. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/**
 * Members that a header may have. All others are refused: a key in the token (`jwk`, `jku`, `x5u`, `x5c`) would vouch
 * for itself, and what `crit` names would have to be understood. `x5t` names a certificate, and is not looked at.
 */
const HEADER_MEMBERS: readonly string[] = ["alg", "kid", "typ", "x5t", "x5t#S256"];

/** Header of a request that carries a token: one, and of the compact form, which has three parts. */
const BEARER = /^Bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i;

/**
 * Takes a token apart.
 *
 * @param authorization Value of the request's header `authorization`
 * @returns The token, unverified
 * @throws {TokenError} When it is no bearer token, too long, or its header has what is not taken
 */
export function readToken(authorization: string): UnverifiedToken {
  const [, text = ""] = BEARER.exec(authorization) ?? [];
  if (text === "") throw malformed("it is no single bearer token in three parts");
  if (text.length > MAX_TOKEN_LENGTH) throw malformed(`it has more than ${MAX_TOKEN_LENGTH} characters`);
  const [head = "", body = ""] = text.split(".");
  const header = decodeJson(head, "header");
  const { alg, kid, typ } = header as { alg?: unknown; kid?: unknown; typ?: unknown };
  if (Object.keys(header).some((member) => !HEADER_MEMBERS.includes(member))) {
    throw new TokenError(
      "its header has a member that is not taken",
      "A header may have alg, kid and typ alone",
    );
  }
  if (typeof alg !== "string" || !isOptionalText(kid) || !isOptionalText(typ)) {
    throw malformed("its header has a member of a wrong type");
  }
  return { text, algorithm: alg, kid, typ, claims: decodeJson(body, "payload") };
}

/**
 * Judges the claims of a token whose signature was verified with a key of its issuer.
 *
 * @param token The token
 * @param issuer Its issuer
 * @param types Types of the claims that the application declared
 * @param nowMs Time by KMS's clock, in milliseconds since 1970
 * @returns The principal, with the declared claims
 * @throws {TokenError} When a claim is missing, of a wrong type, or not as the issuer's configuration wants it
 */
export function judgeClaims(
  { claims, typ }: UnverifiedToken,
  issuer: CheckedIssuer,
  types: AttributeTypes,
  nowMs: number,
): TokenPrincipal {
  if (claims["iss"] !== issuer.issuer) throw unknownIssuer();
  if (issuer.typ !== undefined && (typ === undefined || normalTyp(typ) !== issuer.typ)) {
    throw new TokenError(
      "its typ is another one than the configuration's",
      "Is it an id token, or another kind?",
    );
  }
  checkAudience(claims["aud"], issuer.audience);
  checkTimes(claims, issuer.maxLifetimeSeconds, nowMs / 1000);
  return {
    type: "Token",
    issuer: issuer.issuer,
    subject: checkSubject(claims["sub"]),
    claims: readClaims(claims, types),
  };
}

/** Makes the error for a token whose issuer is none of the configuration's. */
export function unknownIssuer(): TokenError {
  return new TokenError(
    "its issuer is none of the configuration's",
    "Is `iss` to the letter what `tokens` names?",
  );
}

function checkAudience(given: unknown, expected: readonly string[]): void {
  const audiences: readonly unknown[] = Array.isArray(given) ? given : [given];
  if (audiences.length <= MAX_AUDIENCES && audiences.some((one) => expected.some((own) => own === one))) {
    return;
  }
  throw new TokenError("it is for another audience", "Was it issued for this service? See `aud`");
}

function checkTimes(claims: UnverifiedToken["claims"], maxLifetime: number, now: number): void {
  const [exp, nbf, iat] = ["exp", "nbf", "iat"].map((name) => readTime(claims, name));
  if (exp === undefined) throw malformed("it has no exp");
  if (exp <= now) {
    throw new TokenError("it has expired, by KMS's clock", "Must the caller ask for a new one?");
  }
  if ((nbf ?? 0) > now + MAX_AHEAD_SECONDS || (iat ?? 0) > now + MAX_AHEAD_SECONDS) {
    throw new TokenError("its time has not come, by KMS's clock", "Is the issuer's clock ahead?");
  }
  if (exp - Math.min(iat ?? now, now) > maxLifetime) {
    throw new TokenError("it lives too long", "Raise maxLifetimeSeconds if its issuer means it");
  }
}

function readTime(claims: UnverifiedToken["claims"], name: string): number | undefined {
  const value = claims[name];
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw malformed(`its ${name} is no number`);
}

function checkSubject(sub: unknown): string {
  if (
    isOfType(sub, "String") && typeof sub === "string" && sub.length >= 1 && sub.length <= MAX_NAME_LENGTH
  ) {
    return sub;
  }
  throw malformed(`its sub is no text of 1 to ${MAX_NAME_LENGTH} characters`);
}

/** Reads the declared claims. One of another type is refused: a policy may forbid by a claim that was left out. */
function readClaims(
  claims: UnverifiedToken["claims"],
  types: AttributeTypes,
): Record<string, AttributeValue> {
  const given = Object.entries(types).filter(([name]) => Object.hasOwn(claims, name));
  return Object.fromEntries(given.map(([name, type]) => {
    const value = claims[name];
    if (isOfType(value, type)) return [name, value];
    throw new TokenError(
      `its claim ${name} is no ${type}`,
      "Is the claim declared with the type that its issuer uses?",
    );
  }));
}

function decodeJson(part: string, what: string): Readonly<Record<string, unknown>> {
  const value = parseJson(part);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return Object.assign(Object.create(null) as object, value) as Record<string, unknown>;
  }
  throw malformed(`its ${what} is no JSON object in base64url`);
}

function parseJson(part: string): unknown {
  const bytes = decodeBase64Url(part);
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

function isOptionalText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === "string";
}

function malformed(why: string): TokenError {
  return new TokenError(
    why,
    "Is it a signed JWT in the compact form, sent once as `Authorization: Bearer …`?",
  );
}
