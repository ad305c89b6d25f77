import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import type { TcpEndpoint } from "../../mod.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../support/engines.ts";
import { countInMemory, decryptAndWait, disguiseBytes, type MemoryTask } from "../support/memory_scan.ts";

const runtime = "Deno" in globalThis ? "Deno" : "Node";

/** The child has no simulator: it needs the device, and an engine that promises something. */
const cases = ENGINE_CASES.filter(({ label }) =>
  !label.includes("software") && !label.startsWith("sdk-client")
);

/** What the process said, and how often each secret stands in its memory. */
interface Found {
  readonly outcome: string;
  readonly plaintext: number;
  readonly plaintextEnd: number;
  readonly secretKey: number;
  readonly sessionToken: number;
}

/** Deno's createHmac leaves a copy of its key in memory that it frees; Node's leaves none. */
const SECRET_KEY_COPIES = runtime === "Deno" ? 1 : 0;

const CONTEXT = { tenant: "a" };

for (const engineCase of cases) {
  describe.skipIf(engineCase.skip)(`memory after use, engine ${engineCase.label}`, () => suite(engineCase));
}

function suite(engineCase: EngineCase): void {
  let enclave: Enclave;
  let keyId: string;

  beforeAll(async () => {
    enclave = await startEnclave();
    keyId = (await enclave.simulator.createKey()).keyId;
  });
  beforeEach(() => enclave.simulator.kms.clearFaults());
  afterAll(() => enclave[Symbol.asyncDispose]());

  /** Lets a process decrypt a canary, and searches what is left in it. */
  async function search(
    options: { length: number; keep?: boolean; encryptionContext?: Record<string, string> },
  ): Promise<Found> {
    const canary = new Uint8Array(randomBytes(options.length));
    const { simulator } = enclave;
    const ciphertext = await simulator.encrypt({ keyId, plaintext: canary, encryptionContext: CONTEXT });
    const credentials = simulator.kms.issueCredentials();
    const secret = new TextEncoder().encode(credentials.secretAccessKey);
    const task: MemoryTask = {
      engine: engineCase.engine,
      library: engineCase.options.library,
      region: simulator.region,
      endpoint: simulator.endpoint as TcpEndpoint,
      trustedCertificates: simulator.trustedCertificates,
      accessKeyId: credentials.accessKeyId,
      secretAccessKey: disguiseBytes(secret),
      sessionToken: disguiseBytes(new TextEncoder().encode(credentials.sessionToken)),
      ciphertext: Buffer.from(ciphertext).toString("base64"),
      encryptionContext: options.encryptionContext ?? CONTEXT,
      keep: options.keep ?? false,
    };
    using child = await decryptAndWait(runtime, task);
    const found = countInMemory(child.pid, {
      plaintext: canary.subarray(0, 16),
      plaintextEnd: canary.subarray(-16),
      secretKey: secret,
      sessionToken: new TextEncoder().encode(credentials.sessionToken),
    });
    return { ...found, outcome: child.outcome };
  }

  test("the search finds what is kept on purpose", async () => {
    const found = await search({ length: 32, keep: true });
    assert.equal(found.outcome, "decrypted 32");
    assert.ok(found.plaintext >= 1);
    assert.ok(found.secretKey >= 1);
  });

  for (const length of [32, 48, 4096]) {
    test(`no plaintext of ${length} bytes and no secret key after success`, async () => {
      const found = await search({ length });
      assert.equal(found.outcome, `decrypted ${length}`);
      assertGone(found);
    });
  }

  test("no secret key and no plaintext after a refusal", async () => {
    const found = await search({ length: 32, encryptionContext: { tenant: "b" } });
    assert.equal(found.outcome, "ERR_KMS");
    assertGone(found);
  });

  test("no secret key and no plaintext after an envelope that does not open", async () => {
    await enclave.simulator.kms.injectFault({ kind: "wrongEnvelope", variant: "flippedPadding" });
    const found = await search({ length: 32 });
    assert.equal(found.outcome, "ERR_PROTOCOL");
    assertGone(found);
  });

  function assertGone(found: Found): void {
    assert.equal(found.plaintext, 0, "the beginning of the plaintext is left");
    assert.equal(found.plaintextEnd, 0, "the end of the plaintext is left");
    assert.ok(
      found.secretKey <= SECRET_KEY_COPIES,
      `${found.secretKey} copies of the secret access key are left`,
    );
  }
}
