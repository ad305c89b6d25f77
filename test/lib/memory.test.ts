import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import type { TcpEndpoint } from "../../mod.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../support/engines.ts";
import {
  askAndWait,
  countInMemory,
  disguiseBytes,
  type MemoryOperation,
  type MemoryTask,
  revealBytes,
} from "../support/memory_scan.ts";

const runtime = "Deno" in globalThis ? "Deno" : "Node";

/** The child has no simulator: it needs the device, and an engine that promises something. */
const cases = ENGINE_CASES.filter(({ label }) =>
  !label.includes("software") && !label.startsWith("sdk-client")
);

/** What to ask for. */
interface Ask {
  readonly operation: MemoryOperation;
  /** Of what is encrypted or decrypted. */
  readonly length?: number;
  readonly keep?: boolean;
  readonly encryptionContext?: Record<string, string>;
}

/** What the process said, and how often its secrets stand in its memory. */
interface Found {
  readonly outcome: string;
  /** The beginnings and ends of what was secret, and its base64. */
  readonly secrets: number;
  readonly secretKey: number;
}

/** Each operation, and what the process says of it. */
const OPERATIONS: readonly (readonly [ask: Ask, outcome: string])[] = [
  ...[32, 48, 4096].map((length) => [{ operation: "decrypt", length }, `decrypted ${length}`] as const),
  ...[32, 4096].map((length) => [{ operation: "encrypt", length }, "encrypted true"] as const),
  [{ operation: "generateDataKey" }, "made 32"],
  [{ operation: "generateDataKeyPair" }, "made 138"],
  [{ operation: "generateRandom" }, "made 1024"],
  [{ operation: "deriveSharedSecret" }, "derived 32"],
  [{ operation: "streams", length: 10_000 }, "through streams 10000"],
];

/** More than once: a copy that is left every other time is to be found. */
const ROUNDS = 3;

/** Deno's createHmac leaves a copy of its key in memory that it frees; Node's leaves none. */
const SECRET_KEY_COPIES = runtime === "Deno" ? 1 : 0;

/** Deno copies a request's headers and body into one buffer, and frees it as it is. */
const isRequestLeft = (operation: MemoryOperation) => operation === "encrypt" && runtime === "Deno";

/** Deno's hkdfSync copies its key, which is a message's own data key, and frees the copies as they are. */
const isDataKeyLeft = (operation: MemoryOperation) => operation === "streams" && runtime === "Deno";

const CONTEXT = { tenant: "a" };

for (const engineCase of cases) {
  describe.skipIf(engineCase.skip)(`memory after use, engine ${engineCase.label}`, () => suite(engineCase));
}

function suite(engineCase: EngineCase): void {
  let enclave: Enclave;
  let keyId: string;
  let agreementKeyId: string;
  let publicKey: string;

  beforeAll(async () => {
    enclave = await startEnclave();
    keyId = (await enclave.simulator.createKey()).arn;
    const agreement = await enclave.simulator.createKey({ spec: "ECC_NIST_P256", usage: "KEY_AGREEMENT" });
    agreementKeyId = agreement.arn;
    const peer = generateKeyPairSync("ec", { namedCurve: "P-256" });
    publicKey = peer.publicKey.export({ format: "der", type: "spki" }).toString("base64");
  });
  beforeEach(() => enclave.simulator.kms.clearFaults());
  afterAll(() => enclave[Symbol.asyncDispose]());

  /** Lets a process ask, and searches what is left in it. */
  async function search({ operation, length = 32, keep = false, encryptionContext = CONTEXT }: Ask) {
    const canary = new Uint8Array(randomBytes(length));
    const { simulator } = enclave;
    const ciphertext = await simulator.encrypt({
      keyId,
      plaintext: operation === "decrypt" ? canary : "unused",
      encryptionContext: CONTEXT,
    });
    const credentials = simulator.kms.issueCredentials();
    const secretKey = new TextEncoder().encode(credentials.secretAccessKey);
    const task: MemoryTask = {
      operation,
      rounds: ROUNDS,
      engine: engineCase.engine,
      library: engineCase.options.library,
      region: simulator.region,
      endpoint: simulator.endpoint as TcpEndpoint,
      trustedCertificates: simulator.trustedCertificates,
      accessKeyId: credentials.accessKeyId,
      secretAccessKey: disguiseBytes(secretKey),
      sessionToken: disguiseBytes(new TextEncoder().encode(credentials.sessionToken)),
      keyId: operation === "deriveSharedSecret" ? agreementKeyId : keyId,
      ciphertext: Buffer.from(ciphertext).toString("base64"),
      ...(operation === "encrypt" || operation === "streams" ? { plaintext: disguiseBytes(canary) } : {}),
      publicKey,
      encryptionContext,
      keep,
    };
    using child = await askAndWait(runtime, task);
    const given = child.secrets.map(revealBytes);
    const secrets = isDataKeyLeft(operation) ? [canary] : [canary, ...given];
    const counts = countInMemory(child.pid, { secretKey, ...needlesOf(secrets, !isRequestLeft(operation)) });
    const { secretKey: copies = 0, ...others } = counts as Readonly<Record<string, number>>;
    const sum = Object.values(others).reduce((total, count) => total + count, 0);
    return { outcome: child.outcome, secrets: sum, secretKey: copies, others };
  }

  for (const operation of new Set(OPERATIONS.map(([ask]) => ask.operation))) {
    test(`the search finds what ${operation} keeps on purpose`, async () => {
      const found = await search({ operation, keep: true });
      assert.ok(found.secrets >= 2, "the beginning and the end of a secret");
      assert.ok(found.secretKey >= 1);
    });
  }

  for (const [ask, outcome] of OPERATIONS) {
    const name = ask.length === undefined ? ask.operation : `${ask.operation} of ${ask.length} bytes`;
    test(`nothing secret and no secret key after ${name}`, async () => {
      const found = await search(ask);
      assert.equal(found.outcome, outcome);
      assertGone(found);
    });
  }

  test("no secret key and no plaintext after a refusal", async () => {
    const found = await search({ operation: "decrypt", encryptionContext: { tenant: "b" } });
    assert.equal(found.outcome, "ERR_KMS");
    assertGone(found);
  });

  test("no secret key and no plaintext after an envelope that does not open", async () => {
    await enclave.simulator.kms.injectFault({ kind: "wrongEnvelope", variant: "flippedPadding" });
    const found = await search({ operation: "decrypt" });
    assert.equal(found.outcome, "ERR_PROTOCOL");
    assertGone(found);
  });

  function assertGone(found: Found & { others: unknown }): void {
    assert.equal(found.secrets, 0, `something secret is left: ${JSON.stringify(found.others)}`);
    assert.ok(
      found.secretKey <= SECRET_KEY_COPIES,
      `${found.secretKey} copies of the secret access key are left`,
    );
  }
}

/** The beginning and the end of each, and the beginning of its base64. */
function needlesOf(secrets: readonly Uint8Array[], withBase64: boolean): Record<string, Uint8Array> {
  const needles: Record<string, Uint8Array> = {};
  for (const [index, secret] of secrets.entries()) {
    needles[`begin${index}`] = secret.subarray(0, 16);
    needles[`end${index}`] = secret.subarray(-16);
    if (withBase64) {
      needles[`base64${index}`] = new TextEncoder().encode(Buffer.from(secret).toString("base64")).subarray(
        0,
        20,
      );
    }
  }
  return needles;
}
