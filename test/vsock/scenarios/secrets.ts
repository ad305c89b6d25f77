/**
 * Secrets over AF_VSOCK, with the defaults of an enclave: credentials on 7100, an age identity on 7101 and a secret on
 * 7102, by the parent's sender and by socat, KMS through the proxy on the parent, and `/dev/nsm`.
 *
 * A guest's connections to itself come from CID 1, and the ports take the parent's only. So the enclave runs from a copy of
 * the sources in which the parent is CID 1, and once from the sources as they are, which must take nothing: a CID other than
 * 3 is refused. That CID 3 is heard cannot be had here: whatever goes over the loopback comes from CID 1.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ageSecret, kmsSecret, type SecretDeclaration } from "../../../enclave/mod.ts";
import { OwnedCredentials } from "../../../lib/aws/credentials.ts";
import { encodeHex } from "../../../lib/core/encoding.ts";
import { createFetch } from "../../../lib/transport/create_fetch.ts";
import { expectedPcr16 } from "../../../lib/wire/secret_measurement.ts";
import { parseSecretReceipt, type SecretReceipt } from "../../../lib/wire/secret_receipt.ts";
import { parseSignedSecret } from "../../../lib/wire/signed_secret.ts";
import { sendCredentials, sendSecret } from "../../../parent/send_secret.ts";
import { attestedKeyPolicy } from "../../../sim/mod.ts";
import {
  codeOf,
  CONTEXT,
  encryptWithAge,
  makeAgePair,
  makePublisher,
  SECRET,
  sha256,
  signSecret,
} from "../../enclave/secrets/secrets_lab.ts";
import { startEnclave } from "../../support/engines.ts";
import { check } from "../check.ts";
import { GUEST_CID, LOOPBACK_CID } from "../guest_addresses.ts";
import { startKmsProxy } from "../kms_proxy.ts";
import { ServerProcess } from "../server_process.ts";

/** The guest is emulated, and compiles the sources first. */
const PATIENCE_MS = 150_000;
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** All that the program imports, but for packages. */
const SOURCES = [
  "package.json",
  "deno.json",
  "mod.ts",
  "lib",
  "ffi",
  "enclave",
  "test/vsock/secrets_program.ts",
];
const PARENT = /(?<=const PARENT_CID = )3;/;

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-secrets-"));
await using enclave = await startEnclave();
const { simulator } = enclave;
const key = await simulator.createKey({ policy: attestedKeyPolicy({ 0: simulator.nsm.pcr(0) }) });
const [publisher, pair] = [makePublisher(), await makeAgePair()];
const identity = signSecret("age-key", 4, await sealIdentity(), publisher);
const shares = signSecret("key-shares", 9, await encryptWithAge(SECRET, pair.recipient), publisher);
const environment = writeImage();
await using _proxy = await startKmsProxy(simulator.endpoint);
const to = { enclaveCid: GUEST_CID, timeoutMs: PATIENCE_MS };
const fetch = createFetch({ transport: "vsock", cid: GUEST_CID, port: 8080 });

await check("whoever is not the parent is heard on none of its ports", async () => {
  await using _server = await ServerProcess.start(environment, [], copyWithParent(GUEST_CID), PATIENCE_MS);
  for (const port of [7100, 7101, 7102]) {
    await assert.rejects(sendSecret({ ...to, port, content: identity }), {
      code: /ERR_CONNECTION|ERR_PROTOCOL/,
    });
  }
  await assert.rejects(shutDown(), { code: "ERR_CONNECTION" });
  assert.equal((await fetch("http://enclave/readyz")).status, 503, "it listens for others");
});

await using server = await ServerProcess.start(environment, [], copyWithParent(LOOPBACK_CID), PATIENCE_MS);

await check("it answers while it waits, and says what is missing", async () => {
  const answer = await fetch("http://enclave/readyz");
  const ready = await answer.json() as Record<string, boolean>;
  assert.deepEqual([answer.status, ready["secret:age-key"], ready["secret:key-shares"]], [503, false, false]);
});

await check("the parent's sender brings credentials, and socat the identity, after an old one", async () => {
  using credentials = OwnedCredentials.copyOf(simulator.credentials);
  assert.equal((await sendCredentials({ ...to, credentials })).name, "credentials");
  const old = signSecret("age-key", 1, parseSignedSecret(identity)!.sealed, publisher);
  assert.equal(codeOf(await socat(7101, old)), "VERSION");
  assert.equal(codeOf(await socat(7101, identity)), "taken");
});

