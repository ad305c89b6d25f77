/** A connector to an application of startEnclave(): readiness and attestation. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "#test";
import { enclaveApp, startEnclave } from "../../../enclave/mod.ts";
import type { TcpEndpoint } from "../../../lib/core/endpoint.ts";
import { serve, type ServeHandler } from "../../../lib/transport/mod.ts";
import { type NotReadyError, SimulationConnector } from "../../../parent/mod.ts";
import { startSimulator } from "../../../sim/mod.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-connector-"));
afterAll(() => rmSync(folder, { recursive: true }));

const policy = (name: string, text: string) => {
  const path = join(folder, `${name}.cedar`);
  writeFileSync(path, text);
  return path;
};
const ATTESTS = policy("attests", 'permit(principal, action == Action::"GetAttestation", resource);');
const DENIES = policy("denies", 'forbid(principal, action == Action::"GetAttestation", resource);');

const SETTINGS = { ENV_SETUP: "SIM", ENCLAVE_PORT: "0", CONTROL_PORT: "0", ENCLAVE_KMS_LOG_LEVEL: "silent" };

async function openWorld(policyFile: string, needs: readonly ("kms" | "policy")[] = []) {
  const simulator = await startSimulator();
  const environment = { ...SETTINGS, ENCLAVE_KMS_POLICY_FILE: policyFile };
  const enclave = await startEnclave(enclaveApp(), { name: "app", nsm: simulator.nsm, environment, needs });
  const connector = connectTo(enclave.endpoint as TcpEndpoint);
  return {
    simulator,
    connector,
    async [Symbol.asyncDispose]() {
      await connector[Symbol.asyncDispose]();
      await enclave[Symbol.asyncDispose]();
      await simulator[Symbol.asyncDispose]();
    },
  };
}

const connectTo = ({ port }: TcpEndpoint) => new SimulationConnector({ port, reconnectMs: 0 });

const start = (handler: ServeHandler) =>
  serve(handler, { endpoint: { transport: "tcp", host: "127.0.0.1", port: 0 } });

async function notReady(connector: SimulationConnector, maxRetries = 1): Promise<NotReadyError> {
  try {
    await connector.waitForEnclave({ maxRetries, intervalMs: 1 });
  } catch (error) {
    const failure = error as NotReadyError;
    assert.equal(failure.code, "ERR_NOT_READY", String(error));
    return failure;
  }
  throw new Error("It was ready");
}

describe("waitForEnclave()", () => {
  test("resolves once all is there", async () => {
    await using world = await openWorld(ATTESTS);
    await world.connector.waitForEnclave({ maxRetries: 0 });
  });

  test("names what is missing", async () => {
    await using world = await openWorld(ATTESTS, ["kms", "policy"]);
    const error = await notReady(world.connector);
    assert.deepEqual(error.missing, ["credentials"]);
    assert.match(error.message, /not ready after 2 question\(s\): missing: credentials$/);
    assert.match(error.hint, /^Does the parent push credentials/);
  });

  test("waits through absence, failure and nonsense, and says what came last", async () => {
    let asked = 0;
    const answers = [
      () => Response.json({ nsm: false }, { status: 503 }),
      () => new Response("no JSON", { status: 503 }),
      () => Response.json([], { status: 503 }),
      () => new Response(null, { status: 404 }),
      () => Response.json({ nsm: true }),
    ];
    await using server = await start(() => (answers[asked++] as () => Response)());
    const connector = connectTo(server.endpoint as TcpEndpoint);
    await using _ = connector;
    for (const pattern of [/missing: nsm$/, /ERR_PROTOCOL.*no JSON$/, /it answers 503$/, /it answers 404$/]) {
      const error = await notReady(connector, 0);
      assert.match(error.message, pattern);
    }
    await connector.waitForEnclave({ maxRetries: 0 });
    await server.close();
    assert.match((await notReady(connector)).message, /ERR_CONNECTION, Cannot connect to the enclave/);
  });

  test("does not repeat what is no name of a part, and at most 16 of them", async () => {
    const parts = {
      "\x1b[31m": false,
      A: false,
      ...Object.fromEntries(Array.from({ length: 99 }, (_, i) => [`p${i}`, false])),
    };
    await using server = await start(() => Response.json(parts, { status: 503 }));
    await using connector = connectTo(server.endpoint as TcpEndpoint);
    const { missing } = await notReady(connector, 0);
    assert.deepEqual([missing.length, missing[0]], [16, "p0"]);
  });

  test("ends by its signal, within a pause, too; and by close()", async () => {
    await using server = await start(() => new Response(null, { status: 503 }));
    const connector = connectTo(server.endpoint as TcpEndpoint);
    const reason = new Error("enough");
    const caller = new AbortController();
    const waiting = connector.waitForEnclave({ intervalMs: 600_000, signal: caller.signal });
    setTimeout(() => caller.abort(reason), 20);
    await assert.rejects(waiting, (error) => error === reason);
    await connector.close();
    await assert.rejects(connector.waitForEnclave(), { code: "ERR_DISPOSED" });
    await assert.rejects(connector.waitForEnclave({ retries: 1 } as object), /no field `retries`/);
    await assert.rejects(connector.waitForEnclave({ maxRetries: -1 }), /^RangeError: maxRetries/);
  });
});

describe("getAttestation()", () => {
  test("verifies the document with PCRs and nonce", async () => {
    await using world = await openWorld(ATTESTS);
    const { nsm } = world.simulator;
    const nonce = new Uint8Array([1, 2, 3]);
    const verify = { pcrs: { 0: nsm.pcr(0) }, root: nsm.root };
    const attestation = await world.connector.getAttestation({ nonce, verify });
    assert.ok(attestation.isChecked);
    assert.deepEqual([...attestation.nonce], [1, 2, 3]);
    assert.deepEqual([...(attestation.boot.document.nonce ?? [])], [1, 2, 3]);
    const other = { ...verify, pcrs: { 0: new Uint8Array(48).fill(7) } };
    await assert.rejects(world.connector.getAttestation({ verify: other }), { code: "ERR_ATTESTATION_PCR" });
    const trust = { pcrs: verify.pcrs };
    await assert.rejects(world.connector.getAttestation({ verify: trust }), { code: "ERR_ATTESTATION_ROOT" });
  });

  test("says that nothing was checked without expectations", async () => {
    await using world = await openWorld(ATTESTS);
    const attestation = await world.connector.getAttestation();
    assert.ok(!attestation.isChecked);
    assert.match(attestation.warning, /^Nothing was checked/);
    assert.equal(attestation.nonce.length, 32);
    assert.ok(attestation.boot.document instanceof Uint8Array);
  });

  test("is not fooled by an answer to another nonce", async () => {
    await using world = await openWorld(ATTESTS);
    const { nsm } = world.simulator;
    const old = (await world.connector.sendRequest({ path: "/v1/attestation?nonce=AQID" })).text();
    await using replay = await start(() =>
      new Response(old, { headers: { "content-type": "application/json" } })
    );
    await using connector = connectTo(replay.endpoint as TcpEndpoint);
    const verify = { pcrs: { 0: nsm.pcr(0) }, root: nsm.root };
    await assert.rejects(connector.getAttestation({ verify }), { code: "ERR_ATTESTATION_NONCE" });
  });

  test("tells a refusal by the policy, a missing route and garbage apart", async () => {
    await using world = await openWorld(DENIES);
    await assert.rejects(world.connector.getAttestation(), {
      code: "ERR_PROTOCOL",
      message: /status 403 \(ERR_POLICY_DENIED\)$/,
      hint: /GetAttestation/,
    });
    const answers = [new Response("x", { status: 404 }), new Response("x"), Response.json({ document: 7 })];
    await using server = await start(() => answers.shift() as Response);
    await using connector = connectTo(server.endpoint as TcpEndpoint);
    await assert.rejects(connector.getAttestation(), { code: "ERR_PROTOCOL", message: /status 404$/ });
    await assert.rejects(connector.getAttestation(), { code: "ERR_PROTOCOL", message: /no JSON$/ });
    await assert.rejects(connector.getAttestation(), { code: "ERR_ATTESTATION_FIELD_MISSING" });
  });

  test("refuses expectations that expect nothing, before it asks", async () => {
    await using server = await start(() => new Response("asked"));
    await using connector = connectTo(server.endpoint as TcpEndpoint);
    const refuses = (options: object, pattern: RegExp) =>
      assert.rejects(connector.getAttestation(options), (error) => pattern.test(String(error)));
    await refuses({ verify: {} }, /^TypeError: pcrs must name a register/);
    await refuses({ verify: { pcrs: {} } }, /^TypeError|^RangeError/);
    await refuses(
      { verify: { pcrs: { 0: new Uint8Array(48) }, nonce: new Uint8Array(1) } },
      /no field `nonce`/,
    );
    await refuses({ nonce: new Uint8Array() }, /^RangeError: nonce/);
    await refuses({ nonce: "AQID" }, /^TypeError: nonce/);
    await refuses({ pcrs: {} }, /no field `pcrs`/);
    assert.equal(connector.connectionCount, 0);
  });
});
