import { Buffer } from "node:buffer";
import { decodeJwt, decodeProtectedHeader, UnsecuredJWT } from "jose";
import { judgeClaims, readToken } from "../../../enclave/callers/token.ts";
import { TokenError } from "../../../enclave/callers/token_error.ts";
import type { CheckedIssuer } from "../../../enclave/callers/token_issuer.ts";
import { isOfType } from "../../../lib/policy/attributes.ts";
import { checkPrincipal, principalId, principalOf } from "../../../lib/policy/principal.ts";
import { dictionary, expect, expectSame, type FuzzTarget, oracle, utf8 } from "../target.ts";

const NOW = 1_800_000_000;
const ISSUER: CheckedIssuer = {
  issuer: "https://id.example",
  audience: ["enclave"],
  keys: [],
  typ: undefined,
  maxLifetimeSeconds: 86_400,
};
const TYPES = { tier: "Long", roles: "Set<String>", admin: "Boolean", scope: "String" } as const;

/** Stands for what must not come back in an error. */
const SECRET = "s3cr3t-of-the-tests";

/**
 * A token before and after its signature, which no mutation would make: the header `authorization` as it comes, or a
 * header and claims in JSON, in two lines, which are then encoded.
 */
export const token: FuzzTarget = {
  name: "token",
  maxLength: 9000,
  covers: ["enclave/callers/token.ts", "enclave/callers/base64_url.ts", "lib/policy/principal.ts"],
  dictionary: dictionary(
    '"alg":"none"',
    '"alg":"ES256"',
    '"kid":"k1"',
    '"jwk":{}',
    '"crit":["exp"]',
    '"typ":"at+jwt"',
    '"iss":"https://id.example"',
    '"aud":"enclave"',
    '"aud":["enclave"]',
    '"sub":"3"',
    '"sub":""',
    '"sub":"a|b"',
    '"exp":1800000600',
    '"nbf":1800000000',
    '"iat":1800000000',
    '"exp":1e999',
    '"tier":3',
    '"roles":["a"]',
    '"admin":true',
    '"scope":"x"',
    '"__proto__":{}',
    "\\u0000",
    "\\ud800",
    "[[[[",
    "Bearer ",
    SECRET,
    "e30",
    ".",
    "0x0a",
  ),
  seeds() {
    const header = { alg: "ES256", kid: "k1", typ: "JWT" };
    const claims = { iss: ISSUER.issuer, aud: "enclave", sub: "ann", exp: NOW + 600, iat: NOW };
    const lines = (head: object, body: object) => `\0${JSON.stringify(head)}\n${JSON.stringify(body)}`;
    return Promise.resolve([
      lines(header, claims),
      lines({ alg: "PS256", x5t: "AA" }, {
        ...claims,
        aud: ["a", "enclave"],
        nbf: NOW,
        tier: 3,
        roles: ["a"],
      }),
      lines(header, { ...claims, sub: SECRET, admin: true, scope: "x y", exp: NOW + 86_400 }),
      lines({ ...header, jwk: {} }, claims),
      lines(header, { ...claims, exp: NOW, iss: "https://other.example" }),
      `\x01Bearer ${encode(JSON.stringify(header))}.${encode(JSON.stringify(claims))}.AA`,
      `\x01Basic ${SECRET}`,
    ].map(utf8));
  },
  run(input) {
    const text = new TextDecoder().decode(input.subarray(1));
    const [head = "", ...rest] = text.split("\n");
    const authorization = (input[0] ?? 0) % 2 === 1
      ? text
      : `Bearer ${encode(head)}.${encode(rest.join("\n"))}.AA`;
    try {
      return judge(authorization);
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      const told = `${error.message} ${error.hint}`;
      expect(!told.includes(SECRET) && error.cause === undefined, "the error repeats what was sent");
      expect(told.length < 300 && /^[\x20-\x7e…]+$/.test(told), "the error tells too much");
      return error.message;
    }
  },
};

function judge(authorization: string): string {
  const read = readToken(authorization);
  const theirs = oracle("jose", () => decodeProtectedHeader(read.text));
  expectSame([read.algorithm, read.kid, read.typ], [theirs.alg, theirs.kid, theirs.typ], "the header");
  expectSame({ ...read.claims }, { ...oracle("jose", () => decodeJwt(read.text)) }, "the claims");
  const principal = judgeClaims(read, ISSUER, TYPES, NOW * 1000);
  const unsecured = `${encode('{"alg":"none"}')}.${read.text.split(".")[1]}.`;
  const rules = {
    issuer: ISSUER.issuer,
    audience: "enclave",
    currentDate: new Date(NOW * 1000),
    clockTolerance: 60,
  };
  const { payload } = oracle(
    "jose",
    () => UnsecuredJWT.decode(unsecured, { ...rules, requiredClaims: ["exp"] }),
  );
  expect(
    (payload.exp ?? 0) > NOW && (payload.exp ?? 0) <= NOW + 86_400 + 60,
    "it lives too long, or no more",
  );
  expectSame(principal.subject, payload.sub, "the subject");
  expectSame(checkPrincipal(principal), principal, "the principal");
  const known = principalOf("Token", principalId(principal));
  expectSame(known, { ...principal, claims: {} }, "the principal's id");
  for (const [name, type] of Object.entries(TYPES)) {
    expect(name in principal.claims === name in payload, "a declared claim is left out");
    if (name in payload) expect(isOfType(principal.claims[name], type), "a claim is of another type");
  }
  return `ok ${Object.keys(principal.claims).length}`;
}

function encode(text: string): string {
  return Buffer.from(text).toString("base64url");
}
