import assert from "node:assert/strict";
import { describe, test } from "#test";
import { Fixture } from "./fixture.ts";

const ROTATIONS = 1000;
const IN_FLIGHT = 64;
const NOON_MS = Date.UTC(2026, 10, 30, 12);
const KEY_ID = /"(?:AKIA|ASIA)[A-Z0-9]{12,}"/;

/** Pushes the simulator's credentials, with an expiration. */
async function push(fixture: Fixture, expiration: number, more: object = {}): Promise<Response> {
  const { accessKeyId, secretAccessKey, sessionToken } = fixture.simulator.credentials;
  const pushed = { accessKeyId, secretAccessKey, sessionToken, expiration, ...more };
  return await fixture.callControl("/v1/credentials", pushed);
}

describe("credentials that rotate", () => {
  test(`${ROTATIONS} rotations with ${IN_FLIGHT} requests in flight fail none, and leave none unwiped`, async () => {
    await using fixture = await Fixture.start();
    const store = fixture.service.scope.credentials;
    await push(fixture, NOON_MS);
    const secrets: Uint8Array[] = [];
    const statuses = new Map<number, number>();
    let isOver = false;
    let mostHeld = 0;
    let answered = Promise.withResolvers<void>();
    const body = { keyId: fixture.keyId, plaintext: "AQID" };
    const ask = async () => {
      while (!isOver) {
        const { status } = await fixture.call("/v1/encrypt", body);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        answered.resolve();
      }
    };
    const running = Array.from({ length: IN_FLIGHT }, ask);
    for (let rotation = 1; rotation <= ROTATIONS; rotation++) {
      fixture.simulator.rotateCredentials();
      assert.equal((await push(fixture, NOON_MS + rotation)).status, 204);
      {
        using lease = store.lease();
        using owned = await lease.get();
        secrets.push(owned.secretAccessKey.bytes);
      }
      mostHeld = Math.max(mostHeld, store.state.heldCount);
      answered = Promise.withResolvers();
      await answered.promise;
    }
    isOver = true;
    await Promise.all(running);
    assert.deepEqual([...statuses.keys()], [200]);
    assert.ok((statuses.get(200) ?? 0) >= ROTATIONS);
    assert.ok(mostHeld > 1, "replaced credentials were in use");
    assert.deepEqual([store.state.generation, store.state.heldCount], [ROTATIONS + 1, 1]);
    const unwiped = secrets.filter((bytes) => bytes.some((byte) => byte !== 0));
    assert.deepEqual(unwiped, secrets.slice(-1));
    assert.doesNotMatch(fixture.logged.join(""), KEY_ID);
  });

  test("are refused with 409 when they expire before those in force, unless they are forced", async () => {
    await using fixture = await Fixture.start();
    assert.equal((await push(fixture, NOON_MS)).status, 204);
    const late = await push(fixture, NOON_MS - 1);
    assert.equal(late.status, 409);
    assert.equal((await late.json() as { code: string }).code, "ERR_CREDENTIALS_OLDER");
    assert.equal((await push(fixture, NOON_MS - 1, { force: false })).status, 409);
    assert.equal(fixture.service.scope.credentials.state.generation, 1);
    assert.equal((await push(fixture, NOON_MS - 1, { force: true })).status, 204);
    const metrics = await (await fixture.call("/metrics")).text();
    assert.match(metrics, /^enclave_kms_credentials_generation 2$/m);
    assert.match(metrics, /^enclave_kms_credentials_held 1$/m);
  });

  test("are refused with `force` of another kind, or in another place", async () => {
    await using fixture = await Fixture.start();
    const { accessKeyId, secretAccessKey, sessionToken } = fixture.simulator.credentials;
    const aws = { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, SessionToken: sessionToken };
    for (const force of ["true", 1, null, {}]) {
      const answer = await push(fixture, NOON_MS, { force });
      assert.deepEqual((await answer.json() as { errors: unknown }).errors, [
        { path: "force", expected: "true or false" },
      ]);
    }
    const inside = { Credentials: { ...aws, force: true } };
    assert.equal((await fixture.callControl("/v1/credentials", inside)).status, 400);
    assert.equal((await fixture.callControl("/v1/credentials", { force: true })).status, 400);
    assert.equal(fixture.service.scope.credentials.isSet, false);
    for (const body of [{ ...aws, force: true }, { Credentials: aws, force: true }]) {
      assert.equal((await fixture.callControl("/v1/credentials", body)).status, 204);
    }
  });

  test("are logged with the ends of their key id, their expiration and generation, each on a line", async () => {
    await using fixture = await Fixture.start();
    const connection = {};
    for (const generation of [1, 2, 3]) {
      const { accessKeyId, secretAccessKey, sessionToken } = fixture.simulator.rotateCredentials();
      const pushed = { accessKeyId, secretAccessKey, sessionToken, expiration: NOON_MS };
      await fixture.callControl("/v1/credentials", pushed, connection);
      assert.deepEqual(fixture.lastLine["credentials"], {
        accessKeyId: `${accessKeyId.slice(0, 4)}...${accessKeyId.slice(-4)}`,
        expiration: "2026-11-30T12:00:00.000Z",
        generation,
      });
    }
    const lines = fixture.logged.length;
    await fixture.callControl("/v1/credentials", fixture.simulator.credentials, connection);
    assert.equal(fixture.logged.length, lines, "the same once more is only counted");
    assert.doesNotMatch(fixture.logged.join(""), KEY_ID);
    assert.ok(!fixture.logged.join("").includes(fixture.simulator.credentials.secretAccessKey));
  });
});
