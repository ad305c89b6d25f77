import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHmac, createPublicKey, type JsonWebKey } from "node:crypto";
import { beforeAll, describe, test } from "#test";
import { MAX_TOKEN_LENGTH, readToken } from "../../../enclave/callers/token.ts";
import {
  checkTokenIssuers,
  type TokenAlgorithm,
  type TokenIssuer,
} from "../../../enclave/callers/token_issuer.ts";
import { VerifiedTokens } from "../../../enclave/callers/verified_tokens.ts";
import { TokenVerifier } from "../../../enclave/callers/token_verifier.ts";
import type { AttributeTypes, TokenPrincipal } from "../../../lib/policy/mod.ts";
import { principalText } from "../../../lib/policy/principal.ts";
import { AUDIENCE, compact, ISSUER, NOW_MS, TestIssuer } from "../../support/tokens.ts";

const NOW = NOW_MS / 1000;
const OTHER = "https://other.example";

let own: TestIssuer;
let other: TestIssuer;
let foreign: TestIssuer;

beforeAll(async () => {
  own = await TestIssuer.create();
  other = await TestIssuer.create(OTHER);
  // The same issuer's name and kid, and another key.
  foreign = await TestIssuer.create();
});

async function judge(
  token: string,
  { issuers = [own.config(), other.config()], claims = {} as AttributeTypes, nowMs = NOW_MS } = {},
): Promise<TokenPrincipal> {
  const verifier = new TokenVerifier(checkTokenIssuers(issuers), claims);
  return await verifier.verify(readToken(`Bearer ${token}`), nowMs);
}

async function refused(token: string, message: RegExp, options: Parameters<typeof judge>[1] = {}) {
  await assert.rejects(judge(token, options), (error: Error & { code?: string; hint?: string }) => {
    assert.deepEqual([error.name, error.code], ["TokenError", "ERR_TOKEN"], error.stack);
    assert.match(error.message, message);
    const [, body = ""] = token.split(".");
    for (const part of [body.slice(0, 40), "example"]) {
      assert.ok(
        part === "" || !`${error.message}${error.hint}`.includes(part),
        "nothing of the token is repeated",
      );
    }
    return true;
  });
}