await check("the secret comes raw or in a frame, and is handed over once", async () => {
  const cut = shares.subarray(0, -1);
  const swapped = { ...to, port: 7102, content: identity, framed: false };
  await assert.rejects(sendSecret(swapped), { enclaveCode: "ERR_SECRET_NAME" });
  assert.equal(codeOf(await socat(7102, cut)), "FRAME");
  assert.equal(
    (await sendSecret({ ...to, port: 7102, name: "key-shares", content: shares })).name,
    "key-shares",
  );
  // The receipt comes first: the module records it afterwards, which takes a while in a guest.
  await server.untilLogged("secrets are recorded", 0, PATIENCE_MS);
  const { sha256: hash } = await (await fetch("http://enclave/v1/hash")).json() as { sha256: string };
  assert.equal(hash, encodeHex(sha256(SECRET)));
  assert.equal(codeOf(await socat(7102, shares)), "TAKEN");
});

await check("the module's PCR16 tells what it took, and 7100 stays open", async () => {
  const statements = [identity, shares].map((sent) => parseSignedSecret(sent)!.statement);
  const expected = encodeHex(await expectedPcr16(statements));
  const info = await (await fetch("http://enclave/v1/info")).json() as { pcrs: Record<string, string> };
  assert.equal(info.pcrs["16"], expected);
  using credentials = OwnedCredentials.copyOf(simulator.rotateCredentials());
  assert.equal((await sendCredentials({ ...to, credentials })).ok, true);
  assert.equal((await fetch("http://enclave/readyz")).status, 200);
  assert.ok(!server.output.includes(pair.identity), "its log has no identity");
});

await check("the control port is the parent's", async () => {
  assert.equal(await shutDown(), 202);
  assert.equal(await server.exitCode(), 0, server.output);
});

rmSync(folder, { recursive: true });

/** Tells the enclave to end, and returns the status of its answer. */
async function shutDown(): Promise<number> {
  const ask = createFetch({ transport: "vsock", cid: GUEST_CID, port: 7099 });
  const headers = { "content-type": "application/json" };
  const answer = await ask("http://enclave/v1/shutdown", { method: "POST", headers, body: "{}" });
  await answer.body?.cancel();
  return answer.status;
}

function sealIdentity(): Promise<Uint8Array> {
  const plaintext = `# by the operator\n${pair.identity}\n`;
  return simulator.encrypt({ keyId: key.keyId, plaintext, encryptionContext: CONTEXT });
}

/** Writes what an image has, and names it in its environment. */
function writeImage(): Record<string, string> {
  const trusted = join(folder, "ca.pem");
  writeFileSync(trusted, simulator.trustedCertificates);
  const pins = { publisher: publisher.pem, minVersion: 4 };
  const { recipient } = pair;
  const secrets: readonly SecretDeclaration[] = [
    { name: "age-key", from: kmsSecret({ keyArn: key.arn, encryptionContext: CONTEXT }), ...pins },
    { name: "key-shares", from: ageSecret({ identity: "age-key", recipient }), ...pins },
  ];
  return {
    ENV_SETUP: "NITRO",
    ENCLAVE_KMS_REGION: simulator.region,
    ENCLAVE_KMS_ENGINE: "direct",
    ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE: trusted,
    ENCLAVE_KMS_POLICY_FILE: join(ROOT, "examples/policies/attest.cedar"),
    ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "30000",
    ENCLAVE_KMS_SECRETS_WINDOW_MS: "600000",
    TEST_SECRETS: JSON.stringify(secrets),
  };
}

/** Copies the sources, with another CID for the parent. */
function copyWithParent(cid: number): string {
  const copy = join(folder, `copy-${cid}`);
  mkdirSync(join(copy, "test/vsock"), { recursive: true });
  for (const name of SOURCES) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  const endpoint = join(copy, "lib/core/endpoint.ts");
  const source = readFileSync(endpoint, "utf8");
  assert.match(source, PARENT);
  writeFileSync(endpoint, source.replace(PARENT, `${cid};`));
  return join(copy, "test/vsock/secrets_program.ts");
}

/** Sends with socat, as a script on a parent does. */
async function socat(port: number, content: Uint8Array): Promise<SecretReceipt> {
  assert.equal(spawnSync("socat", ["-V"]).status, 0, "socat is not installed");
  const child = spawn("socat", ["-t", "60", "-", `VSOCK-CONNECT:${GUEST_CID}:${port}`], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(content);
  const chunks: Uint8Array[] = [];
  for await (const chunk of child.stdout as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return parseSecretReceipt(Uint8Array.from(chunks.flatMap((chunk) => [...chunk])));
}
