/**
 * The bundled server, as it runs in an enclave: HTTP and kmstool on vsock, KMS behind CID 3, port 8000, and
 * /dev/nsm answered by the software NSM. All callers come over vsock_loopback, so they are CID 1.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Transform } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { listen } from "../../../lib/transport/listen.ts";
import { ConnectionError } from "../../../mod.ts";
import { verifyAttestation } from "../../../lib/attestation/mod.ts";
import { attestedKeyPolicy, type TcpEndpoint } from "../../../sim/mod.ts";
import { startEnclave } from "../../support/engines.ts";
import { check } from "../check.ts";
import { LOOPBACK_CID, PARENT } from "../guest_addresses.ts";
import { askHttp, connectToServer, type HttpAnswer, KmstoolClient } from "../server_client.ts";
import { ServerProcess } from "../server_process.ts";

const HTTP_PORT = 8080;
const KMSTOOL_PORT = 3000;
const MAX_CONCURRENT = 4;
const MAX_WAITING = 4;
const ROOM = MAX_CONCURRENT + MAX_WAITING;
const BURST = 16;

/** Time limit for an event that must come on a busy machine too, in milliseconds. */
const PATIENCE_MS = 30_000;

/** Lines of the server's output that are shown when a check has failed. */
const OUTPUT_TAIL = 20;

const PLAINTEXT = "attack at dawn";
const PLAINTEXT_BASE64 = Buffer.from(PLAINTEXT).toString("base64");
const encryptionContext = { tenant: "a" };

const DECRYPTS_OWN = `permit(principal == Caller::"${LOOPBACK_CID}", action == Action::"Decrypt", resource)
when {
  principal has tenant && context.encryptionContext.hasTag("tenant") &&
  context.encryptionContext.getTag("tenant") == principal.tenant
};
permit(principal, action == Action::"GetAttestation", resource);`;
const POLICY = `${DECRYPTS_OWN}
permit(principal == Caller::"${LOOPBACK_CID}", action in [Action::"SetCredentials", Action::"SetOwnCredentials"], resource);`;

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-server-"));
const policyFile = join(folder, "policy.cedar");
await using enclave = await startEnclave();
const { simulator } = enclave;
const { credentials } = simulator;
const { keyId } = await simulator.createKey({ policy: attestedKeyPolicy({ 0: simulator.nsm.pcr(0) }) });
const encrypted = await simulator.encrypt({ keyId, plaintext: PLAINTEXT, encryptionContext });
const ciphertext = Buffer.from(encrypted).toString("base64");
const body = { ciphertext, encryptionContext, keyId };

const setClient = {
  Operation: "SetClient",
  AwsAccessKeyId: credentials.accessKeyId,
  AwsSecretAccessKey: credentials.secretAccessKey,
  AwsSessionToken: credentials.sessionToken,
};
const kmstoolDecrypt = {
  Operation: "Decrypt",
  Ciphertext: ciphertext,
  EncryptionContext: encryptionContext,
};

/** Answers of KMS pass the proxy after this. */
let released = Promise.resolve();
let proxy = await startProxy();
const started = performance.now();
await using server = await ServerProcess.start(settings());
console.log(`     the server listens after ${(performance.now() - started).toFixed(0)} ms`);

await check("seeds the kernel from /dev/nsm before anything else", () => {
  const lines = server.output.split("\n").filter((line) => line.startsWith("{")).map((line) =>
    JSON.parse(line)
  );
  // What is said of the settings makes no key.
  const [{ entropy }] = lines.filter(({ level }) => level !== "warn");
  assert.deepEqual([entropy.outcome, entropy.byteLength, entropy.reseeded], ["credited", 512, true]);
  return Promise.resolve(`rng_current: ${entropy.source ?? "none"}`);
});

await check("listens on vsock, with an NSM and a policy, and asks for credentials", async () => {
  assertProblem(await decrypt(), 503, "ERR_CREDENTIALS");
  const { status, body } = await get("/readyz");
  assert.equal(status, 503);
  assert.deepEqual(JSON.parse(body), {
    library: true,
    nsm: true,
    credentials: false,
    policy: true,
    warnings: [
      "answers is any: whoever is on the parent reads the plaintexts that are answered in the clear",
      "kmstool answers in the clear: whoever is on the parent reads the plaintexts",
    ],
  });
});

await check("takes credentials, and decrypts with an encryption context", async () => {
  assert.equal((await post("/v1/credentials", credentials)).status, 204);
  assertPlaintext(await decrypt());
  assert.equal((await get("/readyz")).status, 200);
});

