import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "#test";
import type { CredentialStore } from "../../enclave/credential_store.ts";
import type { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { Fixture, STRANGER } from "../server/fixture.ts";
import { HELD_MS, HeldTimers } from "../support/held_timers.ts";
import { until } from "../support/until.ts";

describe("failures, as callers see them", () => {
  test("what KMS says becomes a status and a code, and stays in the log", async () => {
    await using fixture = await Fixture.start();
    await fixture.setCredentials();
    const cases = [
      ["AccessDeniedException", 403],
      ["NotFoundException", 404],
      ["KMSInvalidStateException", 409],
      ["DisabledException", 409],
      ["IncorrectKeyException", 400],
      ["InvalidCiphertextException", 400],
      ["ThrottlingException", 503],
      ["KMSInternalException", 502],
    ] as const;
    for (const [kmsCode, status] of cases) {
      await fixture.simulator.kms.injectFault({ kind: "refusal", kmsCode });
      const answer = await fixture.call("/v1/decrypt", fixture.decryptBody);
      await fixture.simulator.kms.clearFaults();
      assert.equal(answer.status, status, kmsCode);
      const text = await answer.text();
      assert.equal(JSON.parse(text).code, "ERR_KMS");
      assert.ok(!text.includes(kmsCode), "a code, never a cause");
      assert.equal(answer.headers.get("retry-after"), status === 503 ? "1" : null);
      assert.match(fixture.logged.at(-1) ?? "", new RegExp(kmsCode));
    }
  });

  test("a KMS that does not answer is 504 after the deadline", async () => {
    using timers = new HeldTimers();
    await using fixture = await Fixture.start({ timeoutMs: HELD_MS });
    await fixture.setCredentials();
    const { kms } = fixture.simulator;
    await kms.injectFault({ kind: "hang" });
    const answering = fixture.call("/v1/decrypt", fixture.decryptBody);
    await until(() => kms.requestCount > 0);
    timers.goOff();
    const answer = await answering;
    assert.equal(answer.status, 504);
    assert.equal((await answer.json() as { code: string }).code, "ERR_TIMEOUT");
    assert.deepEqual([fixture.lastLine["outcome"], fixture.lastLine["level"]], ["timeout", "error"]);
    assert.equal((fixture.lastLine["failure"] as { stage: string }).stage, "kms");
  });

  test("the log says what a request waited for: its turn, the NSM, KMS", async () => {
    await using fixture = await Fixture.start({ maxConcurrent: 1, timeoutMs: 2000 });
    await fixture.setCredentials();
    const stageOf = async (answer: Promise<Response>) => {
      assert.equal((await answer).status, 504);
      return (fixture.lastLine["failure"] as { stage: string }).stage;
    };
    {
      using _turn = await fixture.admission.enter({}, AbortSignal.timeout(60_000));
      assert.equal(await stageOf(fixture.call("/v1/decrypt", fixture.decryptBody)), "admission");
      assert.equal(await stageOf(fixture.call("/v1/attestation?nonce=AQID")), "admission");
    }
    fixture.simulator.nsm.injectFault({ kind: "silent" });
    assert.equal(await stageOf(fixture.call("/v1/attestation?nonce=AQID")), "nsm");
  });

  test("more requests than wait at most are 503 with Retry-After", async () => {
    await using fixture = await Fixture.start({ maxConcurrent: 1, maxWaiting: 1 });
    await fixture.setCredentials();
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => fixture.call("/v1/decrypt", fixture.decryptBody)),
    );
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 503, 503]);
    const busy = answers.find(({ status }) => status === 503);
    assert.equal(busy?.headers.get("retry-after"), "1");
    assert.equal((await busy?.json() as { code: string }).code, "ERR_OVERLOADED");
    assert.equal((await fixture.call("/v1/decrypt", fixture.decryptBody)).status, 200);
  });

  test("without credentials, without an NSM, without KMS", async () => {
    await using fixture = await Fixture.start({ withoutNsm: true, timeoutMs: 4000 });
    const code = async (answer: Response) => [answer.status, (await answer.json() as { code: string }).code];
    assert.deepEqual(await code(await fixture.call("/v1/decrypt", fixture.decryptBody)), [
      503,
      "ERR_CREDENTIALS",
    ]);
    assert.deepEqual(await code(await fixture.call("/v1/attestation?nonce=AQID")), [
      503,
      "ERR_ATTESTATION_UNAVAILABLE",
    ]);
    const ready = await fixture.call("/readyz");
    assert.equal(ready.status, 503);
    assert.deepEqual(await ready.json(), { library: true, nsm: false, credentials: false, policy: true });
    await fixture.setCredentials();
    await fixture.simulator.kms[Symbol.asyncDispose]();
    assert.deepEqual(await code(await fixture.call("/v1/decrypt", fixture.decryptBody)), [
      502,
      "ERR_CONNECTION",
    ]);
  });

  test("bodies that are wrong in form: places and expectations, nothing of what was sent", async () => {
    await using fixture = await Fixture.start();
    const { ciphertext } = fixture;
    const cases: [unknown, string][] = [
      ["{", ""],
      ["HUSH", ""],
      [[], ""],
      [{}, "ciphertext"],
      [{ ciphertext: 1 }, "ciphertext"],
      [{ ciphertext: "HUSH*" }, "ciphertext"],
      [{ ciphertext: "" }, "ciphertext"],
      [{ ciphertext: "A".repeat(8196) }, "ciphertext"],
      [{ ciphertext, keyId: "HUSH!" }, "keyId"],
      [{ ciphertext, encryptionContext: { a: "HUSH", b: 1 } }, "encryptionContext"],
      [{ ciphertext, encryptionAlgorithm: "HUSH" }, "encryptionAlgorithm"],
      [{ ciphertext, keyID: "HUSH" }, "keyID"],
      [{ ciphertext, [`a${"b".repeat(31)}`]: "HUSH" }, `a${"b".repeat(31)}`],
      // A name that is none of ours may be anything: not all of them are said again.
      ...["HUSH HUSH", "HUSH-HUSH", "HUSH\n", "<HUSH>", "\u202eHUSH", "1HUSH", `HUSH${"x".repeat(29)}`].map(
        (name): [unknown, string] => [{ ciphertext, [name]: "HUSH" }, ""],
      ),
      [{ ciphertext, encryptionAlgorithm: "RSAES_OAEP_SHA_256" }, ""],
      [{ ciphertext, encryptionContext: { a: "HUSH\0" } }, ""],
    ];
    for (const [body, path] of cases) {
      const answer = await fixture.call("/v1/decrypt", body);
      const text = await answer.text();
      assert.equal(answer.status, 400, text);
      assert.doesNotMatch(text, /HUSH/);
      const { code, errors } = JSON.parse(text);
      assert.equal(code, "ERR_BAD_REQUEST");
      if (path !== "") assert.equal(errors[0].path, path, text);
    }
    const told = async (body: unknown) =>
      JSON.parse(await (await fixture.call("/v1/decrypt", body)).text()).errors as unknown;
    assert.deepEqual(await told("{"), [{ path: "", expected: "JSON" }]);
    assert.deepEqual(await told(""), [{ path: "", expected: "JSON" }]);
    assert.deepEqual(await told([]), [{ path: "", expected: "an object" }]);
    assert.deepEqual(await told("null"), [{ path: "", expected: "an object" }]);
    assert.deepEqual(
      await told({ ciphertext: 1, encryptionAlgorithm: "a", grantTokens: "a", dryRun: 1 }),
      [
        { path: "ciphertext", expected: "a string" },
        {
          path: "encryptionAlgorithm",
          expected: '"SYMMETRIC_DEFAULT" or "RSAES_OAEP_SHA_1" or "RSAES_OAEP_SHA_256"',
        },
        { path: "grantTokens", expected: "an array" },
        { path: "dryRun", expected: "true or false" },
      ],
    );
    const credentials = { accessKeyId: "AKIA", secretAccessKey: "HUSH HUSH", sessionToken: "HUSH\n" };
    const answer = await fixture.callControl("/v1/credentials", credentials);
    assert.equal(answer.status, 400);
    assert.doesNotMatch(await answer.text(), /HUSH/);
    assert.doesNotMatch(fixture.logged.join(""), /HUSH/);
  });

  test("media types and sizes", async () => {
    await using fixture = await Fixture.start();
    const init = (type: string, body: string) => ({
      method: "POST",
      headers: { "content-type": type },
      body,
    });
    for (const type of ["text/plain", "application/jsonx", ""]) {
      const answer = await fixture.call("/v1/decrypt", undefined, 7, init(type, "{}"));
      assert.equal(answer.status, 415, type);
      assert.deepEqual((await answer.json() as { errors: unknown }).errors, [
        { path: "content-type", expected: "application/json" },
      ]);
    }
    const large = init("application/json; charset=utf-8", JSON.stringify({ ciphertext: "A".repeat(70_000) }));
    const answer = await fixture.call("/v1/decrypt", undefined, 7, large);
    assert.equal(answer.status, 413);
    assert.equal((await answer.json() as { code: string }).code, "ERR_BODY_TOO_LARGE");
  });
});

