/**
 * One decrypt, told step by step. sim/demo.ts runs it on both runtimes.
 *
 * @module
 */
import { join } from "node:path";
import process from "node:process";
import { type EngineName, KmsClient, KmsError } from "../mod.ts";
import { NsmClient } from "../lib/nsm/nsm_client.ts";
import { verifyAttestation } from "../lib/attestation/verify.ts";
import { SUPERVISED_VARIABLE } from "./instruments.ts";
import { attestedKeyPolicy, type Simulator, startSimulator } from "./mod.ts";
import { print } from "./print.ts";

const MESSAGE = "The launch code is 00000000.";
const ENCRYPTION_CONTEXT = { tenant: "a" };

const library = process.env["ENCLAVE_KMS_DEMO_LIBRARY"] || undefined;
const sockets = process.env[SUPERVISED_VARIABLE];

await using enclave = await startSimulator();
await using _device = sockets === undefined
  ? undefined
  : await enclave.nsm.listen(join(sockets, `nsm-${process.pid}.sock`));

await say("1", `An enclave starts, with PCR0 ${short(enclave.nsm.pcr(0))}: the measurement of its image.`);

const key = await enclave.createKey({ policy: attestedKeyPolicy({ 0: enclave.nsm.pcr(0) }) });
await say("2", `KMS makes a key whose policy lets only that PCR0 decrypt: …${key.arn.slice(-24)}`);

const ciphertext = await enclave.encrypt({
  keyId: key.keyId,
  plaintext: MESSAGE,
  encryptionContext: ENCRYPTION_CONTEXT,
});
await say(
  "3",
  `Somebody encrypts ${MESSAGE.length} bytes for tenant "a": a ciphertext of ${ciphertext.length} bytes.`,
);

const document = await attest(enclave);
await say("4", `The NSM attests: a COSE_Sign1 document of ${document} bytes, signed through 4 certificates.`);

const engines: EngineName[] = library === undefined ? ["direct"] : ["direct", "sdk", "sdk-client"];
for (const [index, engine] of engines.entries()) await decryptWith(engine, String(5 + index));

await showRefusal(String(5 + engines.length));

async function attest({ nsm }: Simulator): Promise<number> {
  const document = await new NsmClient(nsm).attest({ nonce: new TextEncoder().encode("demo") });
  await verifyAttestation(document, { root: nsm.root, nonce: new TextEncoder().encode("demo") });
  return document.length;
}

async function decryptWith(engine: EngineName, step: string): Promise<void> {
  if (engine === "sdk-client") {
    await print(`       ("Connected." and "Disconnected." are the C client's own words on stderr)`);
  }
  const opening = performance.now();
  await using client = await open(engine);
  const opened = performance.now();
  using plaintext = await client.decrypt({ ciphertext, encryptionContext: ENCRYPTION_CONTEXT });
  const first = performance.now();
  const text = new TextDecoder().decode(plaintext.bytes);
  using again = await client.decrypt({ ciphertext, encryptionContext: ENCRYPTION_CONTEXT });
  const second = performance.now();
  if (text !== MESSAGE || again.length !== plaintext.length) throw new Error(`${engine} decrypted wrongly`);
  await say(step, `Engine ${engine}: "${text}"`);
  await print(
    `       open ${ms(opened - opening)}, first decrypt ${ms(first - opened)}, next ${ms(second - first)}`,
  );
}

async function showRefusal(step: string): Promise<void> {
  await using client = await open("direct");
  try {
    using _plaintext = await client.decrypt({ ciphertext, encryptionContext: { tenant: "b" } });
    throw new Error("KMS decrypted for the wrong tenant");
  } catch (error) {
    if (!(error instanceof KmsError)) throw error;
    await say(step, `For tenant "b" KMS refuses: ${error.code} ${error.kmsCode}`);
    await print(`       hint: ${error.hint}`);
  }
}

function open(engine: EngineName): Promise<KmsClient> {
  const { nsm, ...options } = enclave.clientOptions;
  const choice = engine === "direct" ? {} : { library };
  return KmsClient.open({ ...options, ...choice, engine, nsm: sockets === undefined ? nsm : undefined });
}

async function say(step: string, text: string): Promise<void> {
  await print(`  ${step.padStart(2)}.  ${text}`);
}

function short(hex: string): string {
  return `${hex.slice(0, 16)}…`;
}

function ms(duration: number): string {
  return `${duration.toFixed(1)} ms`;
}