await check("answers who ends its own direction after its request", async () => {
  const stream = await connectToServer(HTTP_PORT);
  const text = JSON.stringify(body);
  stream.end(
    `POST /v1/decrypt HTTP/1.1\r\nhost: enclave\r\ncontent-type: application/json\r\n` +
      `content-length: ${text.length}\r\n\r\n${text}`,
  );
  let answer = "";
  for await (const chunk of stream) answer += new TextDecoder().decode(chunk as Uint8Array);
  assert.match(answer, /^(?:HTTP\/1\.1 102 Processing\r\n\r\n)*HTTP\/1\.1 200 /);
  assert.ok(answer.includes(PLAINTEXT_BASE64));
});

await check("attests with the caller's nonce", async () => {
  const nonce = crypto.getRandomValues(new Uint8Array(32));
  const encoded = encodeURIComponent(Buffer.from(nonce).toString("base64"));
  const { status, body } = await get(`/v1/attestation?nonce=${encoded}`);
  assert.equal(status, 200, body);
  const expected = { nonce, pcrs: { 0: simulator.nsm.pcr(0) }, root: simulator.nsm.root };
  await verifyAttestation(new Uint8Array(Buffer.from(JSON.parse(body).document, "base64")), expected);
});

await check("speaks kmstool on its own port, with credentials of the connection's own", async () => {
  using client = await KmstoolClient.connect(KMSTOOL_PORT);
  assert.deepEqual(await client.ask(kmstoolDecrypt), failed("Client not initialized"));
  assert.deepEqual(await client.ask(setClient), { Status: "Ok" });
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(await client.ask(kmstoolDecrypt), { Status: "Ok", Message: PLAINTEXT_BASE64 });
  }
});

await check("refuses what the policy does not permit, before KMS hears of it", async () => {
  const heard = simulator.kms.requests.length;
  const foreign = { tenant: "b" };
  assertProblem(
    await post("/v1/decrypt", { ...body, encryptionContext: foreign }),
    403,
    "ERR_POLICY_DENIED",
  );
  using client = await KmstoolClient.connect(KMSTOOL_PORT);
  assert.deepEqual(await client.ask(setClient), { Status: "Ok" });
  const refused = await client.ask({ ...kmstoolDecrypt, EncryptionContext: foreign });
  assert.deepEqual(refused, failed("Could not decrypt ciphertext"));
  assert.deepEqual(await client.ask(kmstoolDecrypt), { Status: "Ok", Message: PLAINTEXT_BASE64 });
  assert.equal(simulator.kms.requests.length, heard + 1);
});

await check("a policy replaced at SIGHUP is in force: no more credentials from this CID", async () => {
  await replacePolicy(DECRYPTS_OWN);
  assertProblem(await post("/v1/credentials", credentials), 403, "ERR_POLICY_DENIED");
  using client = await KmstoolClient.connect(KMSTOOL_PORT);
  assert.deepEqual(await client.ask(setClient), failed("Could not create new client"));
  assertPlaintext(await decrypt());
  await replacePolicy(POLICY);
});

await check(`${BURST} requests at once, of which ${ROOM} have room`, async () => {
  const release = holdAnswers();
  const answers: HttpAnswer[] = [];
  const burst = Promise.all(Array.from({ length: BURST }, async () => answers.push(await decrypt())));
  await Promise.race([burst, until("the others are refused", () => answers.length === BURST - ROOM)]);
  release();
  await burst;
  for (const answer of answers.slice(0, BURST - ROOM)) {
    assertProblem(answer, 503, "ERR_OVERLOADED");
    assert.equal(answer.headers["retry-after"], "1");
  }
  for (const answer of answers.slice(BURST - ROOM)) assertPlaintext(answer);
  assertPlaintext(await decrypt());
});

await check("waits while the proxy to KMS restarts, and goes on when it is back", async () => {
  using client = await KmstoolClient.connect(KMSTOOL_PORT);
  assert.deepEqual(await client.ask(setClient), { Status: "Ok" });
  await proxy[Symbol.asyncDispose]();
  const answers = Promise.all([decrypt(), client.ask(kmstoolDecrypt)]);
  assert.equal((await get("/healthz")).status, 200);
  proxy = await startProxy();
  const [http, kmstool] = await answers;
  assertPlaintext(http);
  assert.deepEqual(kmstool, { Status: "Ok", Message: PLAINTEXT_BASE64 });
});

await check("SIGTERM under load: what runs is finished, and nobody else is let in", async () => {
  using client = await KmstoolClient.connect(KMSTOOL_PORT);
  assert.deepEqual(await client.ask(setClient), { Status: "Ok" });
  const idle = (await connectToServer(HTTP_PORT)).resume();
  const idleEnded = new Promise((resolve) => idle.once("close", resolve));
  const release = holdAnswers();
  const overHttp = Promise.all(Array.from({ length: ROOM - 1 }, () => decrypt()));
  const overKmstool = client.ask(kmstoolDecrypt);
  await Promise.race([overHttp, overKmstool, until("all are running", () => areRunning(ROOM))]);
  server.signal("SIGTERM");
  await server.untilLogged('"closing"');
  for (const port of [HTTP_PORT, KMSTOOL_PORT]) await until("nobody is let in", () => isClosed(port));
  await idleEnded;
  release();
  for (const answer of await overHttp) assertPlaintext(answer);
  assert.deepEqual(await overKmstool, { Status: "Ok", Message: PLAINTEXT_BASE64 });
  assert.equal(await server.exitCode(), 0);
  assert.equal(server.logged("closed").length, 1);
});

