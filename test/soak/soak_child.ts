/**
 * The process under test: one client, many calls, and measurements between them. KMS is in another process,
 * so that what it holds does not count. Takes the path of a {@link SoakTask}, prints a {@link Footprint} a
 * line.
 *
 * @module
 */
import { openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setImmediate } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import process from "node:process";
import { Buffer } from "node:buffer";
import { KmsClient, KmsError, SdkKmsDecryptError } from "../../mod.ts";
import { doublePath, SdkDouble } from "../support/sdk_double.ts";
import { MemoryProbe } from "./memory_probe.ts";
import type { Control, Footprint, Outcomes, Sabotage, SoakRequest, SoakTask } from "./soak_task.ts";

/** Stated lifetime of credentials, in milliseconds: they are replaced many times in a run. */
const CREDENTIALS_MS = 5000;

/** Error of an abandoned call. */
const ABANDONED = new Error("the caller gave up");

const task = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as SoakTask;
const requests = task.requests.map(({ ciphertext, plaintext, ...request }) => ({
  ...request,
  ciphertext: Buffer.from(ciphertext, "base64"),
  plaintext: plaintext === undefined ? undefined : Buffer.from(plaintext, "base64"),
}));
const probe = new MemoryProbe(task.probe);
const double = task.options.library !== undefined && task.options.library === doublePath
  ? new SdkDouble(doublePath)
  : undefined;
const NONE: Outcomes = { decrypted: 0, refused: 0, abandoned: 0, wrong: 0 };

let outcomes: { -readonly [Name in keyof Outcomes]: Outcomes[Name] } = { ...NONE };
const kept: number[][] = [];
let calls = 0;
let credentialsGiven = 0;

await using client = await KmsClient.open({ ...task.options, credentials: nextCredentials });
await run(task.warmUp);
await measure(task.warmUp, task.calls);
if (task.control !== undefined) await measureControl(task.control);

/** Makes so many calls between measurements. */
async function measure(before: number, times: number, wrong?: Sabotage): Promise<void> {
  await report(before);
  for (let sample = 1; sample <= task.samples; sample++) {
    await run(before + Math.round(times * sample / task.samples), wrong);
    await report(before);
  }
}

/** Counts everything anew. */
async function measureControl({ calls: times, sabotage }: Control): Promise<void> {
  calls = 0;
  outcomes = { ...NONE };
  await measure(0, times, sabotage);
}

/** Makes calls until there were so many, some of them at once. */
async function run(end: number, wrong?: Sabotage): Promise<void> {
  const lane = async () => {
    while (calls < end) await callOnce(calls++, wrong);
  };
  await Promise.all(Array.from({ length: task.concurrency }, lane));
}

async function callOnce(index: number, wrong: Sabotage | undefined): Promise<void> {
  const request = requests[index % requests.length]!;
  const isAbandoned = task.abandonEvery > 0 && index % task.abandonEvery === 0;
  const { plaintext, kmsCode, ...decrypt } = request;
  if (wrong !== undefined) sabotage(wrong);
  try {
    using secret = await start(decrypt, isAbandoned);
    const expected = wrong?.crossedCall === index ? requests.at(index - 1)!.plaintext : plaintext;
    if (expected !== undefined && expected.equals(secret.bytes)) outcomes.decrypted++;
    else note(index, `${secret.length} bytes that are not the plaintext`);
  } catch (error) {
    if (isAbandoned && error === ABANDONED) outcomes.abandoned++;
    else if (kmsCode !== undefined && isRefusal(error, kmsCode)) outcomes.refused++;
    else note(index, String(error));
  }
}

function start(request: Omit<SoakRequest, "ciphertext"> & { ciphertext: Uint8Array }, isAbandoned: boolean) {
  if (!isAbandoned) return client.decrypt(request);
  const controller = new AbortController();
  const promise = client.decrypt({ ...request, signal: controller.signal });
  setImmediate(() => controller.abort(ABANDONED));
  return promise;
}

/** Tells whether an error is KMS's refusal. The C client does not give the reason. */
function isRefusal(error: unknown, kmsCode: string): boolean {
  if (client.engine === "sdk-client") return error instanceof SdkKmsDecryptError;
  return error instanceof KmsError && error.kmsCode === kmsCode;
}

function note(index: number, what: string): void {
  outcomes.wrong++;
  outcomes.firstWrong ??= `call ${index}: ${what}`;
}

function nextCredentials() {
  const { accessKeyId, secretAccessKey, sessionToken } = task
    .credentials[credentialsGiven++ % task.credentials.length]!;
  return { accessKeyId, secretAccessKey, sessionToken, expiration: Date.now() + CREDENTIALS_MS };
}

function sabotage({ nativeBytes, heapBytes, descriptorEvery }: Sabotage): void {
  probe.leak(nativeBytes);
  kept.push(new Array(heapBytes >> 3).fill(0));
  if (calls % descriptorEvery === 0) openSync("/dev/null", "r");
}

/** @param before Calls that are not counted */
async function report(before: number): Promise<void> {
  await settle();
  const heapBytes = process.memoryUsage().heapUsed;
  const nativeBytes = probe.nativeBytes();
  const descriptors = readdirSync("/proc/self/fd").map(describeDescriptor);
  const sockets = descriptors.filter((target) => target.startsWith("socket:")).length;
  const resident = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  const footprint: Footprint = {
    calls: calls - before,
    heapBytes,
    nativeBytes,
    residentBytes: Number(resident) * 1024,
    threads: readdirSync("/proc/self/task").length,
    sockets,
    files: descriptors.length - sockets,
    outcomes,
  };
  console.log(JSON.stringify(footprint));
}

/** Collects garbage: some of it needs two rounds, with finalizers between. */
async function settle(): Promise<void> {
  // Its journal grows with every call.
  double?.reset();
  for (let round = 0; round < 3; round++) {
    (globalThis as { gc?: () => void }).gc?.();
    await sleep(20);
  }
}

function describeDescriptor(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    // The one that listed the others is closed by now.
    return "";
  }
}
