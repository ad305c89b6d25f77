/**
 * A process that makes key pairs of OpenSSL and opens with them, on a thread that ends in the middle of it. Prints what became of it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createCipheriv } from "node:crypto";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, Worker as NodeWorker, workerData } from "node:worker_threads";
import { openLibcrypto } from "../../lib/native/libcrypto.ts";
import { OpensslRecipientKey } from "../../lib/kms/recipient/openssl_recipient_key.ts";
import type { Envelope } from "../../lib/kms/recipient/read_envelope.ts";
import { EnclaveKmsError, KmsClient } from "../../mod.ts";
import { startSimulator } from "../../sim/mod.ts";
import type { KeyPairTask, KeyPairWork } from "./key_pair_task.ts";
import { encryptNumber, padOaep } from "./oaep.ts";

const CODE = 7;
const AT_ONCE = 8;
/** Milliseconds in which C begins: every thread has something in C then, whenever it ends. */
const PAUSE_MS = 10;
const PATIENCE_MS = 60_000;

/** Web worker, or the other side of one, as far as it is used here. */
interface WebWorker {
  onmessage: (() => void) | null;
  postMessage(message: string): void;
  terminate(): void;
}

const web = globalThis as unknown as Omit<WebWorker, "terminate"> & {
  readonly Deno: { exit(code: number): never };
  readonly Worker: new (url: URL, options: { type: "module" }) => WebWorker;
  close(): void;
};

const WORKS: Readonly<Record<KeyPairWork, (times: number) => Promise<void>>> = {
  "key pairs": makeKeyPairs,
  openings: openMuch,
  async "key pairs and openings"(times) {
    await Promise.all([makeKeyPairs(times), openMuch(times)]);
  },
  clients: closeClients,
};

const libcrypto = openLibcrypto()!;
const given: string | null = workerData ?? new URL(import.meta.url).searchParams.get("task");
const task = JSON.parse(given ?? process.argv[2] ?? "") as KeyPairTask;

if (given !== null || task.thread === "program") await workAndEnd();
else if (task.thread === "worker") await superviseWorker();
else await superviseWebWorker();

async function workAndEnd(): Promise<void> {
  const { thread, end } = task;
  if (end === "done") {
    await WORKS[task.work](1);
    await tell("done");
    if (thread === "web worker") web.close();
    return;
  }
  void WORKS[task.work](Infinity);
  await sleep(PAUSE_MS);
  await tell("ends");
  // C goes on, and nothing that it has done comes back any more.
  const until = performance.now() + PAUSE_MS;
  while (performance.now() < until) continue;
  if (end === "process.exit") process.exit(CODE);
  if (end === "Deno.exit") web.Deno.exit(CODE);
  if (end === "uncaught error") {
    setTimeout(() => {
      throw new RangeError("nobody catches this");
    });
  }
}

/** Tells the program, and waits until it knows: what a thread sends as it ends may be lost. */
async function tell(message: string): Promise<void> {
  switch (task.thread) {
    case "program":
      return console.log(message);
    case "worker": {
      const known = new Promise((resolve) => parentPort!.once("message", resolve));
      parentPort!.postMessage(message);
      await known;
      return;
    }
    case "web worker":
      await new Promise<void>((resolve) => {
        web.onmessage = () => resolve();
        web.postMessage(message);
      });
  }
}

async function superviseWorker(): Promise<void> {
  const worker = new NodeWorker(new URL(import.meta.url), { workerData: JSON.stringify(task) });
  const ended = new Promise<number>((resolve) => worker.on("exit", resolve));
  let thrown: string | undefined;
  worker.on("error", (error) => thrown = error.message);
  console.log(await new Promise((resolve) => worker.once("message", resolve)));
  await sleep(PAUSE_MS);
  if (task.end === "process.exit of the program") process.exit(CODE);
  if (task.end === "terminate") await worker.terminate();
  else worker.postMessage("known");
  const code = await ended;
  if (thrown !== undefined) console.log(`error: ${thrown}`);
  await WORKS["key pairs and openings"](1);
  console.log(`works after ${task.end === "terminate" ? "it" : code}`);
}

/** A web worker takes its task from the query of its address, and does not tell when it ends. */
async function superviseWebWorker(): Promise<void> {
  const address = new URL(`?task=${encodeURIComponent(JSON.stringify(task))}`, import.meta.url);
  const worker = new web.Worker(address, { type: "module" });
  await new Promise<void>((resolve) => worker.onmessage = () => resolve());
  console.log("ends");
  await sleep(PAUSE_MS);
  if (task.end === "process.exit of the program") process.exit(CODE);
  if (task.end === "terminate") worker.terminate();
  else worker.postMessage("known");
  await WORKS["key pairs and openings"](3);
  worker.terminate();
  console.log("works after it");
}

async function makeKeyPairs(times: number): Promise<void> {
  for (let time = 0; time < times; time++) {
    using _key = await OpensslRecipientKey.create(libcrypto);
  }
}

async function openMuch(times: number): Promise<void> {
  using key = await OpensslRecipientKey.create(libcrypto);
  const parts = sealFor(key.publicKey);
  for (let time = 0; time < times; time++) {
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      using secret = await key.openElsewhere(parts);
      expectHello(secret.bytes);
    }));
  }
}

function sealFor(publicKey: Uint8Array): Envelope {
  const [contentKey, iv] = [new Uint8Array(32), new Uint8Array(16)];
  const cipher = createCipheriv("aes-256-cbc", contentKey, iv);
  const ciphertext = new Uint8Array(Buffer.concat([cipher.update("hello"), cipher.final()]));
  return { wrappedKey: encryptNumber(publicKey, padOaep(contentKey)), iv, ciphertext };
}

/** Gives up while the key pair is made, and closes a client while it decrypts. */
async function closeClients(times: number): Promise<void> {
  await using enclave = await startSimulator();
  const options = { ...enclave.clientOptions, engine: "direct", timeoutMs: PATIENCE_MS } as const;
  const { keyId } = await enclave.createKey();
  const ciphertext = await enclave.encrypt({ keyId, plaintext: "hello" });
  for (let time = 0; time < times; time++) {
    const hasty = KmsClient.open({ ...options, timeoutMs: 1 });
    await settle(hasty.then((client) => client.close()));
    const client = await KmsClient.open(options);
    if (client.crypto.provider !== "openssl") throw new Error(client.crypto.reason);
    const decrypt = async () => {
      using secret = await client.decrypt({ ciphertext, keyId });
      expectHello(secret.bytes);
    };
    const outcomes = Array.from({ length: AT_ONCE }, () => settle(decrypt()));
    await Promise.race(outcomes);
    await client.close();
    await Promise.all(outcomes);
  }
}

/** Waits for a call, which may fail with an error of ours. */
async function settle(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof EnclaveKmsError)) throw error;
  }
}

function expectHello(bytes: Uint8Array): void {
  if (new TextDecoder().decode(bytes) !== "hello") throw new Error("Opened to something else");
}
