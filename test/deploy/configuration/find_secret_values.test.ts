import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { describe, test } from "#test";
import { findSecretValues } from "../../../deploy/configuration/find_secret_values.ts";

const kindOf = (value: unknown, name = "setting") => findSecretValues({ [name]: value })[0]?.kind;

const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ed25519 = generateKeyPairSync("ed25519");
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

describe("findSecretValues()", () => {
  test("finds what has a form of its own, under any name", () => {
    const der = (key: typeof privateKey, type: "pkcs8" | "sec1" | "pkcs1") =>
      base64(key.export({ format: "der", type: type as "pkcs8" }));
    const secrets: readonly (readonly [unknown, string])[] = [
      [privateKey.export({ format: "pem", type: "pkcs8" }), "a private key (PEM)"],
      [rsa.privateKey.export({ format: "pem", type: "pkcs1" }), "a private key (PEM)"],
      [der(privateKey, "pkcs8"), "a private key (DER)"],
      [der(privateKey, "sec1"), "a private key (DER)"],
      [der(rsa.privateKey, "pkcs8"), "a private key (DER)"],
      [der(rsa.privateKey, "pkcs1"), "a private key (DER)"],
      [der(ed25519.privateKey, "pkcs8"), "a private key (DER)"],
      [`AGE-SECRET-KEY-1${"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L".repeat(2).slice(0, 58)}`, "an age identity"],
      ["AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "an AWS secret access key"],
      ["postgres://app:hunter2@db.internal/orders", "a password in a URL"],
    ];
    for (const [value, kind] of secrets) {
      assert.equal(kindOf(value), kind);
      assert.equal(kindOf([["a", value]], "sha256"), kind, "also where hashes are");
    }
    assert.deepEqual(findSecretValues({ tokens: [{ keys: [privateKey.export({ format: "jwk" })] }] }), [
      { path: "tokens[0].keys[0].d", kind: "a private key (JWK)" },
    ]);
    assert.deepEqual(findSecretValues([{ kty: "oct", k: "c2VjcmV0" }]), [
      { path: "[0].k", kind: "a private key (JWK)" },
    ]);
  });

  test("finds random tokens by their entropy", () => {
    const rounds = 2000;
    for (const [form, token] of Object.entries(TOKENS)) {
      let found = 0;
      for (let round = 0; round < rounds; round++) {
        if (kindOf(token()) === "a value of high entropy") found++;
      }
      assert.ok(found > rounds * 0.97, `${form}: ${found} of ${rounds}`);
    }
    // Hex is what hashes are written in: only the name tells.
    assert.equal(kindOf(randomBytes(16).toString("hex"), "apiToken"), "a value of high entropy");
  });

  test("takes hashes, public keys, names and what is encrypted for what they are", () => {
    for (let round = 0; round < 200; round++) {
      const innocent: Readonly<Record<string, unknown>> = {
        pcr0: createHash("sha384").update(randomBytes(8)).digest("hex"),
        image: createHash("sha256").update(randomBytes(8)).digest("hex"),
        digestBase64: createHash("sha256").update(randomBytes(8)).digest("base64"),
        integrity: `sha384-${createHash("sha384").update(randomBytes(8)).digest("base64")}`,
        fingerprint: `SHA256:${base64(randomBytes(32)).replace("=", "")}`,
        uuid: randomUUID(),
        keys: {
          keys: [{ ...publicKey.export({ format: "jwk" }), kid: base64(randomBytes(24)), alg: "ES256" }],
        },
        ciphertext: base64(randomBytes(200)),
        blob: `AQICAH${base64(randomBytes(180))}`,
      };
      for (const [name, value] of Object.entries(innocent)) {
        assert.equal(kindOf(value, name), undefined, name);
      }
    }
    const spki = (key: typeof publicKey) => base64(key.export({ format: "der", type: "spki" }));
    for (const value of [...INNOCENT, spki(publicKey), spki(rsa.publicKey), spki(ed25519.publicKey)]) {
      assert.equal(kindOf(value), undefined, value);
      assert.equal(kindOf([{ inside: value }]), undefined, value);
    }
  });

  test("names places, not names that may be secrets, and does not follow a value without end", () => {
    const token = TOKENS["base64 of 32 bytes"]!();
    assert.deepEqual(findSecretValues({ a: { "b c": [token] } }).map(({ path }) => path), [
      "a.(a name of other characters)[0]",
    ]);
    // Each of them would take minutes if a pattern went back and forth in it.
    const slow = [
      "MI" + " ".repeat(100_000) + "!",
      "a-".repeat(50_000),
      "a://b:".repeat(20_000),
      "A1b".repeat(40_000),
    ];
    for (const value of slow) assert.notEqual(kindOf(value), "a private key (DER)");
    let deep: unknown = token;
    for (let depth = 0; depth < 100_000; depth++) deep = [deep];
    assert.deepEqual(findSecretValues(deep), []);
  });
});

const TOKENS: Readonly<Record<string, () => string>> = {
  "base64 of 32 bytes": () => base64(randomBytes(32)),
  "base64url of 24 bytes": () => randomBytes(24).toString("base64url"),
  "a token with a prefix": () => `ghp_${base64(randomBytes(40)).replace(/[^A-Za-z0-9]/g, "").slice(0, 36)}`,
  "a JWT": () => `eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.${randomBytes(64).toString("base64url")}`,
};

const INNOCENT: readonly string[] = [
  "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
  "arn:aws:secretsmanager:eu-central-1:111122223333:secret:Prod/Db2Password-A1b2C3",
  "arn:aws:iam::111122223333:role/MyApplication2ProductionEnclaveRole",
  "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3",
  "https://login.microsoftonline.com/1234abcd-12ab-34cd-56ef-1234567890ab/v2.0",
  "s3://my-bucket-2026-Production/Schemas/Version2/Orders.json",
  "/usr/local/lib/node_modules/@cedar-policy/cedar-wasm/nodejs/cedar_wasm_bg.wasm",
  "MyApplication2ProductionEnvironmentEncryptionService",
  "ENCLAVE_KMS_REQUEST_TIMEOUT_MS_AND_Other_Words2",
  "RSASSA_PKCS1_V1_5_SHA_256",
  "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGk5Wm1v2nXb4Q9TqkRz7Lw0PdY3sVf6uJ8cHxNtEaMo ann@example",
  "The quick brown fox jumps over 13 Lazy Dogs, and Then Some More",
  "2026-11-30T14:17:26.123456789Z",
  "vsock:4294967295:4294967295",
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
  "com.example.enclave.SigningServiceV2.Handlers.OrderHandlerFactory",
  "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----",
];
