/**
 * Runs inside the booted enclave, beside the application: looks at it from there, and prints one line of JSON with what it
 * saw. It judges nothing; the host does, which knows what was built.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { decode } from "cbor2";
import type { BootAttestationAnswer } from "../../lib/attestation/boot_attestation.ts";
import { digestBootKeys } from "../../lib/attestation/boot_key_digest.ts";
import { decodeAttestationDocument } from "../../lib/attestation/document.ts";
import { readEnclaveSignature, signedBytes } from "../../lib/attestation/signature_message.ts";
import { equalBytes, fromBase64, toHex } from "../../lib/core/bytes.ts";
import { NsmClient } from "../../lib/nsm/nsm_client.ts";
import { HARDWARE_SOURCE_PATH, seedKernelEntropy } from "../../lib/nsm/seed_kernel_entropy.ts";
import { createFetch } from "../../lib/transport/create_fetch.ts";
import { type EnclaveReport, HEALTHY_MARK, REPORT_MARK, type ReportedDocument } from "./enclave_report.ts";

const PORT = 8080;
/** Address of the enclave's own listeners: what it says to itself never reaches the parent. */
const OWN_CID = 1;
/** The host ends the emulator sooner. */
const HEALTH_TIMEOUT_MS = 600_000;

const NONCE = "00010203fffefdfc";
const PCRS = [0, 1, 2, 3, 4, 8, 15, 16];

const ask = createFetch({ cid: OWN_CID, port: PORT });
const url = (path: string) => `http://enclave${path}`;

await untilHealthy();
console.log(`\n${HEALTHY_MARK}`);
using nsm = NsmClient.open();
const { moduleId, lockedPcrs } = await nsm.describeNsm();
const pcrs: Record<string, string> = {};
for (const index of PCRS) pcrs[index] = toHex((await nsm.describePcr(index)).value);
const report: EnclaveReport = {
  moduleId,
  lockedPcrs,
  pcrs,
  ready: await readiness(),
  ...await seed(),
  ...await attestAndSign(),
  extended: await extend(),
  memoryLeftMib: Math.floor(Number(/MemAvailable: +(\d+)/.exec(readText("/proc/meminfo"))?.[1]) / 1024),
};
console.log(`\n${REPORT_MARK}${JSON.stringify(report)}`);

/** Waits for the first answer. */
async function untilHealthy(): Promise<void> {
  for (const endsAt = performance.now() + HEALTH_TIMEOUT_MS;;) {
    const status = await ask(url("/healthz")).then((answer) => answer.status, () => undefined);
    if (status === 200) return;
    if (performance.now() > endsAt) throw new Error("The application does not answer");
    await delay(100);
  }
}

async function readiness(): Promise<EnclaveReport["ready"]> {
  const answer = await ask(url("/readyz"));
  return { status: answer.status, body: await answer.json() as Record<string, unknown> };
}

/** Seeds the kernel as it is, and then without the module as the kernel's own source. */
async function seed(): Promise<Pick<EnclaveReport, "hardwareSource" | "entropy">> {
  const hardwareSource = readText(HARDWARE_SOURCE_PATH).trim();
  const drawing = await seedKernelEntropy(nsm);
  writeFileSync(HARDWARE_SOURCE_PATH, "none\n");
  const alone = await seedKernelEntropy(nsm);
  const available = Number(readText("/proc/sys/kernel/random/entropy_avail"));
  return { hardwareSource, entropy: { drawing, alone, available } };
}

/** Asks for a document of this boot's keys, and for an order that is signed by one of them. */
async function attestAndSign(): Promise<Pick<EnclaveReport, "attestation" | "order">> {
  const answer = await ask(url(`/v1/attestation?encoding=hex&nonce=${NONCE}`));
  if (answer.status !== 200) throw new Error(`No document: ${answer.status} ${await answer.text()}`);
  const { document, bootId, keys: encoded } = await answer.json() as BootAttestationAnswer;
  const keys = Object.fromEntries(
    Object.entries(encoded).map(([name, key]) => [name, fromBase64(key) ?? new Uint8Array()]),
  );
  return {
    attestation: readDocument(fromBase64(document) ?? new Uint8Array(), await digestBootKeys(bootId, keys)),
    order: await signOrder(keys["sign"]),
  };
}

/** Reads a document as loosely as cbor2 does. */
function readDocument(bytes: Uint8Array, userData: Uint8Array): ReportedDocument {
  const [, , payload] = decode<[Uint8Array, unknown, Uint8Array]>(bytes);
  const fields = new Map(Object.entries(decode<Record<string, unknown>>(payload)));
  const found = fields.get("pcrs");
  const entries = found instanceof Map ? [...found] : Object.entries(found as object);
  return {
    refusal: codeOf(() => decodeAttestationDocument(bytes)),
    pcrs: Object.fromEntries(entries.map(([index, value]) => [String(index), toHex(value as Uint8Array)])),
    hasNonce: toHex(fields.get("nonce") as Uint8Array) === NONCE,
    hasKeys: equalBytes(fields.get("user_data") as Uint8Array, userData),
  };
}

async function signOrder(key: Uint8Array<ArrayBuffer> | undefined): Promise<EnclaveReport["order"]> {
  const answer = await ask(url("/v1/orders/sign"), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ item: "book", count: 2 }),
  });
  if (answer.status !== 200 || key === undefined) return { status: answer.status, isSigned: false };
  const { signature } = await answer.json() as { signature: string };
  const message = readEnclaveSignature(fromBase64(signature) ?? new Uint8Array());
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("spki", key, algorithm, false, ["verify"]);
  const isSigned = await crypto.subtle.verify(
    algorithm,
    imported,
    Uint8Array.from(message.signature),
    signedBytes(message),
  );
  return { status: answer.status, isSigned };
}

async function extend(): Promise<EnclaveReport["extended"]> {
  const data = new TextEncoder().encode("boot");
  const before = toHex((await nsm.describePcr(16)).value);
  const after = toHex(await nsm.extendPcr(16, data));
  await nsm.lockPcr(16);
  const { value, locked } = await nsm.describePcr(16);
  const refusal = await nsm.extendPcr(16, data).then(() => undefined, ({ nsmCode }) => nsmCode);
  const { pcrs } = readDocument(await nsm.attest({ nonce: new Uint8Array(1), userData: data }), data);
  return { before, after, described: toHex(value), locked, refusal, inDocument: pcrs["16"] };
}

function codeOf(act: () => unknown): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code;
  }
}

function readText(path: string): string {
  return readFileSync(path, "utf8");
}
