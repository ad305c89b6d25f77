/**
 * The way from an instance's role to a secret in an enclave, told step by step: `enclave-kms parent` runs as a process of
 * its own, and the enclave as another one. sim/flow/flow.ts runs it on both runtimes.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { verifyAttestation } from "../../lib/attestation/verify.ts";
import { decodeBase64, encodeBase64 } from "../../lib/core/encoding.ts";
import { stopParent } from "../../parent/runner/stop_parent.ts";
import { print } from "../print.ts";
import { FlowWorld, RUN_FILE } from "./world.ts";

const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** Line of the parent's log. */
interface LogLine {
  readonly event: string;
  readonly [field: string]: unknown;
}

await using world = await FlowWorld.start();
const lines: LogLine[] = [];
let step = 1;

await say(
  "An operator makes an age identity and encrypts it with KMS, whose key lets only this PCR0 decrypt;",
);
await more("encrypts a secret to its recipient by age; signs both; and puts them into S3, sealed.");
await say(`PCR16 of an enclave that takes these two, and no others, will be ${short(world.expectedPcr16)}.`);

const config = join(world.folder, "parent.json");
await writeFile(config, JSON.stringify(world.settings, undefined, 2));
const parent = await startParent();
await say(`The parent starts: enclave-kms parent --config parent.json (process ${parent.pid}).`);
await seen(({ event, stage }) => event === "stage" && stage === "credentials");
await more("It asks the instance's metadata service, by version 2, for the credentials of its role.");
await seen(({ stage }) => stage === "artefacts");
await more("It reads both artefacts from S3, which are sealed: it cannot open them.");
const service = await seen(({ event }) => event === "service");
await more(`It opens the proxy to KMS on ${service["address"]}, here as unix sockets.`);
const launched = await seen(({ event }) => event === "launched");
await say(`It launches the enclave, here ${idOf(launched)} in place of nitro-cli.`);
await seen(({ event }) => event === "credentials");
await more("It pushes credentials to port 7100, and from now on ahead of their expiration.");
for (const name of ["age-key", "key-shares"]) {
  const { port, bytes } = await seen((line) => line.event === "secret" && line["name"] === name);
  await more(
    `It sends ${name} to port ${port}: ${bytes} bytes, sealed. The enclave answers that it took it.`,
  );
}
const ready = await seen(({ event }) => event === "ready");
await say(
  `After ${ready["afterMs"]} ms the enclave is ready. Inside, KMS opened the identity, and age the secret.`,
);

await attest();
await useSecret();
await rotate();
await die();
await stop();

async function startParent(): Promise<ChildProcess> {
  const [program = "", ...args] = [...RUN_FILE, MAIN, "parent", "--config", config];
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...world.environment },
  });
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(JSON.parse(line) as LogLine));
  child.once("exit", () => lines.push({ event: "exit" }));
  await once(child, "spawn");
  return child;
}

/** Waits for a line of the log, among those that were not seen yet. */
async function seen(isIt: (line: LogLine) => boolean): Promise<LogLine> {
  for (;;) {
    const place = lines.findIndex(isIt);
    if (place >= 0) return lines.splice(0, place + 1)[place] as LogLine;
    if (lines.some(({ event }) => event === "exit")) {
      throw new Error(`The parent ended: ${JSON.stringify(lines)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function attest(): Promise<void> {
  const nonce = crypto.getRandomValues(new Uint8Array(32));
  const query = new URLSearchParams({ nonce: encodeBase64(nonce) });
  const answer = await ask(`/v1/attestation?${query}`) as { readonly document: string };
  const { nsm } = world.simulator;
  const pcrs = { 0: nsm.pcr(0), 16: world.expectedPcr16 };
  await verifyAttestation(decodeBase64(answer.document), { root: nsm.root, nonce, pcrs });
  await say("A verifier asks for its attestation: PCR0 is the image's, and PCR16 the one that was computed.");
  await more("So this enclave took those two secrets, in those versions, whatever its parent did.");
}

async function useSecret(): Promise<void> {
  const { mac } = await ask("/v1/mac/hello") as { readonly mac: string };
  if (mac !== world.mac("hello")) throw new Error("The application has another secret");
  await say(
    `The application authenticates "hello" with the secret: ${mac.slice(0, 16)}…, as the operator would.`,
  );
}

async function rotate(): Promise<void> {
  const before = world.imds.credentials;
  world.imds.rotate();
  world.simulator.kms.expireCredentials(before);
  let refusals = 0;
  while (!await decrypts()) {
    refusals++;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await say("AWS rotates the role's credentials, and lets the old ones expire at once, which it never does.");
  await more(
    `KMS refuses ${refusals} requests; the enclave says so, the parent pushes, and KMS decrypts again.`,
  );
}

async function die(): Promise<void> {
  process.kill(Number(idOf(launched).replace(/\D/g, "")), "SIGKILL");
  const end = await seen(({ event }) => event === "enclave-ended");
  await say(`The enclave dies: ${(end["end"] as { readonly reason: string }).reason}.`);
  const again = await seen(({ event }) => event === "ready");
  await more(
    `The parent launches it again, injects all again, and it is ready after ${again["afterMs"]} ms.`,
  );
  const { mac } = await ask("/v1/mac/hello") as { readonly mac: string };
  if (mac !== world.mac("hello")) throw new Error("The application has another secret");
}

async function stop(): Promise<void> {
  await stopParent({ stateFolder: world.folder });
  if (parent.exitCode === null) await once(parent, "exit");
  if (parent.exitCode !== 0) throw new Error(`The parent ended with ${parent.exitCode}`);
  await say(
    "enclave-kms stop: the enclave finishes what runs, wipes its secrets, and ends; then the parent does.",
  );
}

async function ask(path: string): Promise<unknown> {
  return await (await fetch(`http://127.0.0.1:${world.enclavePort}${path}`)).json();
}

async function decrypts(): Promise<boolean> {
  const path = `/v1/decrypt/${encodeURIComponent(world.ciphertext)}`;
  const { length } = await ask(path) as { readonly length?: number };
  return length !== undefined;
}

function idOf({ enclave }: LogLine): string {
  return (enclave as { readonly id: string }).id;
}

async function say(text: string): Promise<void> {
  await print(`  ${String(step++).padStart(2)}.  ${text}`);
}

async function more(text: string): Promise<void> {
  await print(`       ${text}`);
}

function short(hex: string): string {
  return `${hex.slice(0, 16)}…`;
}
