import assert from "node:assert/strict";
import { describe, test } from "#test";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { sealedFetch } from "../../lib/channel/mod.ts";
import { createFetch } from "../../lib/transport/mod.ts";
import { readConfig } from "../../server/config.ts";
import { startServer } from "../../server/server.ts";
import { startSimulator } from "../../sim/mod.ts";
import { policyFile } from "../support/policy_file.ts";
import { Fixture, PLAINTEXT, TENANT } from "./fixture.ts";

/** Routes whose answers have secrets. */
const SECRET_ROUTES = [
  "/v1/decrypt",
  "/v1/generate-data-key",
  "/v1/generate-data-key-pair",
  "/v1/generate-random",
  "/v1/derive-shared-secret",
];

describe("answers: sealed", () => {
  test("a plaintext is answered over channels that the parent cannot read, and over no other", async () => {
    await using fixture = await Fixture.start({ answers: "sealed" });
    await fixture.setCredentials();
    const body = JSON.stringify(fixture.decryptBody);
    const init = { method: "POST", headers: { "content-type": "application/json" }, body };
    const clear = await fixture.call("/v1/decrypt", fixture.decryptBody);
    assert.deepEqual([clear.status, (await clear.json() as { code: string }).code], [403, "ERR_CHANNEL"]);
    assert.equal(fixture.simulator.kms.requests.length, 0, "KMS is not asked");
    const tls = await fixture.app.request("/v1/decrypt", init, { cid: TENANT, channel: "tls" });
    assert.equal(tls.status, 200);
    const sealed = sealedCaller(fixture);
    const answer = await sealed("/v1/decrypt", init);
    assert.deepEqual(await answer.json(), { plaintext: btoa(PLAINTEXT) });
    assert.deepEqual([fixture.lastLine["operation"], fixture.lastLine["outcome"]], ["Decrypt", "ok"]);
  });

  test("that goes for every route with a secret in its answer, before its body is read, and for no other", async () => {
    await using fixture = await Fixture.start({ answers: "sealed" });
    const status = async (path: string) => (await fixture.call(path, "{")).status;
    for (const path of SECRET_ROUTES) assert.equal(await status(path), 403, path);
    for (const path of ["/v1/encrypt", "/v1/generate-mac"]) assert.equal(await status(path), 400, path);
    await using open = await Fixture.start();
    for (const path of SECRET_ROUTES) assert.equal((await open.call(path, "{")).status, 400, path);
  });

  test("is refused while sealed HTTP is off", () => {
    const base = { ENCLAVE_KMS_REGION: "us-east-1", ENCLAVE_KMS_ANSWERS: "sealed" };
    assert.equal(readConfig(base).answers, "sealed");
    assert.throws(() => readConfig({ ...base, ENCLAVE_KMS_SEALED: "off" }), /answers: must not be sealed/);
  });
});

describe("the decrypt server", () => {
  for (const [answers, warnings] of [["any", 1], ["sealed", 0]] as const) {
    test(`says in the log and in /readyz what clear answers mean, when answers is ${answers}`, async () => {
      await using simulator = await startSimulator();
      using policy = policyFile(`permit(principal, action == Action::"GetAttestation", resource);`);
      const lines: Record<string, unknown>[] = [];
      const logger = createLogger("warn", (line) => lines.push(JSON.parse(line)));
      const { nsm, trustedCertificates } = simulator;
      const config = readConfig({
        ENCLAVE_KMS_REGION: "us-east-1",
        ENCLAVE_KMS_ENGINE: "direct",
        ENCLAVE_KMS_HTTP: "tcp:127.0.0.1:0",
        ENCLAVE_KMS_KMSTOOL: "off",
        ENCLAVE_KMS_CONTROL: "off",
        ENCLAVE_KMS_ANSWERS: answers,
        ENCLAVE_KMS_POLICY_FILE: policy.path,
      });
      await using server = await startServer(config, { nsm, trustedCertificates, logger });
      assert.ok(server.httpEndpoint);
      const ready = await createFetch(server.httpEndpoint)("http://enclave/readyz");
      const said = (await ready.json() as { warnings?: readonly string[] }).warnings ?? [];
      assert.equal(said.length, warnings);
      const logged = lines.filter(({ msg }) => /in the clear/.test(String(msg)));
      assert.deepEqual(logged.map(({ msg }) => msg), said);
      if (warnings > 0) assert.match(said[0] ?? "", /whoever is on the parent reads the plaintexts/);
      const sealed = sealedFetch("http://enclave/", {
        pcrs: { 0: simulator.nsm.pcr(0) },
        root: simulator.nsm.root,
        fetch: createFetch(server.httpEndpoint),
      });
      assert.deepEqual(await (await sealed("/healthz")).json(), { status: "ok" });
      assert.equal((await sealed("/v1/decrypt", { method: "POST" })).status, 415);
    });
  }

  test("the kmstool protocol stays as it is, with that sentence", async () => {
    await using simulator = await startSimulator();
    const lines: string[] = [];
    const { nsm, trustedCertificates } = simulator;
    const config = readConfig({
      ENCLAVE_KMS_REGION: "us-east-1",
      ENCLAVE_KMS_ENGINE: "direct",
      ENCLAVE_KMS_HTTP: "off",
      ENCLAVE_KMS_CONTROL: "off",
      ENCLAVE_KMS_KMSTOOL: "tcp:127.0.0.1:0",
    });
    const logger = createLogger("warn", (line) => lines.push(line));
    await using _server = await startServer(config, { nsm, trustedCertificates, logger });
    assert.equal(lines.filter((line) => line.includes("kmstool answers in the clear")).length, 1);
  });
});

function sealedCaller(fixture: Fixture) {
  const { app, simulator } = fixture;
  return sealedFetch("http://enclave/", {
    pcrs: { 0: simulator.nsm.pcr(0) },
    root: simulator.nsm.root,
    fetch: async (input, init) => {
      const request = new Request(input, init);
      if (request.method === "POST") return await app.fetch(request, { cid: TENANT });
      // The fixture's channel has its key beside the document.
      const answer = await (await app.fetch(request, { cid: TENANT })).json() as object;
      return Response.json({ ...answer, sealing: btoa(String.fromCharCode(...fixture.sealed.keyConfig)) });
    },
  });
}
