import assert from "node:assert/strict";
import { decode } from "cbor2";
import { describe, test } from "#test";
import { nsmQueueOf } from "../../lib/nsm/nsm_queue.ts";
import { CallerGoneError } from "../../enclave/service_errors.ts";
import { Fixture, TENANT, until } from "../server/fixture.ts";

/** As many as the server lets wait, and the one that is asked. */
const AT_THE_NSM = 17;

describe("GET /v1/attestation of many callers", () => {
  test("is 503 with Retry-After beyond 16 that wait, and decrypts go on meanwhile", async () => {
    await using fixture = await Fixture.start({ maxConcurrent: 20, timeoutMs: 30_000 });
    const { nsm } = fixture.simulator;
    assert.equal((await fixture.setCredentials()).status, 204);
    assert.equal((await fixture.call("/v1/decrypt", fixture.decryptBody)).status, 200);
    const before = nsm.requestCount;
    nsm.injectFault({ kind: "silent" }, { times: 1 });
    const callers = Array.from({ length: AT_THE_NSM }, () => new AbortController());
    const asking = callers.map(({ signal }) => ask(fixture, signal));
    await until(() => nsmQueueOf(nsm).waiting === AT_THE_NSM - 1);

    const refused = await fixture.call("/v1/attestation?nonce=AQID");
    assert.deepEqual([refused.status, refused.headers.get("retry-after")], [503, "1"]);
    assert.equal((await refused.json() as { code: string }).code, "ERR_ATTESTATION_BUSY");
    const metrics = await (await fixture.call("/metrics")).text();
    assert.match(metrics, /\{protocol="http",operation="GetAttestation",outcome="busy"\} 1$/m);
    assert.equal((await fixture.call("/v1/decrypt", fixture.decryptBody)).status, 200);

    for (const caller of callers) caller.abort(new CallerGoneError());
    const answers = await Promise.all(asking);
    assert.deepEqual(answers.map(({ status }) => status), callers.map(() => 499));
    assert.equal(nsmQueueOf(nsm).waiting, 0, "who left asks nothing any more");
    assert.equal(nsm.requestCount, before + 1, "nor did the module hear of it");
    assert.equal(fixture.admission.inside, 0);
  });

  test("has a place for one that waits of each connection", async () => {
    await using fixture = await Fixture.start({ timeoutMs: 30_000 });
    const { nsm } = fixture.simulator;
    nsm.injectFault({ kind: "latency", ms: 200 }, { times: 1 });
    const connection = {};
    const of = (connection: object) =>
      fixture.app.request("/v1/attestation?nonce=AQID", {}, { cid: TENANT, connection });
    const greedy = Array.from({ length: 5 }, () => of(connection));
    await until(() => nsmQueueOf(nsm).waiting === 1);
    const other = of({});
    const statuses = (await Promise.all(greedy)).map(({ status }) => status);
    assert.deepEqual(statuses, [200, 200, 503, 503, 503]);
    assert.equal((await other).status, 200);
  });

  test("lets the document that a decrypt needs come first, though others wait", async () => {
    await using fixture = await Fixture.start({ timeoutMs: 30_000 });
    const { nsm } = fixture.simulator;
    assert.equal((await fixture.setCredentials()).status, 204);
    const asked: string[] = [];
    const { exchange } = nsm;
    const held = Promise.withResolvers<void>();
    nsm.exchange = async (request) => {
      asked.push(isOfDecrypt(request) ? "a decrypt" : "a caller");
      // Nothing is answered before all have asked.
      await held.promise;
      return await exchange.call(nsm, request);
    };
    const asking = Array.from({ length: 10 }, () => ask(fixture));
    await until(() => nsmQueueOf(nsm).waiting === 9);
    const decrypting = fixture.call("/v1/decrypt", fixture.decryptBody);
    await until(() => asked.length === 2);
    assert.deepEqual(asked, ["a caller", "a decrypt"]);
    held.resolve();
    const answers = await Promise.all([...asking, decrypting]);
    assert.deepEqual(answers.map(({ status }) => status), answers.map(() => 200));
    assert.equal(asked.length, 11);
  });
});

/** Tells whether a decrypt asks for a document: only a client puts a public key in it. */
function isOfDecrypt(request: Uint8Array): boolean {
  const { Attestation: asked } = decode<{ Attestation: { public_key: Uint8Array | null } }>(request);
  return asked.public_key !== null;
}

/** Asks as a caller on a connection of its own. */
async function ask(fixture: Fixture, gone?: AbortSignal): Promise<Response> {
  const caller = { cid: TENANT, connection: {}, ...(gone === undefined ? {} : { gone }) };
  return await fixture.app.request("/v1/attestation?nonce=AQID", {}, caller);
}
