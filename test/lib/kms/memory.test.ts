import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { env } from "node:process";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import type { TcpEndpoint } from "../../../lib/core/endpoint.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../../support/engines.ts";
import { AskingProcess, countInMemory } from "../../support/memory_scan.ts";
import { shareOf } from "../../support/share.ts";
import { disguiseBytes, revealBytes } from "../../support/disguise.ts";
import type { MemoryOperation } from "../../support/memory_messages.ts";

const runtime = "Deno" in globalThis ? "Deno" : "Node";

/** The child has no simulator: it needs the device, and an engine that promises something. */
const cases = ENGINE_CASES.filter(({ label }) =>
  !label.includes("software") && !label.startsWith("sdk-client")
);

/** The same without OpenSSL. */
const overNode = cases.filter(({ engine }) => env["SLOW"] === "1" && engine === "direct").map((one) => ({
  ...one,
  label: `${one.label}, key pair of node:crypto`,
  options: { ...one.options, libcryptoPath: "off" },
}));

/** Call to make. */
interface Ask {
  readonly operation: MemoryOperation;
  /** Length of the plaintext, in bytes. */
  readonly length?: number;
  readonly keep?: boolean;
  readonly encryptionContext?: Record<string, string>;
}

/**
 * Bytes to look for after a task: its secret access key, and the beginnings, ends and base64 of its secrets.
 */
interface Needles {
  readonly secretKey: Uint8Array;
  readonly secrets: Readonly<Record<string, Uint8Array>>;
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

/** Deno copies a request's headers and body into one buffer, and frees it as it is. */
const isRequestLeft = (operation: MemoryOperation) => operation === "encrypt" && runtime === "Deno";

const CONTEXT = { tenant: "a" };

for (const engineCase of [...shareOf(cases, "Deno"), ...overNode]) {
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

  /** A process with a client and nothing else. */
  function startProcess(): Promise<AskingProcess> {
    const { simulator } = enclave;
    return AskingProcess.start(runtime, {
      engine: engineCase.engine,
      library: engineCase.options.library,
      libcryptoPath: engineCase.options.libcryptoPath,
      region: simulator.region,
      endpoint: simulator.endpoint as TcpEndpoint,
      trustedCertificates: simulator.trustedCertificates,
    });
  }

  /** Lets a process ask, with credentials of its own. */
  async function ask(
    process: AskingProcess,
    { operation, length = 32, keep = false, encryptionContext = CONTEXT }: Ask,
  ): Promise<{ outcome: string; needles: Needles }> {
    const canary = new Uint8Array(randomBytes(length));
    const { simulator } = enclave;
    const ciphertext = await simulator.encrypt({
      keyId,
      plaintext: operation === "decrypt" ? canary : "unused",
      encryptionContext: CONTEXT,
    });
    const credentials = simulator.kms.issueCredentials();
    const secretKey = new TextEncoder().encode(credentials.secretAccessKey);
    const { outcome, secrets } = await process.ask({
      operation,
      rounds: ROUNDS,
      accessKeyId: credentials.accessKeyId,
      secretAccessKey: disguiseBytes(secretKey),
      sessionToken: disguiseBytes(new TextEncoder().encode(credentials.sessionToken)),
      keyId: operation === "deriveSharedSecret" ? agreementKeyId : keyId,
      ciphertext: Buffer.from(ciphertext).toString("base64"),
      ...(operation === "encrypt" || operation === "streams" ? { plaintext: disguiseBytes(canary) } : {}),
      publicKey,
      encryptionContext,
      keep,
    });
    const given = secrets.map(revealBytes);
    // The end of a frame may have been on its way through registers: test/lib/envelope/memory.test.ts.
    const sought = operation === "streams" ? canary.subarray(0, -1200) : canary;
    return {
      outcome,
      needles: { secretKey, secrets: needlesOf([sought, ...given], !isRequestLeft(operation)) },
    };
  }

  describe("the search", () => {
    let keeping: AskingProcess;

    beforeAll(async () => {
      keeping = await startProcess();
    });
    afterAll(() => keeping[Symbol.dispose]());

    for (const operation of new Set(OPERATIONS.map(([ask]) => ask.operation))) {
      test(`finds what ${operation} keeps on purpose`, async () => {
        const length = operation === "streams" ? 10_000 : 32;
        const { needles } = await ask(keeping, { operation, length, keep: true });
        const found = search(keeping, [needles]);
        assert.ok(found.secrets >= 2, "the beginning and the end of a secret");
        assert.ok(found.secretKeys.every((count) => count >= 1));
      });
    }
  });

  describe("in one process", () => {
    const asked: Needles[] = [];
    let process: AskingProcess;

    beforeAll(async () => {
      process = await startProcess();
    });
    afterAll(() => process[Symbol.dispose]());

    for (const [what, outcome] of OPERATIONS) {
      const name = what.length === undefined ? what.operation : `${what.operation} of ${what.length} bytes`;
      test(`nothing secret and no secret key after ${name}`, () => assertGoneAfter(what, outcome));
    }

    test("no secret key and no plaintext after a refusal", async () => {
      await assertGoneAfter({ operation: "decrypt", encryptionContext: { tenant: "b" } }, "ERR_KMS");
    });

    test("no secret key and no plaintext after an envelope that does not open", async () => {
      await enclave.simulator.kms.injectFault({ kind: "wrongEnvelope", variant: "flippedPadding" });
      await assertGoneAfter({ operation: "decrypt" }, "ERR_PROTOCOL");
    });

    test("nothing of all this after its client is closed", async () => {
      assert.equal(asked.length, OPERATIONS.length + 2);
      await process.close();
      assertGone(process, asked);
    });

    async function assertGoneAfter(what: Ask, expected: string): Promise<void> {
      const { outcome, needles } = await ask(process, what);
      asked.push(needles);
      assert.equal(outcome, expected);
      assertGone(process, [needles]);
    }
  });
}

/** Counts the needles in the memory of a process. */
function search({ pid }: AskingProcess, wanted: readonly Needles[]) {
  const named = wanted.flatMap(({ secretKey, secrets }, index) => [
    [`secretKey of ${index}`, secretKey] as const,
    // As HMAC mixes it into its blocks.
    ...[0x36, 0x5c].map((mask) =>
      [`masked key of ${index}, ${mask}`, secretKey.map((byte) => byte ^ mask)] as const
    ),
    ...Object.entries(secrets).map(([name, needle]) => [`${name} of ${index}`, needle] as const),
  ]);
  const counts = Object.entries(countInMemory(pid, Object.fromEntries(named)));
  const isSecretKey = ([name]: readonly [string, number]) => name.startsWith("secretKey");
  const others = counts.filter((entry) => !isSecretKey(entry));
  return {
    secrets: others.reduce((total, [, count]) => total + count, 0),
    secretKeys: counts.filter(isSecretKey).map(([, count]) => count),
    others: Object.fromEntries(others),
  };
}

function assertGone(process: AskingProcess, wanted: readonly Needles[]): void {
  const { secrets, secretKeys, others } = search(process, wanted);
  assert.equal(secrets, 0, `something secret is left: ${JSON.stringify(others)}`);
  assert.equal(secretKeys.length, wanted.length);
  assert.ok(secretKeys.every((copies) => copies === 0), `secret access keys are left: ${secretKeys}`);
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