describe("the log", () => {
  test("cannot be forged", async () => {
    await using fixture = await Fixture.start();
    const evil = '\n{"level":"info","msg":"request","outcome":"ok"}\r\n\u001b[2J\u009b\u2028\u202e';
    await fixture.call(
      `/v1/decrypt?${encodeURIComponent(evil)}`,
      { ciphertext: evil, keyId: evil },
      STRANGER,
    );
    await fixture.call("/v1/decrypt", { ...fixture.decryptBody, encryptionContext: { [evil]: evil } });
    await fixture.call("/v1/attestation?nonce=AQID", undefined, 7, { headers: { "x-request-id": "mine" } });
    for (const line of fixture.logged) {
      assert.match(line, /^[\x20-\x7e]*\n$/);
      assert.notEqual(JSON.parse(line).id, "mine");
    }
    assert.equal(fixture.logged.length, 3);
  });

  test("keeps what it was given, as escapes", () => {
    const lines: string[] = [];
    createLogger("info", (line) => lines.push(line)).info({ key: "é\u2028\ud83d\ude00\u007f" }, "x\ny");
    assert.match(lines[0] ?? "", /^[\x20-\x7e]*\n$/);
    const { key, msg } = JSON.parse(lines[0] ?? "");
    assert.deepEqual({ key, msg }, { key: "é\u2028\ud83d\ude00\u007f", msg: "x\ny" });
  });
});

test("the credentials are wiped when the service closes", async () => {
  const fixture = await Fixture.start();
  await fixture.setCredentials();
  const { bytes } = await secretOf(fixture.service.scope.credentials);
  assert.ok(bytes.some((byte) => byte !== 0));
  await fixture[Symbol.asyncDispose]();
  assert.ok(Buffer.from(bytes).every((byte) => byte === 0));
  assert.equal(fixture.service.scope.credentials.isSet, false);
});

/** Reads the secret access key that a store lends, and gives the lease back. */
async function secretOf(store: CredentialStore): Promise<SecretBytes> {
  using lease = store.lease();
  using owned = await lease.get();
  return owned.secretAccessKey;
}
