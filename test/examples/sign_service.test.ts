import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, test } from "#test";
import { type BootAttestationAnswer, verifyEnclaveSignature } from "../../lib/attestation/mod.ts";
import { decodeBase64, encodeBase64 } from "../../lib/core/encoding.ts";
import { SimulatedEnvironment, type Simulator, startSimulator } from "../../sim/mod.ts";
import { EnclaveProcess } from "../support/enclave_process.ts";

const PROGRAM = "examples/sign-service/main.ts";
const POLICY = fileURLToPath(new URL("../../examples/sign-service/policy.cedar", import.meta.url));

describe("examples/sign-service", () => {
  let simulator: Simulator;
  let environment: SimulatedEnvironment;
  beforeAll(async () => {
    simulator = await startSimulator();
    environment = await SimulatedEnvironment.create(simulator);
  });
  afterAll(async () => {
    await environment[Symbol.asyncDispose]();
    await simulator.close();
  });

  const start = (variables: Readonly<Record<string, string>> = {}) =>
    EnclaveProcess.start(PROGRAM, {
      ...environment.variables,
      ENCLAVE_PORT: "0",
      ENCLAVE_KMS_POLICY_FILE: POLICY,
      ...variables,
    });

  const post = (url: string, body: unknown) =>
    fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });

  test("signs in a process, for a caller who verifies, and ends at SIGTERM", async () => {
    await using service = await start();
    const answer = await post(`${service.url}/v1/orders/sign`, { item: "book", count: 2 });
    assert.equal(answer.status, 200);
    const { order, signature } = await answer.json() as { order: string; signature: string };
    assert.deepEqual(JSON.parse(order), { item: "book", count: 2 });

    const nonce = crypto.getRandomValues(new Uint8Array(32));
    const query = encodeURIComponent(encodeBase64(nonce));
    const attested = await fetch(`${service.url}/v1/attestation?nonce=${query}`);
    const document = await attested.json() as BootAttestationAnswer;
    const expected = { document, nonce, pcrs: { 0: simulator.nsm.pcr(0) }, root: simulator.nsm.root };
    const bytes = new TextEncoder().encode(order);
    const options = { ...expected, purpose: "order", maxAgeMs: 60_000 };
    const verified = await verifyEnclaveSignature(decodeBase64(signature), bytes, options);
    assert.equal(verified.bootId, document.bootId);
    await assert.rejects(
      verifyEnclaveSignature(decodeBase64(signature), bytes, { ...options, purpose: "offer" }),
      { code: "ERR_ATTESTATION_PURPOSE" },
    );

    assert.deepEqual(await service.signal("SIGTERM"), [0, null]);
    assert.equal(service.lines.at(-1)?.["msg"], "closed");
    assert.ok(
      service.lines.some(({ msg }) => msg === "this is a simulation: no hardware vouches for anything"),
    );
  });

  test("takes credentials from its parent, and ends when that says so", async () => {
    await using service = await start();
    const unready = await fetch(`${service.url}/readyz`);
    const { credentials } = await unready.json() as { credentials: boolean };
    await environment.pushCredentials(simulator.credentials);
    const ready = await fetch(`${service.url}/readyz`);
    assert.deepEqual([credentials, ready.status], [false, 200]);
    await environment.shutDown();
    assert.deepEqual(await service.ended, [0, null]);
  });

  test("signs nothing without a policy", async () => {
    await using service = await start({ ENCLAVE_KMS_POLICY_FILE: "" });
    const answer = await post(`${service.url}/v1/orders/sign`, { item: "book", count: 2 });
    const { code } = await answer.json() as { code: string };
    assert.deepEqual([answer.status, code], [403, "ERR_POLICY_DENIED"]);
    assert.deepEqual(await service.signal("SIGINT"), [0, null]);
  });
});
