import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "#test";
import { parentOnly } from "../../enclave/gate.ts";
import { Fixture, STRANGER, TENANT, until } from "./fixture.ts";

const CODES = ["ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"] as const;
const MAX_PAUSE_MS = 30_000;
const { now } = performance;

/** Moves on the clock that pauses go by. */
function advance(ms: number): void {
  const before = performance.now;
  performance.now = () => before.call(performance) + ms;
}

afterEach(() => {
  performance.now = now;
});

describe("credentials that KMS refuses", () => {
  let fixture: Fixture;

  beforeEach(async () => {
    fixture = await Fixture.start();
    assert.equal((await fixture.setCredentials()).status, 204);
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const requests = () => fixture.simulator.kms.requestCount;

  async function decrypt(): Promise<readonly [status: number, code: string | undefined]> {
    const answer = await fixture.call("/v1/decrypt", fixture.decryptBody);
    return [
      answer.status,
      answer.status === 200 ? undefined : (await answer.json() as { code: string }).code,
    ];
  }

  async function isReady(): Promise<boolean> {
    const answer = await fixture.call("/readyz");
    const { credentials } = await answer.json() as { credentials: boolean };
    assert.equal(answer.status, credentials ? 200 : 503);
    return credentials;
  }

  /** Reads a gauge of the metrics. */
  async function gauge(name: string): Promise<number | undefined> {
    const text = await (await fixture.call("/metrics")).text();
    const value = new RegExp(`^enclave_kms_${name} (\\S+)$`, "m").exec(text)?.[1];
    return value === undefined ? undefined : Number(value);
  }

  for (const kmsCode of CODES) {
    test(`with ${kmsCode} are remembered until there are others`, async () => {
      const { kms } = fixture.simulator;
      await kms.injectFault({ kind: "refusal", kmsCode });
      assert.deepEqual(await decrypt(), [503, "ERR_CREDENTIALS"]);
      const { failure } = fixture.lastLine as { failure: { message: string; hint: string } };
      assert.match(
        failure.message,
        new RegExp(`KMS refused the credentials with ${kmsCode} in request [\\w-]+$`),
      );
      assert.match(failure.hint, /POST \/v1\/credentials/);
      const before = requests();
      for (let round = 0; round < 3; round++) assert.deepEqual(await decrypt(), [503, "ERR_CREDENTIALS"]);
      assert.equal(requests(), before);
      assert.equal(await isReady(), false);
      assert.equal(await gauge("credentials_refused"), 1);
      await kms.clearFaults();
      await fixture.setCredentials();
      assert.equal(await isReady(), true);
      assert.equal(await gauge("credentials_refused"), 0);
      assert.deepEqual(await decrypt(), [200, undefined]);
    });
  }

  test("are tried by one request after each pause, and taken when KMS takes them again", async () => {
    const { kms } = fixture.simulator;
    await kms.injectFault({ kind: "refusal", kmsCode: "UnrecognizedClientException" });
    await decrypt();
    const before = requests();
    advance(MAX_PAUSE_MS);
    await Promise.all([decrypt(), decrypt(), decrypt()]);
    assert.equal(requests() - before, 1);
    await kms.clearFaults();
    assert.deepEqual(await decrypt(), [503, "ERR_CREDENTIALS"]);
    advance(MAX_PAUSE_MS);
    assert.deepEqual(await decrypt(), [200, undefined]);
    assert.deepEqual([await isReady(), await decrypt()], [true, [200, undefined]]);
  });

  test("are tried for readiness as well: who is not ready may get no requests", async () => {
    const { kms } = fixture.simulator;
    await kms.injectFault({ kind: "refusal", kmsCode: "UnrecognizedClientException" });
    await decrypt();
    const before = requests();
    for (let round = 0; round < 3; round++) assert.equal(await isReady(), false);
    assert.equal(requests(), before);
    advance(MAX_PAUSE_MS);
    for (let round = 0; round < 3; round++) assert.equal(await isReady(), false);
    await until(() => requests() > before);
    assert.equal(requests() - before, 1);
    await kms.clearFaults();
    advance(MAX_PAUSE_MS);
    assert.equal(await isReady(), false);
    await until(() => fixture.service.scope.credentials.isUsable);
    assert.equal(await isReady(), true);
  });

  test("are those of the server, not those of a request that another wrong may fail", async () => {
    const { kms } = fixture.simulator;
    for (
      const kmsCode of ["AccessDeniedException", "NotFoundException", "InvalidCiphertextException"] as const
    ) {
      await kms.injectFault({ kind: "refusal", kmsCode });
      assert.equal((await decrypt())[1], "ERR_KMS");
      await kms.clearFaults();
      assert.equal(await isReady(), true);
    }
    kms.clockOffsetMs = 3 * 86_400_000;
    assert.deepEqual(await decrypt(), [502, "ERR_KMS"]);
    kms.clockOffsetMs = 0;
    assert.equal(await isReady(), true);
  });

  test("are replaced within a request when others were pushed meanwhile", async () => {
    const { kms } = fixture.simulator;
    await kms.injectFault({ kind: "latency", ms: 100 }, { times: 1 });
    const before = requests();
    const running = decrypt();
    await until(() => requests() > before);
    fixture.simulator.rotateCredentials({ old: "revoke" });
    await fixture.setCredentials();
    assert.deepEqual(await running, [200, undefined]);
    assert.equal(await isReady(), true);
  });
});

describe("POST /v1/credentials", () => {
  let fixture: Fixture;

  beforeEach(async () => {
    fixture = await Fixture.start();
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const gauges = async () => {
    const text = await (await fixture.call("/metrics")).text();
    const entries = [...text.matchAll(/^enclave_kms_credentials_(\w+) (\S+)$/gm)];
    return Object.fromEntries(entries.map(([, name = "", value = ""]) => [name, Number(value)]));
  };

  test("takes what the library, IMDS, ECS and the command line write, and its expiration", async () => {
    const { accessKeyId, secretAccessKey, sessionToken } = fixture.simulator.credentials;
    const aws = { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey };
    const Expiration = new Date(Date.now() + 3_600_000).toISOString();
    const shapes = [
      { accessKeyId, secretAccessKey, sessionToken, expiration: Expiration },
      { Code: "Success", LastUpdated: Expiration, Type: "AWS-HMAC", ...aws, Token: sessionToken, Expiration },
      { RoleArn: "arn:aws:iam::111122223333:role/r", ...aws, Token: sessionToken, Expiration },
      { Credentials: { ...aws, SessionToken: sessionToken, Expiration }, AssumedRoleUser: {} },
      { Version: 1, ...aws, SessionToken: sessionToken, Expiration },
    ];
    for (const shape of shapes) {
      assert.equal((await fixture.callControl("/v1/credentials", shape)).status, 204);
      assert.equal((await fixture.call("/v1/decrypt", fixture.decryptBody)).status, 200);
      const { set, refused, expire_in_seconds: left = 0, age_seconds: age = -1 } = await gauges();
      assert.deepEqual([set, refused], [1, 0]);
      assert.ok(left > 3000 && left <= 3600 && age >= 0);
    }
  });

  test("goes on past their expiration, and metrics tell for how long", async () => {
    const expiration = Date.now() - 60_000;
    const pushed = { ...fixture.simulator.credentials, expiration };
    assert.equal((await fixture.callControl("/v1/credentials", pushed)).status, 204);
    assert.equal((await fixture.call("/v1/decrypt", fixture.decryptBody)).status, 200);
    assert.equal((await fixture.call("/readyz")).status, 200);
    advance(120_000);
    const { expire_in_seconds: left = 0, age_seconds: age = 0 } = await gauges();
    assert.ok(left <= -60 && age >= 120);
  });

  test("tells no age of credentials that are not set, and no time left that is not known", async () => {
    assert.deepEqual(await gauges(), { set: 0, refused: 0, generation: 0, held: 0 });
    await fixture.setCredentials();
    const names = ["set", "refused", "generation", "held", "age_seconds"];
    assert.deepEqual(Object.keys(await gauges()), names);
  });

  test("names every field that is wrong, and never a value", async () => {
    const cases: readonly (readonly [unknown, readonly string[]])[] = [
      [{ AccessKeyId: "HUSH HUSH", SecretAccessKey: 7, Expiration: "HUSH" }, [
        "AccessKeyId",
        "SecretAccessKey",
        "Expiration",
      ]],
      [{ Credentials: { AccessKeyId: "A" } }, ["Credentials.SecretAccessKey"]],
      [{ accessKeyId: "A", secretAccessKey: "HUSH", SessionToken: "HUSH" }, ["SessionToken"]],
      [{ aws_access_key_id: "HUSH" }, ["accessKeyId", "secretAccessKey", "aws_access_key_id"]],
      [{ Code: "HUSH" }, ["AccessKeyId", "Code", "SecretAccessKey"]],
      [["HUSH"], [""]],
    ];
    for (const [body, paths] of cases) {
      const answer = await fixture.callControl("/v1/credentials", body);
      const text = await answer.text();
      const { code, errors } = JSON.parse(text) as {
        code: string;
        errors: { path: string; expected: string }[];
      };
      assert.deepEqual([answer.status, code], [400, "ERR_BAD_REQUEST"]);
      assert.deepEqual(errors.map(({ path }) => path).sort(), [...paths].sort(), text);
      assert.ok(errors.every(({ expected }) => expected !== ""));
      assert.doesNotMatch(text + fixture.logged.join(""), /HUSH/);
    }
    assert.equal(fixture.service.scope.credentials.isSet, false);
  });

  test("judges the form before the policy, and the policy before anything is set", async () => {
    await using open = await Fixture.start({ credentialPolicy: parentOnly });
    for (const cid of [TENANT, STRANGER]) {
      assert.equal((await open.call("/v1/credentials", { x: 1 }, cid)).status, 400);
      assert.equal((await open.call("/v1/credentials", open.simulator.credentials, cid)).status, 403);
    }
    assert.equal(open.service.scope.credentials.isSet, false);
  });
});