await check("its log knows every caller, and no secret", () => {
  const requests = server.logged("request");
  assert.ok(requests.length > BURST && requests.every(({ cid }) => cid === LOOPBACK_CID));
  const secrets = [
    credentials.secretAccessKey,
    credentials.sessionToken ?? "?",
    ciphertext,
    PLAINTEXT_BASE64,
  ];
  for (const secret of [...secrets, PLAINTEXT]) assert.ok(!server.output.includes(secret));
  return Promise.resolve(`${requests.length} requests`);
});

if (process.exitCode === 1) console.log(server.output.split("\n").slice(-OUTPUT_TAIL).join("\n"));
await proxy[Symbol.asyncDispose]();
rmSync(folder, { recursive: true });

/**
 * As in an enclave, but for the authority of the simulated KMS; KMS is where it always is: CID 3, port 8000.
 */
function settings(): Record<string, string> {
  const callers = { [LOOPBACK_CID]: { tenant: "a" } };
  writeFileSync(policyFile, POLICY);
  writeFileSync(join(folder, "ca.pem"), simulator.trustedCertificates);
  writeFileSync(join(folder, "config.json"), JSON.stringify({ callers, credentialSetters: "policy" }));
  return {
    ENCLAVE_KMS_CONFIG: join(folder, "config.json"),
    ENCLAVE_KMS_REGION: simulator.region,
    ENCLAVE_KMS_ENGINE: "direct",
    ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE: join(folder, "ca.pem"),
    ENCLAVE_KMS_POLICY_FILE: policyFile,
    ENCLAVE_KMS_MAX_CONCURRENT: String(MAX_CONCURRENT),
    ENCLAVE_KMS_MAX_WAITING: String(MAX_WAITING),
    // The guest is emulated, perhaps on a busy machine.
    ENCLAVE_KMS_REQUEST_TIMEOUT_MS: String(PATIENCE_MS),
  };
}

function decrypt(): Promise<HttpAnswer> {
  return post("/v1/decrypt", body);
}

function post(path: string, body: unknown): Promise<HttpAnswer> {
  return askHttp(HTTP_PORT, path, body);
}

function get(path: string): Promise<HttpAnswer> {
  return askHttp(HTTP_PORT, path);
}

function assertPlaintext({ status, body }: HttpAnswer): void {
  assert.deepEqual([status, JSON.parse(body)], [200, { plaintext: PLAINTEXT_BASE64 }]);
}

function assertProblem({ status, headers, body }: HttpAnswer, expected: number, code: string): void {
  assert.deepEqual([status, JSON.parse(body).code], [expected, code]);
  assert.equal(headers["content-type"], "application/problem+json");
}

function failed(message: string) {
  return { Status: "Error", Message: message };
}

async function replacePolicy(text: string): Promise<void> {
  const from = server.output.length;
  writeFileSync(policyFile, text);
  server.signal("SIGHUP");
  await server.untilLogged('"the policy is replaced"', from);
}

/** Holds KMS's answers back; the returned function lets them pass. */
function holdAnswers(): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  released = promise;
  return resolve;
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const endsAt = performance.now() + PATIENCE_MS;
  while (!await isSo()) {
    assert.ok(performance.now() < endsAt, `not within ${PATIENCE_MS} ms: ${what}`);
    await sleep(20);
  }
}

async function areRunning(count: number): Promise<boolean> {
  return (await get("/metrics")).body.includes(`enclave_kms_requests_running ${count}\n`);
}

async function isClosed(port: number): Promise<boolean> {
  try {
    (await connectToServer(port)).destroy();
    return false;
  } catch (error) {
    assert.ok(error instanceof ConnectionError);
    return true;
  }
}

/** Forwards connections as vsock-proxy does on the parent. */
function startProxy() {
  const { host, port } = simulator.endpoint as TcpEndpoint;
  return listen(PARENT, {}, ({ stream }) => {
    const upstream = connect({ host, port, allowHalfOpen: true });
    upstream.on("error", () => stream.destroy());
    upstream.on("close", () => stream.destroy());
    stream.on("close", () => upstream.destroy());
    stream.pipe(upstream).pipe(whenReleased()).pipe(stream);
  });
}

function whenReleased(): Transform {
  return new Transform({
    transform: (chunk, _encoding, done) => void released.then(() => done(null, chunk)),
  });
}