describe("a token", () => {
  test("of a pinned key tells its subject, whoever else has the same one", async () => {
    const ann = await judge(await own.sign());
    assert.deepEqual(ann, { type: "Token", issuer: ISSUER, subject: "ann", claims: {} });
    assert.notEqual(principalText(ann), principalText(await judge(await other.sign())));
  });

  const algorithms: TokenAlgorithm[] = [
    "ES256",
    "ES384",
    "EdDSA",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
  ];
  for (const algorithm of algorithms) {
    test(`may be signed by ${algorithm}`, async () => {
      const issuer = await TestIssuer.create(ISSUER, algorithm);
      const token = await issuer.sign();
      assert.equal((await judge(token, { issuers: [issuer.config()] })).subject, "ann");
      const damaged = token.slice(0, -8) + (token.endsWith("AAAAAAAA") ? "BBBBBBBA" : "AAAAAAAA");
      await refused(damaged, /its signature is not of its issuer's key/, { issuers: [issuer.config()] });
    });
  }

  for (const subject of ["3", "parent", "a|b", '"', '" || true || "', "|", "\u{1f98a}", "a".repeat(512)]) {
    test(`with the subject ${subject.slice(0, 20)} is that subject, and nobody else`, async () => {
      const principal = await judge(await own.sign({ sub: subject }));
      assert.deepEqual(principal, { type: "Token", issuer: ISSUER, subject, claims: {} });
    });
  }

  test("without a subject, or with one that is no name, is refused", async () => {
    for (const sub of ["", undefined, null, 3, ["ann"], { a: 1 }, "a".repeat(513), "a\0"]) {
      await refused(await own.sign({ sub }), /its sub is no text/);
    }
    const lone = compact({ alg: "ES256", kid: "k1" }, `{"iss":"${ISSUER}","sub":"\\ud800"}`);
    await refused(lone, /its signature/);
  });

  test("of an issuer that is not pinned is refused, and one under another's name, too", async () => {
    await refused(await foreign.sign(), /its signature is not of its issuer's key/);
    for (
      const iss of [
        OTHER,
        `${ISSUER}/`,
        ISSUER.toUpperCase(),
        [ISSUER],
        undefined,
        null,
        "",
        "__proto__",
        "a|b",
      ]
    ) {
      await refused(await own.sign({ iss }), /its signature|its issuer is none/);
    }
  });

  test("without a signature, or with one by a public key as a secret, is refused", async () => {
    const claims = { iss: ISSUER, aud: AUDIENCE, sub: "ann", exp: NOW + 600 };
    for (const alg of ["none", "None", "NONE", ""]) {
      await refused(compact({ alg, kid: "k1" }, claims), /no one key/);
      assert.throws(() => readToken(`Bearer ${compact({ alg }, claims, "")}`), { code: "ERR_TOKEN" });
    }
    const rsa = await TestIssuer.create(ISSUER, "RS256");
    const pem = createPublicKey({ key: rsa.jwk as JsonWebKey, format: "jwk" });
    const secrets = [
      pem.export({ type: "spki", format: "pem" }),
      pem.export({ type: "spki", format: "der" }),
      JSON.stringify(rsa.jwk),
      Buffer.from(String(rsa.jwk["n"]), "base64url"),
    ];
    for (const secret of secrets) {
      for (const [alg, hash] of [["HS256", "sha256"], ["HS512", "sha512"]] as const) {
        const unsigned = compact({ alg, kid: "k1" }, claims).replace(/\.AA$/, "");
        const mac = createHmac(hash, secret).update(unsigned).digest("base64url");
        await refused(`${unsigned}.${mac}`, /no one key/, { issuers: [rsa.config()] });
      }
    }
  });

  test("is verified by the algorithm of its key, and not by another of the same type", async () => {
    const rsa = await TestIssuer.create(ISSUER, "RS256");
    const token = await rsa.sign();
    const [, payload, signature] = token.split(".");
    const renamed = `${compact({ alg: "PS256", kid: "k1" }, "").split(".")[0]}.${payload}.${signature}`;
    await refused(renamed, /no one key/, { issuers: [rsa.config()] });
    const both: readonly TokenAlgorithm[] = ["RS256", "PS256"];
    await refused(renamed, /its signature/, { issuers: [rsa.config({ algorithms: both })] });
    assert.equal((await judge(token, { issuers: [rsa.config({ algorithms: both })] })).subject, "ann");
  });

  test("that names a key of its own, or what would have to be understood, is refused", async () => {
    const members = {
      jwk: foreign.jwk,
      jku: "https://evil.example/jwks",
      x5u: "https://evil.example/cert",
      x5c: ["MIIB"],
      crit: ["exp"],
      b64: false,
      zip: "DEF",
      cty: "JWT",
      enc: "A256GCM",
    };
    for (const [member, value] of Object.entries(members)) {
      const token = compact({ alg: "ES256", kid: "k1", [member]: value }, { iss: ISSUER });
      assert.throws(() => readToken(`Bearer ${token}`), {
        code: "ERR_TOKEN",
        message: "Cannot take the token: its header has a member that is not taken",
      }, member);
    }
    assert.equal((await judge(await own.sign({}, { x5t: "AAAA", typ: "at+jwt" }))).subject, "ann");
  });

  test("is judged by KMS's time, to the second", async () => {
    const at = (seconds: number) => ({ nowMs: NOW_MS + seconds * 1000 });
    const token = await own.sign({ nbf: NOW + 70 });
    await refused(token, /its time has not come/, at(9));
    assert.equal((await judge(token, at(10))).subject, "ann");
    assert.equal((await judge(token, at(599.9))).subject, "ann");
    await refused(token, /it has expired/, at(600));
    await refused(await own.sign({ iat: NOW + 61 }), /its time has not come/);
    assert.equal((await judge(await own.sign({ iat: NOW + 60 }))).subject, "ann");
    await refused(await own.sign({ exp: undefined }), /it has no exp/);
    for (const name of ["exp", "nbf", "iat"]) {
      for (const value of ["1900000000", null, [NOW + 60], true, {}]) {
        await refused(await own.sign({ [name]: value }), new RegExp(`its ${name} is no number`));
      }
    }
  });

  test("that lives longer than its issuer's tokens may is refused", async () => {
    const issuers = [own.config({ maxLifetimeSeconds: 900 })];
    assert.equal((await judge(await own.sign({ exp: NOW + 900 }), { issuers })).subject, "ann");
    await refused(await own.sign({ exp: NOW + 901 }), /it lives too long/, { issuers });
    await refused(await own.sign({ exp: NOW + 901, iat: undefined }), /it lives too long/, { issuers });
    await refused(await own.sign({ exp: NOW + 600, iat: NOW - 301 }), /it lives too long/, { issuers });
    await refused(await own.sign({ exp: NOW + 86_401 }), /it lives too long/);
  });

  test("for another audience is refused", async () => {
    for (const aud of ["other", [], ["other"], undefined, null, { a: AUDIENCE }, [[AUDIENCE]], "Enclave"]) {
      await refused(await own.sign({ aud }), /it is for another audience/);
    }
    const many = Array.from({ length: 64 }, (_, index) => `a${index}`);
    await refused(await own.sign({ aud: [...many, AUDIENCE] }), /it is for another audience/);
    assert.equal((await judge(await own.sign({ aud: ["other", AUDIENCE] }))).subject, "ann");
    const issuers = [own.config({ audience: ["one", "two"] })];
    assert.equal((await judge(await own.sign({ aud: "two" }), { issuers })).subject, "ann");
  });

  test("must be of the type that is configured", async () => {
    const issuers = [own.config({ typ: "at+jwt" })];
    for (const typ of ["at+jwt", "AT+JWT", "application/at+jwt"]) {
      assert.equal((await judge(await own.sign({}, { typ }), { issuers })).subject, "ann");
    }
    for (const typ of ["JWT", undefined, "application/x/at+jwt"]) {
      await refused(await own.sign({}, { typ }), /its typ is another one/, { issuers });
    }
  });

  test("brings declared claims only, each of its type", async () => {
    const claims = { tier: "Long", roles: "Set<String>", admin: "Boolean", scope: "String" } as const;
    const given = { tier: 3, roles: ["a", "b"], admin: false, scope: "x y" };
    const all = await judge(await own.sign({ ...given, other: 1, cid: 3 }), { claims });
    assert.deepEqual(all.claims, given);
    assert.deepEqual((await judge(await own.sign(), { claims })).claims, {});
    const wrong = [
      { tier: "3" },
      { tier: 3.5 },
      { tier: 2 ** 53 },
      { tier: null },
      { roles: "a" },
      { roles: [1] },
      { roles: { 0: "a" } },
      { admin: "false" },
      { admin: 0 },
      { scope: ["x"] },
      { scope: "\0" },
    ];
    for (const claim of wrong) await refused(await own.sign(claim), /its claim \w+ is no /, { claims });
  });

  test("must name its key where several fit, and none is tried after another", async () => {
    const second = await TestIssuer.create(ISSUER, "ES256", "k2");
    const issuers = [own.config({ keys: { keys: [own.jwk, second.jwk] } })];
    assert.equal((await judge(await second.sign(), { issuers })).subject, "ann");
    await refused(await own.sign({}, { kid: undefined }), /no one key/, { issuers });
    await refused(await own.sign({}, { kid: "k2" }), /its signature/, { issuers });
    await refused(await own.sign({}, { kid: "k3" }), /no one key/, { issuers });
    assert.equal((await judge(await own.sign({}, { kid: undefined }))).subject, "ann");
    const { kid: _, ...unnamed } = own.jwk;
    const nameless = [own.config({ keys: { keys: [unnamed] } })];
    assert.equal((await judge(await own.sign({}, { kid: "k9" }), { issuers: nameless })).subject, "ann");
  });
});

describe("VerifiedTokens", () => {
  test("verifies a token once, and each other one by itself", async () => {
    const tokens = new VerifiedTokens();
    let verified = 0;
    const verify = () => Promise.resolve(++verified);
    for (const text of ["a.b.c", "a.b.c", "a.b.d", "a.b.c"]) await tokens.verifyOnce(text, verify);
    assert.equal(verified, 2);
  });

  test("remembers no failure", async () => {
    const tokens = new VerifiedTokens();
    const fail = () => Promise.reject(new Error("wrong"));
    for (let again = 0; again < 2; again++) await assert.rejects(tokens.verifyOnce("a.b.c", fail), /wrong/);
    let isAsked = false;
    await tokens.verifyOnce("a.b.c", () => Promise.resolve(isAsked = true));
    assert.ok(isAsked);
  });

  test("forgets those asked for longest ago, from four thousand on", async () => {
    const tokens = new VerifiedTokens();
    const seen: number[] = [];
    const use = (number: number) => tokens.verifyOnce(`${number}`, () => Promise.resolve(seen.push(number)));
    for (let number = 0; number < 4096; number++) await use(number);
    await use(0);
    await use(4096);
    seen.length = 0;
    for (const number of [0, 2, 4096, 1]) await use(number);
    assert.deepEqual(seen, [1]);
  });

  test("does not stand for time or claims: a token that was taken expires", async () => {
    const verifier = new TokenVerifier(checkTokenIssuers([own.config()]));
    const token = readToken(`Bearer ${await own.sign()}`);
    assert.equal((await verifier.verify(token, NOW_MS)).subject, "ann");
    await assert.rejects(verifier.verify(token, NOW_MS + 600_000), { message: /it has expired/ });
    const [head = "", body = ""] = token.text.split(".");
    const damaged = readToken(`Bearer ${head}.${body}.${"A".repeat(86)}`);
    await assert.rejects(verifier.verify(damaged, NOW_MS), { message: /its signature/ });
  });
});

describe("readToken()", () => {
  const wrong = (authorization: string, message?: RegExp) =>
    assert.throws(
      () => readToken(authorization),
      { code: "ERR_TOKEN", ...(message && { message }) },
      authorization,
    );

  test("takes one bearer token in three parts, and nothing else", async () => {
    const token = await own.sign();
    assert.equal(readToken(`bearer  ${token}`).algorithm, "ES256");
    const forms = [
      "",
      token,
      `Bearer ${token}, Bearer ${token}`,
      `Bearer ${token} ${token}`,
      `Basic ${token}`,
      `Bearer ${token}.AA`,
      `Bearer ${token}.AA.AA`,
      `Bearer ${token.split(".").slice(0, 2).join(".")}`,
      `Bearer ${token}=`,
      `Bearer\t${token}`,
      `Bearer ${token}\n`,
      "Bearer ..",
      `Bearer {"protected":"","payload":"","signatures":[]}`,
    ];
    for (const form of forms) wrong(form, /it is no single bearer token/);
  });

  test("refuses what is too long before it looks inside", () => {
    const header = { alg: "ES256" };
    const fits = compact(header, "x".repeat(6100));
    assert.ok(fits.length <= MAX_TOKEN_LENGTH);
    wrong(`Bearer ${fits}`, /its payload is no JSON object/);
    wrong(`Bearer ${compact(header, "x".repeat(6200))}`, /it has more than 8192 characters/);
    wrong(`Bearer ${compact(header, "x".repeat(10_000_000))}`, /it has more than 8192 characters/);
  });

  test("refuses JSON that is deep, no object, or not text", () => {
    const header = { alg: "ES256" };
    const deep = `${"[".repeat(3000)}${"]".repeat(3000)}`;
    wrong(`Bearer ${compact(header, deep)}`, /its payload is no JSON object/);
    wrong(`Bearer ${compact(deep, {})}`, /its header is no JSON object/);
    assert.equal(readToken(`Bearer ${compact(header, `{"a":${deep}}`)}`).algorithm, "ES256");
    for (const payload of ["[]", "null", "1", '"a"', "{", "", "{}{}", "\ufeff{}", '{"a":1,}']) {
      wrong(`Bearer ${compact(header, payload)}`);
    }
    wrong(`Bearer ${Buffer.from([0xff]).toString("base64url")}.e30.AA`, /its header is no JSON object/);
    for (const head of ["e30=", "e3", "e", "e31"]) wrong(`Bearer ${head}.e30.AA`);
    for (
      const member of [{ alg: 1 }, { alg: null }, {}, { alg: "ES256", kid: 1 }, { alg: "ES256", typ: [] }]
    ) {
      wrong(`Bearer ${compact(member, {})}`, /its header has a member of a wrong type/);
    }
  });

  test("takes names of objects for claims like others", () => {
    const { claims } = readToken(
      `Bearer ${compact({ alg: "ES256" }, '{"__proto__":{"iss":"x"},"constructor":1}')}`,
    );
    assert.deepEqual([claims["iss"], claims["constructor"], claims["toString"]], [undefined, 1, undefined]);
  });
});

describe("checkTokenIssuers()", () => {
  const wrong = (parts: object, message: RegExp) =>
    assert.throws(() => checkTokenIssuers([{ ...own.config(), ...parts }]), (error: Error) => {
      assert.match(error.message, message);
      assert.ok(error instanceof TypeError || error instanceof RangeError);
      return true;
    });
  const key = (members: object) => ({ keys: { keys: [{ ...own.jwk, ...members }] } });

  test("refuses private and shared keys, and names the place without the value", async () => {
    const secret = await own.privateJwk();
    wrong({ keys: { keys: [own.jwk, secret] } }, /^tokens\[0\]\.keys\.keys\[1\] must be a public key/);
    wrong({ keys: { keys: [{ kty: "oct", k: "AAAA" }] } }, /must be a public key/);
    wrong(key({ p: 1 }), /must be a public key/);
    try {
      checkTokenIssuers([own.config({ keys: { keys: [secret] } })]);
    } catch (error) {
      assert.ok(!String(error).includes(String(secret["d"])));
    }
  });

  test("refuses algorithms that are not listed, and keys that fit none", () => {
    for (const name of ["none", "HS256", "ES512", "es256", "__proto__", 1]) {
      wrong({ algorithms: [name] }, /^tokens\[0\]\.algorithms must have names out of ES256/);
    }
    wrong({ algorithms: ["RS256"] }, /must be a key that verifies one of the algorithms/);
    for (
      const members of [{ use: "enc" }, { key_ops: ["sign"] }, { alg: "ES384" }, { crv: "P-384" }, {
        kty: "RSA",
      }]
    ) {
      wrong(key(members), /must be a key that verifies one of the algorithms/);
    }
    wrong(key({ x: 1 }), /keys\[0\]\.x must be a string/);
    wrong(
      { algorithms: ["RS256"], keys: { keys: [{ kty: "RSA", e: "AQAB", n: "AAAA" }] } },
      /2048 to 8192 bits/,
    );
  });

  test("refuses what is missing, unknown, or there twice", () => {
    const [full] = [own.config()];
    for (const name of ["issuer", "audience", "algorithms", "keys"] as const) {
      const { [name]: _, ...rest } = full as unknown as Record<string, unknown>;
      assert.throws(() => checkTokenIssuers([rest]), new RegExp(`tokens\\[0\\]\\.${name}`));
    }
    wrong({ isuer: 1 }, /has no field `isuer`/);
    wrong({ issuer: "a|b" }, /issuer must not contain \|/);
    wrong({ issuer: "" }, /issuer must have 1 to/);
    wrong({ audience: [] }, /audience must have 1 to/);
    wrong({ audience: [""] }, /audience must have 1 to/);
    wrong({ algorithms: [] }, /algorithms must have 1 to/);
    wrong({ keys: { keys: [] } }, /keys must have 1 to/);
    wrong({ keys: [own.jwk] }, /must be a plain object/);
    wrong({ maxLifetimeSeconds: 59 }, /maxLifetimeSeconds must be an integer from 60/);
    wrong({ keys: { keys: [own.jwk, own.jwk] } }, /keys\[1\] needs a kid of its own/);
    assert.throws(() => checkTokenIssuers([full, full]), /tokens must have no issuer twice/);
    for (const given of [undefined, {}, "x", [undefined]]) assert.throws(() => checkTokenIssuers(given));
    assert.deepEqual(checkTokenIssuers([]), []);
  });

  test("leaves it to load() whether a key is on its curve", async () => {
    const issuers = checkTokenIssuers([own.config({ keys: { keys: [{ ...own.jwk, x: "AAAA" }] } })]);
    await assert.rejects(new TokenVerifier(issuers).load(), {
      name: "ConfigError",
      message: /tokens\[0\]\.keys\.keys\[0\]: is no key of its type/,
    });
  });

  test("takes a JWK set as issuers publish it", () => {
    const published = { ...own.jwk, use: "sig", alg: "ES256", x5c: ["MIIB"], x5t: "AA", iss: "x" };
    const [checked] = checkTokenIssuers([own.config({ keys: { keys: [published] } as TokenIssuer["keys"] })]);
    assert.deepEqual(Object.keys(checked?.keys[0]?.jwk ?? {}), ["kty", "crv", "x", "y"]);
  });
});
