import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, verify } from "node:crypto";
import type { hc, InferResponseType } from "hono/client";
import { afterAll, beforeAll, describe, test } from "#test";
import type { AppType } from "../../server/app.ts";
import type { SimulatedKey } from "../../sim/mod.ts";
import { ENCRYPTION_CONTEXT, Fixture, RecordingPolicy, STRANGER, TENANT } from "../server/fixture.ts";
import { cidOf } from "../support/policies.ts";

type Answer = Record<string, string>;

type PublicKeyRoute = ReturnType<typeof hc<AppType>>["v1"]["kms"]["public-key"]["$post"];

const bytes = (base64: string | undefined) => Buffer.from(base64 ?? "", "base64");

describe("the HTTP app's other operations", () => {
  const policy = new RecordingPolicy();
  let fixture: Fixture;
  let keyId: string;
  let macKeyId: string;
  let signingKey: SimulatedKey;
  let agreementKey: { readonly keyId: string; readonly publicKey: Uint8Array | undefined };
  const peer = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKey = peer.publicKey.export({ format: "der", type: "spki" }).toString("base64");

  beforeAll(async () => {
    fixture = await Fixture.start({ policy });
    keyId = fixture.keyId;
    agreementKey = await fixture.simulator.createKey({ spec: "ECC_NIST_P256", usage: "KEY_AGREEMENT" });
    signingKey = await fixture.simulator.createKey({ spec: "ECC_NIST_P256", usage: "SIGN_VERIFY" });
    ({ keyId: macKeyId } = await fixture.simulator.createKey({ spec: "HMAC_256" }));
    assert.equal((await fixture.setCredentials()).status, 204);
  });
  afterAll(() => fixture[Symbol.asyncDispose]());

  async function post(path: string, body: Record<string, unknown>): Promise<Answer> {
    const answer = await fixture.call(path, body);
    assert.equal(answer.status, 200, await answer.clone().text());
    return await answer.json() as Answer;
  }

  const decrypt = async (ciphertext: string | undefined) =>
    bytes((await post("/v1/decrypt", { ciphertext, encryptionContext: ENCRYPTION_CONTEXT }))["plaintext"]);

  test("POST /v1/generate-data-key answers a key and its ciphertext", async () => {
    for (
      const [request, length] of [[{}, 32], [{ keySpec: "AES_128" }, 16], [{ numberOfBytes: 7 }, 7]] as const
    ) {
      const body = { keyId, encryptionContext: ENCRYPTION_CONTEXT, ...request };
      const dataKey = await post("/v1/generate-data-key", body);
      assert.equal(bytes(dataKey["plaintext"]).length, length);
      assert.ok(dataKey["keyId"]?.endsWith(`:key/${keyId}`));
      assert.deepEqual(await decrypt(dataKey["ciphertext"]), bytes(dataKey["plaintext"]));
    }
  });

  test("POST /v1/generate-data-key-pair answers a key pair", async () => {
    const body = { keyId, keyPairSpec: "ECC_NIST_P256", encryptionContext: ENCRYPTION_CONTEXT };
    const pair = await post("/v1/generate-data-key-pair", body);
    const privateKey = createPrivateKey({ key: bytes(pair["privateKey"]), format: "der", type: "pkcs8" });
    const expected = createPublicKey(privateKey).export({ format: "der", type: "spki" });
    assert.deepEqual(bytes(pair["publicKey"]), expected);
    assert.equal(pair["keyPairSpec"], "ECC_NIST_P256");
    assert.deepEqual(await decrypt(pair["privateKeyCiphertext"]), bytes(pair["privateKey"]));
  });

  test("POST /v1/generate-random answers as many bytes", async () => {
    const { random } = await post("/v1/generate-random", { numberOfBytes: 1024 });
    assert.equal(bytes(random).length, 1024);
  });

  test("POST /v1/derive-shared-secret answers what the peer derives", async () => {
    const { sharedSecret } = await post("/v1/derive-shared-secret", { keyId: agreementKey.keyId, publicKey });
    assert.ok(agreementKey.publicKey);
    const kmsKey = createPublicKey({ key: Buffer.from(agreementKey.publicKey), format: "der", type: "spki" });
    assert.deepEqual(bytes(sharedSecret), diffieHellman({ privateKey: peer.privateKey, publicKey: kmsKey }));
  });

  test("POST /v1/generate-mac answers the same code for the same message", async () => {
    const ask = async (message: string) =>
      bytes(
        (await post("/v1/generate-mac", { keyId: macKeyId, message, macAlgorithm: "HMAC_SHA_256" }))["mac"],
      );
    assert.equal((await ask("AAAA")).length, 32);
    assert.deepEqual(await ask("AAAA"), await ask("AAAA"));
    assert.notDeepEqual(await ask("AAAA"), await ask("AAAB"));
  });

  test("POST /v1/encrypt answers a ciphertext, and keeps the plaintext out of the log", async () => {
    const plaintext = Buffer.from("retreat at dusk, tenant red");
    const body = { keyId, plaintext: plaintext.toString("base64"), encryptionContext: ENCRYPTION_CONTEXT };
    const { ciphertext } = await post("/v1/encrypt", body);
    assert.deepEqual(await decrypt(ciphertext), plaintext);
    assert.ok(!fixture.logged.join("").includes(plaintext.toString("base64")));
  });

  test("a dry run answers 204 when KMS would, and its refusal otherwise", async () => {
    const dry: readonly (readonly [path: string, body: Record<string, unknown>])[] = [
      ["/v1/decrypt", fixture.decryptBody],
      ["/v1/encrypt", { keyId, plaintext: "AAAA" }],
      ["/v1/generate-data-key", { keyId }],
      ["/v1/generate-data-key-pair", { keyId, keyPairSpec: "RSA_2048" }],
      ["/v1/derive-shared-secret", { keyId: agreementKey.keyId, publicKey }],
      ["/v1/generate-mac", { keyId: macKeyId, message: "AAAA", macAlgorithm: "HMAC_SHA_256" }],
      ["/v1/kms/sign", {
        keyId: signingKey.keyId,
        message: "AAAA",
        signingAlgorithm: "ECDSA_SHA_256",
      }],
    ];
    for (const [path, body] of dry) {
      assert.equal((await fixture.call(path, { ...body, dryRun: true })).status, 204, path);
    }
    const missing = { keyId: "00000000-0000-4000-8000-000000000000", dryRun: true };
    assert.equal((await fixture.call("/v1/generate-data-key", missing)).status, 404);
  });

  test("what is verified is answered with its key, and with 422 when it is not valid", async () => {
    const { keyId, arn } = signingKey;
    const order = { keyId, message: "AAAA", signingAlgorithm: "ECDSA_SHA_256" };
    const { signature } = await post("/v1/kms/sign", order);
    assert.ok(verify("sha256", bytes("AAAA"), signingKey.keyPair.publicKey, bytes(signature)));
    assert.deepEqual(await post("/v1/kms/verify", { ...order, signature }), { keyId: arn });
    const code = { keyId: macKeyId, message: "AAAA", macAlgorithm: "HMAC_SHA_256" };
    const { mac } = await post("/v1/generate-mac", code);
    assert.ok((await post("/v1/verify-mac", { ...code, mac }))["keyId"]?.endsWith(`:key/${macKeyId}`));
    for (
      const [path, body] of [
        ["/v1/kms/verify", { ...order, message: "AAAB", signature }],
        ["/v1/kms/verify", { ...order, message: "AAAB", signature, dryRun: true }],
        ["/v1/verify-mac", { ...code, message: "AAAB", mac }],
      ] as const
    ) {
      const answer = await fixture.call(path, body);
      assert.equal(answer.status, 422, path);
      const { title, code: errorCode } = await answer.json() as Answer;
      assert.deepEqual([title, errorCode], ["Unprocessable Content", "ERR_KMS"]);
    }
  });

  test("POST /v1/kms/public-key answers the key, its use and a list of its algorithms", async () => {
    const { publicKey = "", ...told } = await post("/v1/kms/public-key", { keyId: signingKey.keyId });
    assert.deepEqual(new Uint8Array(bytes(publicKey)), signingKey.publicKey);
    assert.deepEqual(told, {
      keyId: signingKey.arn,
      keySpec: "ECC_NIST_P256",
      keyUsage: "SIGN_VERIFY",
      algorithms: ["ECDSA_SHA_256"],
    });
    const members: InferResponseType<PublicKeyRoute, 200>["algorithms"] = ["ECDSA_SHA_256"];
    assert.equal(members.length, 1);
  });

  const requests = (): readonly (readonly [string, string, Record<string, unknown>])[] => [
    ["Encrypt", "/v1/encrypt", { keyId, plaintext: "AAAA", encryptionContext: ENCRYPTION_CONTEXT }],
    ["GenerateDataKey", "/v1/generate-data-key", { keyId, encryptionContext: ENCRYPTION_CONTEXT }],
    ["GenerateDataKeyPair", "/v1/generate-data-key-pair", {
      keyId,
      keyPairSpec: "ECC_NIST_P256",
      encryptionContext: ENCRYPTION_CONTEXT,
    }],
    ["GenerateRandom", "/v1/generate-random", { numberOfBytes: 1 }],
    ["DeriveSharedSecret", "/v1/derive-shared-secret", { keyId: agreementKey.keyId, publicKey }],
    ["GenerateMac", "/v1/generate-mac", { keyId: macKeyId, message: "AAAA", macAlgorithm: "HMAC_SHA_256" }],
    ["VerifyMac", "/v1/verify-mac", {
      keyId: macKeyId,
      message: "AAAA",
      macAlgorithm: "HMAC_SHA_256",
      mac: "AAAA",
    }],
    ["Sign", "/v1/kms/sign", {
      keyId: signingKey.keyId,
      message: "AAAA",
      signingAlgorithm: "ECDSA_SHA_256",
    }],
    ["Verify", "/v1/kms/verify", {
      keyId: signingKey.keyId,
      message: "AAAA",
      signingAlgorithm: "ECDSA_SHA_256",
      signature: "AAAA",
    }],
    ["GetPublicKey", "/v1/kms/public-key", { keyId: signingKey.keyId }],
  ];

  test("the policy sees what goes to KMS, and its refusal sends nothing", async () => {
    for (const [action, path, body] of requests()) {
      const sent = fixture.simulator.kms.requests.length;
      const refused = await fixture.call(path, body, STRANGER);
      assert.equal(refused.status, 403, path);
      assert.equal((await refused.json() as Answer)["code"], "ERR_POLICY_DENIED");
      assert.equal(fixture.simulator.kms.requests.length, sent);
      const facts = policy.asked.at(-1);
      assert.equal(facts?.action, action);
      assert.equal(cidOf(facts), STRANGER);
      assert.equal(facts?.resource.key, body["keyId"] ?? "");
      assert.deepEqual({ ...facts?.context.encryptionContext }, body["encryptionContext"] ?? {});
      assert.equal(fixture.lastLine["operation"], action);
    }
  });

  test("wrong bodies are 400 and name the field, never the value", async () => {
    const wrong: readonly (readonly [path: string, body: Record<string, unknown>, field: string])[] = [
      ["/v1/encrypt", { keyId, plaintext: "?secret?" }, "plaintext"],
      ["/v1/encrypt", { plaintext: "AAAA" }, "keyId"],
      ["/v1/generate-data-key", { keyId, numberOfBytes: 1025 }, "numberOfBytes"],
      ["/v1/generate-data-key", { keyId, keySpec: "AES_512" }, "keySpec"],
      ["/v1/generate-data-key", { keyId, grantTokens: Array(11).fill("t") }, "grantTokens"],
      ["/v1/generate-data-key-pair", { keyId, keyPairSpec: "RSA_1" }, "keyPairSpec"],
      ["/v1/generate-random", { numberOfBytes: 0.5 }, "numberOfBytes"],
      ["/v1/generate-random", { numberOfBytes: 1, dryRun: true }, "dryRun"],
      ["/v1/derive-shared-secret", { keyId, publicKey: "" }, "publicKey"],
      ["/v1/generate-mac", { keyId, message: "?secret?", macAlgorithm: "HMAC_SHA_256" }, "message"],
      ["/v1/generate-mac", { keyId, message: "AAAA", macAlgorithm: "MD5" }, "macAlgorithm"],
      ["/v1/kms/sign", { keyId, message: "AAAA", signingAlgorithm: "MD5" }, "signingAlgorithm"],
      ["/v1/kms/sign", { keyId, signingAlgorithm: "ECDSA_SHA_256" }, "message"],
      ["/v1/kms/verify", { keyId, message: "AAAA", signingAlgorithm: "ECDSA_SHA_256" }, "signature"],
      ["/v1/verify-mac", { keyId, message: "AAAA", macAlgorithm: "HMAC_SHA_256", mac: "?secret?" }, "mac"],
      ["/v1/kms/public-key", { keyId, dryRun: true }, "dryRun"],
    ];
    for (const [path, body, field] of wrong) {
      const answer = await fixture.call(path, body, TENANT);
      const text = await answer.text();
      assert.equal(answer.status, 400, `${path}: ${text}`);
      assert.equal(JSON.parse(text).errors[0].path.split(".")[0], field, text);
      assert.ok(!text.includes("?secret?"));
    }
    const both = await fixture.call("/v1/generate-data-key", {
      keyId,
      keySpec: "AES_128",
      numberOfBytes: 16,
    });
    assert.equal(both.status, 400);
  });
});
