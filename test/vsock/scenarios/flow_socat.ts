/**
 * The flow as scripts do it, over real AF_VSOCK: nitro-cli (a fake one that starts a process), and socat in the place of the
 * parent's program. It brings credentials to vsock 7100, an age identity to 7101 and a secret to 7102, and carries gRPC;
 * the proxy to KMS is ours, and restarts while requests run.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { KmsProxy } from "../../../parent/kms_proxy.ts";
import { until } from "../../support/until.ts";
import { check } from "../check.ts";
import { FlowInstance, GRPC_PORT } from "../flow_instance.ts";
import { GUEST_CID } from "../guest_addresses.ts";
import { Load } from "../load.ts";

/** Time that the proxy is away, in milliseconds. */
const ABSENCE_MS = 2000;

await using instance = await FlowInstance.create();
const { world, simulator, nitro } = instance;
let proxy = await openProxy();
const run = ["run-enclave", "--enclave-name", "flow", "--enclave-cid", "16", "--cpu-count", "2"];
await nitroCli([...run, "--memory", "512", "--eif-path", nitro.eifPath]);

await check("credentials by socat, as soon as the enclave listens, and the rest after them", async () => {
  const { accessKeyId, secretAccessKey, sessionToken } = world.imds.credentials;
  const credentials = { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken };
  const json = new TextEncoder().encode(JSON.stringify(credentials));
  await until(
    async () => (await socat(7100, json)).startsWith('{"ok":true'),
    () => nitro.output.slice(-2000),
  );
  assert.match(await socat(7102, world.artefact("age-key")), /"ok":false.*"ERR_SECRET_NAME"/);
  assert.match(await socat(7101, world.artefact("age-key")), /^\{"ok":true,/);
  assert.match(await socat(7102, world.artefact("key-shares")), /^\{"ok":true,/);
});

await check("the secret is handed over, and KMS decrypts", async () => {
  await until(async () => (await instance.ask("/readyz")).status === 200, () => nitro.output.slice(-2000));
  await instance.expectSecret("hello");
  assert.equal(await instance.decrypt(), "200");
});

await check("the ports for secrets are shut, and that for credentials is not", async () => {
  assert.match(await socat(7101, world.artefact("age-key")), /"ERR_SECRET_TAKEN"/);
  assert.match(await socat(7100, new TextEncoder().encode("{}")), /"ERR_SECRET_/);
});

await check("gRPC through socat and the enclave's half of a bridge", async () => {
  const listening = [
    `TCP-LISTEN:${GRPC_PORT},bind=127.0.0.1,fork,reuseaddr`,
    `VSOCK-CONNECT:${GUEST_CID}:50051`,
  ];
  const bridge = spawn("socat", listening, { stdio: ["ignore", "inherit", "inherit"] });
  try {
    // A call to a port where nobody listens yet fails at once.
    await until(() => listens(GRPC_PORT));
    await instance.callGrpc();
    return await instance.callGrpcByPython();
  } finally {
    bridge.kill();
    await once(bridge, "exit");
  }
});

await check("the proxy to KMS restarts while requests run: they wait for it, and none fails", async () => {
  await using load = Load.start(4, () => instance.decrypt());
  await load.untilAllMade(1);
  await proxy[Symbol.asyncDispose]();
  await sleep(ABSENCE_MS);
  proxy = await openProxy();
  await load.untilAllMade(2);
  assert.deepEqual(Object.keys(load.outcomes), ["200"], JSON.stringify(load.outcomes));
  return `${load.outcomes["200"]} requests`;
});

await nitroCli(["terminate-enclave", "--enclave-id", ...nitro.ids]);
await proxy[Symbol.asyncDispose]();

function openProxy(): Promise<KmsProxy> {
  const { host, port } = simulator.endpoint as { readonly host: string; readonly port: number };
  return KmsProxy.open({ host, port, allow: [{ name: host, port }] });
}

async function nitroCli(words: readonly string[]): Promise<void> {
  const child = spawn(nitro.path, words, { stdio: ["ignore", "ignore", "inherit"] });
  assert.deepEqual(await once(child, "exit"), [0, null]);
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** Sends with socat, as a script on a parent does, and returns the answer; none when nothing listens. */
async function socat(port: number, content: Uint8Array): Promise<string> {
  const child = spawn("socat", ["-t", "60", "-", `VSOCK-CONNECT:${GUEST_CID}:${port}`], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  child.stdin.on("error", () => {});
  child.stdin.end(content);
  let answer = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => answer += text);
  await once(child, "close");
  return answer;
}
