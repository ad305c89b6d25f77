import assert from "node:assert/strict";
import { describe, test } from "#test";
import { RequestRecord } from "../../enclave/telemetry/request_record.ts";
import { KmstoolSession } from "../../server/kmstool/kmstool_session.ts";
import { Fixture, PARENT, until } from "../server/fixture.ts";

/** Most times that the client sends a request that KMS throttles. */
const ATTEMPTS = 3;

const gauge = async (fixture: Fixture, name: string) => {
  const text = await (await fixture.call("/metrics")).text();
  return Number(new RegExp(`^enclave_kms_${name} (\\S+)$`, "m").exec(text)?.[1]);
};

const decrypt = async (fixture: Fixture) => {
  const answer = await fixture.call("/v1/decrypt", fixture.decryptBody);
  return [answer.status, answer.headers.get("retry-after")] as const;
};

describe("a KMS that throttles", () => {
  test("shrinks admission, callers get 503 with Retry-After, and all of it recovers", async () => {
    await using fixture = await Fixture.start({ maxConcurrent: 4 });
    await fixture.setCredentials();
    assert.deepEqual(await decrypt(fixture), [200, null]);
    assert.equal(await gauge(fixture, "turns"), 4);
    await fixture.simulator.kms.injectFault({ kind: "throttled" });
    const told: number[] = [];
    for (const turns of [2, 1, 1, 1]) {
      const [status, seconds] = await decrypt(fixture);
      assert.equal(status, 503);
      told.push(Number(seconds));
      assert.equal(await gauge(fixture, "turns"), turns);
    }
    assert.ok(told.every((seconds) => Number.isInteger(seconds) && seconds >= 1 && seconds <= 8));
    assert.ok((told.at(-1) ?? 0) >= 4, `${told}`);
    assert.equal(await gauge(fixture, "throttled_total"), 4 * ATTEMPTS);
    await fixture.simulator.kms.clearFaults();
    for (let tries = 0; await gauge(fixture, "turns") < 4; tries++) {
      assert.ok(tries < 20);
      assert.deepEqual(await decrypt(fixture), [200, null]);
    }
    for (let tries = 0; fixture.service.pacing.retryAfterSeconds(quotaOf(fixture)) !== undefined; tries++) {
      assert.ok(tries < 20);
      assert.deepEqual(await decrypt(fixture), [200, null]);
    }
  });

  test("is noticed when the client's next try succeeds, and its caller notices nothing", async () => {
    await using fixture = await Fixture.start({ maxConcurrent: 4 });
    await fixture.setCredentials();
    await fixture.simulator.kms.injectFault({ kind: "throttled" }, { times: 1 });
    assert.deepEqual(await decrypt(fixture), [200, null]);
    assert.deepEqual([await gauge(fixture, "turns"), await gauge(fixture, "throttled_total")], [2, 1]);
  });

  test("leaves attestation alone, and whoever finds no place in the shorter line is told the pause", async () => {
    await using fixture = await Fixture.start({ maxConcurrent: 2, maxWaiting: 16 });
    await fixture.setCredentials();
    await fixture.simulator.kms.injectFault({ kind: "throttled" });
    await decrypt(fixture);
    await decrypt(fixture);
    await fixture.simulator.kms.clearFaults();
    await fixture.simulator.kms.injectFault({ kind: "hang" }, { times: 1 });
    const gone = new AbortController();
    const post = {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(fixture.decryptBody),
    };
    const hanging = fixture.app.request("/v1/decrypt", post, {
      cid: PARENT,
      gone: gone.signal,
      connection: {},
    });
    await until(() => fixture.service.pacing.inside === 1);
    const others = Array.from({ length: 8 }, () => decrypt(fixture));
    await until(() => fixture.service.pacing.inside === 9);
    const [status, seconds] = await decrypt(fixture);
    assert.equal(status, 503);
    assert.ok(Number(seconds) >= 1 && Number(seconds) <= 2);
    assert.equal(fixture.lastLine["outcome"], "busy");
    assert.equal((await fixture.call("/v1/attestation?nonce=AQID")).status, 200);
    gone.abort(new Error("gone"));
    await hanging;
    assert.deepEqual(await Promise.all(others), Array(8).fill([200, null]));
    assert.equal(fixture.service.pacing.inside, 0);
  });
});

describe("a hostile caller", () => {
  test("whose requests KMS refuses for what is in them shrinks nothing", async () => {
    await using fixture = await Fixture.start({ maxConcurrent: 4 });
    await fixture.setCredentials();
    const wrong = [
      { ciphertext: "AAAA" },
      { ...fixture.decryptBody, keyId: "alias/nobody" },
      { ...fixture.decryptBody, encryptionContext: { tenant: "blue" } },
    ];
    for (const body of wrong) {
      assert.ok([400, 404].includes((await fixture.call("/v1/decrypt", body)).status));
    }
    for (const kmsCode of ["KMSInternalException", "AccessDeniedException"] as const) {
      await fixture.simulator.kms.injectFault({ kind: "refusal", kmsCode });
      assert.notEqual((await decrypt(fixture))[0], 200);
      await fixture.simulator.kms.clearFaults();
    }
    assert.deepEqual([await gauge(fixture, "turns"), await gauge(fixture, "throttled_total")], [4, 0]);
  });

  test("whose own account is throttled, over kmstool, shrinks nobody else's", async () => {
    await using fixture = await Fixture.start({ maxConcurrent: 4 });
    await fixture.setCredentials();
    using session = new KmstoolSession(fixture.service, undefined);
    const send = async (message: object) =>
      await session.handle(
        new TextEncoder().encode(JSON.stringify(message)),
        new RequestRecord("kmstool", PARENT),
      );
    const own = fixture.simulator.rotateCredentials();
    await send({
      Operation: "SetClient",
      AwsAccessKeyId: own.accessKeyId,
      AwsSecretAccessKey: own.secretAccessKey,
      AwsSessionToken: own.sessionToken,
    });
    await fixture.simulator.kms.injectFault({ kind: "throttled" });
    const message = { Operation: "Decrypt", Ciphertext: fixture.ciphertext };
    for (let tries = 0; tries < 3; tries++) await assert.rejects(send(message));
    await fixture.simulator.kms.clearFaults();
    assert.equal(await gauge(fixture, "throttled_total"), 3 * ATTEMPTS);
    assert.equal(fixture.service.pacing.limitOf(`${fixture.simulator.region} ${own.accessKeyId}`), 1);
    assert.equal(await gauge(fixture, "turns"), 4);
    assert.deepEqual(await decrypt(fixture), [200, null]);
  });
});

function quotaOf({ service: { scope } }: Fixture): string {
  return `${scope.region} ${scope.credentials.accessKeyId}`;
}
