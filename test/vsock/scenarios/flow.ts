/**
 * The whole flow over real AF_VSOCK: `enclave-kms parent` gets an instance's credentials by IMDSv2, reads sealed artefacts
 * from S3, runs the proxy to KMS and a bridge for gRPC, launches the enclave by nitro-cli (a fake one that starts a
 * process), injects on vsock 7100 to 7102, and looks after it: credentials rotate while requests run, and each part
 * restarts in turn.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { verifyAttestation } from "../../../lib/attestation/verify.ts";
import { decodeBase64, encodeBase64 } from "../../../lib/core/encoding.ts";
import { until } from "../../support/until.ts";
import { check } from "../check.ts";
import { FlowInstance } from "../flow_instance.ts";
import { Load } from "../load.ts";

/**
 * Lifetime of the first credentials: the parent asks for others when half of what is left has passed. By then the enclave
 * serves, on a busy machine too; otherwise the next ones, which last for hours, have come before the load does.
 */
const FIRST_LIFETIME_MS = 180_000;

/** Time that a part is away, in milliseconds. */
const ABSENCE_MS = 2000;

await using instance = await FlowInstance.create();
const { world, simulator, nitro, s3 } = instance;
world.imds.rotate({ lifetimeMs: FIRST_LIFETIME_MS });
let parent = await instance.startParent();

await check("from the instance's role to a secret in the enclave", async () => {
  const ready = await parent.nextReady();
  await instance.expectSecret("hello");
  const services = parent.events.filter(({ event }) => event === "service").map(({ address }) => address);
  assert.deepEqual(services, ["vsock:5000,8000", "tcp:127.0.0.1:50051"]);
  assert.ok(nitro.calls.some((call) => call.startsWith("run-enclave --enclave-name flow ")));
  return `ready after ${ready["afterMs"]} ms`;
});

await check("PCR16 of its attestation records what it took", async () => {
  const nonce = crypto.getRandomValues(new Uint8Array(32));
  const query = new URLSearchParams({ nonce: encodeBase64(nonce) });
  const { body } = await instance.ask(`/v1/attestation?${query}`);
  const { nsm } = simulator;
  const pcrs = { 0: nsm.pcr(0), 16: world.expectedPcr16 };
  await verifyAttestation(decodeBase64(String(body["document"])), { root: nsm.root, nonce, pcrs });
});

await check("gRPC through the parent's half of a bridge and the enclave's", async () => {
  await instance.callGrpc();
  return await instance.callGrpcByPython();
});

await check("credentials rotate while requests run, and none fails", async () => {
  const from = parent.events.length;
  await using load = startLoad();
  const before = world.imds.credentials;
  world.imds.rotate();
  await parent.logged(({ event, reason }) => event === "credentials" && reason === "expiring", from);
  // Those that were signed before the push are answered, and from then on AWS would refuse the old ones.
  await load.untilAllMade(1);
  simulator.kms.expireCredentials(before);
  await load.untilAllMade(3);
  return onlyGood(load);
});

await check("KMS restarts while requests run: they wait for it, and none fails", async () => {
  await using load = startLoad();
  await load.untilAllMade(1);
  await simulator.kms.injectFault({ kind: "refuse" });
  await sleep(ABSENCE_MS);
  await simulator.kms.clearFaults();
  await load.untilAllMade(2);
  return onlyGood(load);
});

await check("the metadata service and S3 go away while requests run, and none fails", async () => {
  await using load = startLoad();
  await load.untilAllMade(1);
  await world.imds.close();
  await s3.stop();
  await load.untilAllMade(2);
  return onlyGood(load);
});

await check("the enclave dies meanwhile: launched again, with what the parent had last", async () => {
  process.kill(nitro.pid, "SIGKILL");
  const ready = await parent.nextReady();
  await instance.expectSecret("again");
  await until(async () => await instance.decrypt() === "200");
  const notice = ({ event, message }: { event?: unknown; message?: unknown }) =>
    event === "notice" && String(message).startsWith("the artefacts cannot be read");
  assert.ok(parent.events.some(notice));
  return `ready after ${ready["afterMs"]} ms`;
});

await check(
  "the metadata service comes back, and is asked when KMS refuses the old credentials",
  async () => {
    await s3.start();
    await world.imds.listen();
    const before = world.imds.credentials;
    world.imds.rotate();
    simulator.kms.expireCredentials(before);
    let refused = 0;
    await until(async () => {
      const outcome = await instance.decrypt();
      if (outcome !== "200") refused++;
      return outcome === "200";
    });
    return `${refused} requests were refused meanwhile`;
  },
);

await check("the parent is killed: the enclave runs on, and the next parent replaces it", async () => {
  await parent.end("SIGKILL");
  await instance.expectSecret("alone");
  const [ids, objects] = [nitro.ids, world.s3.requests.length];
  parent = await instance.startParent();
  await parent.nextReady();
  assert.notDeepEqual(nitro.ids, ids);
  const asked = world.s3.requests.slice(objects).map(({ key }) => key);
  assert.deepEqual(new Set(asked), new Set(["age-key", "key-shares"]));
  await instance.expectSecret("hello");
  await until(async () => await instance.decrypt() === "200");
  await instance.callGrpc();
});

await check("SIGTERM drains the enclave, and ends it and its parent", async () => {
  assert.equal(await parent.end("SIGTERM"), 0, JSON.stringify(parent.events.slice(-5)));
  assert.deepEqual(nitro.ids, []);
  const end = parent.events.find(({ event }) => event === "enclave-ended")?.["end"];
  return JSON.stringify(end);
});

await parent[Symbol.asyncDispose]();

function startLoad(): Load {
  return Load.start(4, () => instance.decrypt());
}

function onlyGood(load: Load): string {
  assert.deepEqual(Object.keys(load.outcomes), ["200"], JSON.stringify(load.outcomes));
  return `${load.outcomes["200"]} requests`;
}
