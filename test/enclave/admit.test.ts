import assert from "node:assert/strict";
import { describe, test } from "#test";
import { denyAll, type Policy } from "../../lib/policy/policy.ts";
import { PolicyHolder } from "../../lib/policy/policy_file.ts";
import { Fixture, RecordingPolicy, STRANGER, TENANT, until } from "../server/fixture.ts";

const ATTESTATION = "/v1/attestation?nonce=AQID";

const ONE_AT_A_TIME = { maxConcurrent: 1, timeoutMs: 60_000 };

/** Takes the only place, until it is disposed. */
const occupy = ({ admission }: Fixture) => admission.enter({}, new AbortController().signal);

/** Notes in which order decrypts are answered, and with which status. */
function recordOrder(fixture: Fixture) {
  const order: string[] = [];
  const ask = async (name: string, connection: object) => {
    const { status } = await fixture.call("/v1/decrypt", fixture.decryptBody, TENANT, {}, connection);
    order.push(`${name} ${status}`);
  };
  return { order, ask };
}

const codeOf = async (answer: Response) => ((await answer.json()) as { code?: string }).code;

describe("the policy is asked before the wait", () => {
  test("a refused caller gets 403 while the line is full, and takes no place in it", async () => {
    await using fixture = await Fixture.start({ ...ONE_AT_A_TIME, maxWaiting: 0 });
    await fixture.setCredentials();
    using _place = await occupy(fixture);
    for (const path of ["/v1/decrypt", ATTESTATION]) {
      const body = path === "/v1/decrypt" ? fixture.decryptBody : undefined;
      const refused = await fixture.call(path, body, STRANGER);
      assert.deepEqual([refused.status, await codeOf(refused)], [403, "ERR_POLICY_DENIED"]);
      assert.equal(fixture.admission.inside, 1);
      const turnedAway = await fixture.call(path, body);
      assert.deepEqual([turnedAway.status, turnedAway.headers.get("retry-after")], [503, "1"]);
      assert.equal(await codeOf(turnedAway), "ERR_OVERLOADED");
    }
  });

  test("attacker and victim on one CID: 40 requests of one connection, and the victim is next", async () => {
    await using fixture = await Fixture.start({ ...ONE_AT_A_TIME, maxWaiting: 64 });
    await fixture.setCredentials();
    const place = await occupy(fixture);
    const { order, ask } = recordOrder(fixture);
    const attacker = {};
    const asked = Array.from({ length: 40 }, () => ask("attacker", attacker));
    await until(() => order.length === 36);
    asked.push(ask("victim", {}));
    await until(() => fixture.admission.inside === 6);
    place[Symbol.dispose]();
    await Promise.all(asked);
    assert.deepEqual(order.slice(0, 36), Array(36).fill("attacker 503"));
    assert.deepEqual(order.slice(36), [
      "attacker 200",
      "victim 200",
      "attacker 200",
      "attacker 200",
      "attacker 200",
    ]);
  });

  test("connections whose peers have ended take turns as one, however many they are", async () => {
    await using fixture = await Fixture.start({ ...ONE_AT_A_TIME, maxWaiting: 64 });
    await fixture.setCredentials();
    const place = await occupy(fixture);
    const { order, ask } = recordOrder(fixture);
    const asked = Array.from({ length: 40 }, () => ask("gone", { hasEnded: true }));
    await until(() => order.length === 36);
    asked.push(ask("victim", { hasEnded: false }));
    await until(() => fixture.admission.inside === 6);
    place[Symbol.dispose]();
    await Promise.all(asked);
    assert.deepEqual(order.slice(0, 36), Array(36).fill("gone 503"));
    assert.deepEqual(order.slice(36), ["gone 200", "victim 200", "gone 200", "gone 200", "gone 200"]);
  });

  test("a request that is turned away does not count in the rate; one that gives up does", async () => {
    await using fixture = await Fixture.start({ ...ONE_AT_A_TIME, maxWaiting: 1 });
    await fixture.setCredentials();
    using _place = await occupy(fixture);
    const giveUp = new AbortController();
    const env = { cid: TENANT, gone: giveUp.signal };
    const waiting = fixture.app.request(ATTESTATION, {}, env);
    await until(() => fixture.admission.inside === 2);
    assert.equal(fixture.rate.counts.get(`Caller:${TENANT}`), 1);
    assert.equal((await fixture.call(ATTESTATION)).status, 503);
    assert.equal(fixture.rate.counts.get(`Caller:${TENANT}`), 1);
    giveUp.abort(new Error("gone"));
    await waiting;
    assert.deepEqual([fixture.admission.inside, fixture.rate.counts.get(`Caller:${TENANT}`)], [1, 1]);
  });

  test("a policy that is replaced during the wait is asked again, and its no counts", async () => {
    const first = new RecordingPolicy();
    const policy = new PolicyHolder(first);
    await using fixture = await Fixture.start({ ...ONE_AT_A_TIME, maxWaiting: 32, policy });
    await fixture.setCredentials();
    const place = await occupy(fixture);
    const waiting = [fixture.call("/v1/decrypt", fixture.decryptBody), fixture.call(ATTESTATION)];
    await until(() => fixture.admission.inside === 3);
    const before = fixture.simulator.kms.requestCount;
    policy.replace((): Policy => denyAll);
    place[Symbol.dispose]();
    for (const answer of await Promise.all(waiting)) {
      assert.deepEqual([answer.status, await codeOf(answer)], [403, "ERR_POLICY_DENIED"]);
    }
    assert.equal(first.asked.length, 2);
    assert.equal(fixture.simulator.kms.requestCount, before);
    assert.deepEqual([fixture.admission.inside, fixture.rate.counts.get(`Caller:${TENANT}`)], [0, 0]);
  });

  test("a policy that stays is asked once, about the bytes that KMS gets", async () => {
    const policy = new RecordingPolicy();
    await using fixture = await Fixture.start({ ...ONE_AT_A_TIME, policy });
    await fixture.setCredentials();
    const place = await occupy(fixture);
    const waiting = fixture.call("/v1/decrypt", fixture.decryptBody);
    await until(() => policy.asked.length === 1);
    place[Symbol.dispose]();
    assert.equal((await waiting).status, 200);
    const [asked, ...again] = policy.asked;
    assert.deepEqual(again, []);
    assert.deepEqual(asked?.context.encryptionContext, fixture.decryptBody["encryptionContext"]);
    assert.equal(asked?.context.ciphertextSha256, fixture.lastLine["ciphertextSha256"]);
  });

  test("a caller that has gone already is not judged", async () => {
    const policy = new RecordingPolicy();
    await using fixture = await Fixture.start({ ...ONE_AT_A_TIME, policy });
    const env = { cid: TENANT, gone: AbortSignal.abort(new Error("gone")) };
    await fixture.app.request(ATTESTATION, {}, env);
    assert.deepEqual([policy.asked.length, fixture.admission.inside], [0, 0]);
  });
});
