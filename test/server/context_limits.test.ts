import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import { KmstoolSession } from "../../server/kmstool/kmstool_session.ts";
import { MAX_MESSAGE_BYTES } from "../../lib/wire/kmstool_messages.ts";
import { RequestRecord } from "../../enclave/telemetry/request_record.ts";
import { grantTokens } from "../../server/field_schemas.ts";
import { ENCRYPTION_CONTEXT, Fixture, PARENT, RecordingPolicy, TENANT } from "./fixture.ts";

/** A context of short pairs: what costs Cedar most for what it costs to send. */
const pairs = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, ""]));

describe("a context that KMS would not take", () => {
  const policy = new RecordingPolicy();
  let fixture: Fixture;

  beforeAll(async () => {
    fixture = await Fixture.start({ policy });
    assert.equal((await fixture.setCredentials()).status, 204);
  });
  afterAll(() => fixture[Symbol.asyncDispose]());

  test("is 400 over HTTP before the policy is asked", async () => {
    const { keyId, ciphertext } = fixture;
    const bodies: readonly (readonly [path: string, body: Record<string, unknown>])[] = [
      ["/v1/decrypt", { ciphertext }],
      ["/v1/encrypt", { keyId, plaintext: "AAAA" }],
      ["/v1/generate-data-key", { keyId }],
      ["/v1/generate-data-key-pair", { keyId, keyPairSpec: "ECC_NIST_P256" }],
    ];
    const wrong = [
      [pairs(3000), "at most 128 pairs, not 3000"],
      [{ tenant: "x".repeat(9000) }, "at most 8192 bytes, not 9008"],
    ] as const;
    for (const [path, body] of bodies) {
      for (const dryRun of [false, true]) {
        for (const [encryptionContext, expected] of wrong) {
          const before = policy.asked.length;
          const answer = await fixture.call(path, { ...body, dryRun, encryptionContext }, TENANT);
          assert.equal(answer.status, 400, path);
          const problem = await answer.json() as { code: string; errors: unknown };
          assert.equal(problem.code, "ERR_BAD_REQUEST");
          assert.deepEqual(problem.errors, [{ path: "encryptionContext", expected }]);
          assert.equal(policy.asked.length - before, 0, path);
        }
      }
    }
    const before = policy.asked.length;
    assert.equal((await fixture.call("/v1/decrypt", fixture.decryptBody, TENANT)).status, 200);
    assert.equal(policy.asked.length - before, 1, "the same call with a context that KMS takes");
  });

  test("is refused over kmstool before the policy is asked", async () => {
    using session = new KmstoolSession(fixture.service, undefined);
    const ask = async (message: unknown) => {
      const bytes = new TextEncoder().encode(JSON.stringify(message));
      assert.ok(bytes.length < MAX_MESSAGE_BYTES, `${bytes.length} bytes`);
      const answer = await session.handle(bytes, new RequestRecord("kmstool", PARENT));
      return JSON.parse(new TextDecoder().decode(answer).slice(0, -1)) as unknown;
    };
    const { accessKeyId, secretAccessKey, sessionToken } = fixture.simulator.credentials;
    await ask({
      Operation: "SetClient",
      AwsAccessKeyId: accessKeyId,
      AwsSecretAccessKey: secretAccessKey,
      AwsSessionToken: sessionToken,
    });
    const before = policy.asked.length;
    const Ciphertext = fixture.ciphertext;
    // As many as a message has room for.
    for (const count of [129, 650]) {
      const message = { Operation: "Decrypt", Ciphertext, EncryptionContext: pairs(count) };
      await assert.rejects(ask(message), (error: Error) => {
        assert.equal(error.message, "Could not decrypt ciphertext");
        return /at most 128 pairs/.test(JSON.stringify(error.cause));
      });
    }
    assert.equal(policy.asked.length - before, 0);
    const message = { Operation: "Decrypt", Ciphertext, EncryptionContext: ENCRYPTION_CONTEXT };
    assert.equal((await ask(message) as { Status: string }).Status, "Ok");
    assert.equal(policy.asked.length - before, 1, "the same call with a context that KMS takes");
  });
});

describe("a list of grant tokens that KMS would not take", () => {
  test("is one issue, however many of its entries are wrong", () => {
    for (const wrong of [1, "", null, {}]) {
      const tokens = Array.from({ length: 16_000 }, () => wrong);
      const checked = grantTokens["~standard"].validate(tokens);
      assert.ok(!(checked instanceof Promise));
      assert.equal(checked.issues?.length, 1);
    }
  });

  test("is refused with how many there may be", async () => {
    await using fixture = await Fixture.start();
    const ask = async (grantTokens: unknown) => {
      const answer = await fixture.call("/v1/decrypt", { ...fixture.decryptBody, grantTokens });
      return (await answer.json() as { errors: unknown }).errors;
    };
    const tooMany = [{ path: "grantTokens", expected: "at most 10 of them" }];
    assert.deepEqual(await ask(Array.from({ length: 11 }, () => "token")), tooMany);
    assert.deepEqual(await ask(["x".repeat(8193)]), [
      { path: "grantTokens.0", expected: "at most 8192 characters" },
    ]);
  });
});
