import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, test } from "#test";
import type { TcpEndpoint } from "../../../../lib/core/endpoint.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../../../support/engines.ts";
import { countInMemory } from "../../../support/memory_scan.ts";
import { disguiseBytes } from "../../../support/disguise.ts";
import { RUNTIME_COMMANDS } from "../../../support/runtime_commands.ts";
import type { StallTask } from "../../../support/stall_child.ts";

const CHILD = fileURLToPath(new URL("../../../support/stall_child.ts", import.meta.url));
const CONTEXT = { tenant: "a" };

const runtime = "Deno" in globalThis ? "Deno" : "Node";

for (const engineCase of ENGINE_CASES.filter(({ label }) => label.startsWith("sdk-client over double"))) {
  describe.skipIf(engineCase.skip)(`memory of a stalled call, engine ${engineCase.label}`, () => {
    suite(engineCase);
  });
}

function suite({ options }: EngineCase): void {
  let enclave: Enclave;

  beforeAll(async () => {
    enclave = await startEnclave();
  });
  afterAll(() => enclave[Symbol.asyncDispose]());

  for (const stall of ["aws_kms_decrypt_blocking_with_context", "aws_nitro_enclaves_kms_client_destroy"]) {
    test(`${stall} returns late: neither the job nor the plaintext is left`, async () => {
      const { simulator } = enclave;
      const plaintext = new Uint8Array(randomBytes(1000));
      const { keyId } = await simulator.createKey();
      const ciphertext = await simulator.encrypt({ keyId, plaintext, encryptionContext: CONTEXT });
      const { accessKeyId, ...secrets } = simulator.kms.issueCredentials();
      const secretKey = new TextEncoder().encode(secrets.secretAccessKey);
      const sessionToken = new TextEncoder().encode(secrets.sessionToken);
      const needles = {
        secretKey,
        sessionToken,
        plaintext: plaintext.subarray(0, 16),
        plaintextEnd: plaintext.subarray(-16),
      };

      await using child = startChild({
        engine: "sdk-client",
        library: options.library,
        region: simulator.region,
        endpoint: simulator.endpoint as TcpEndpoint,
        trustedCertificates: simulator.trustedCertificates,
        accessKeyId,
        secretAccessKey: disguiseBytes(secretKey),
        sessionToken: disguiseBytes(sessionToken),
        keyId,
        ciphertext: Buffer.from(ciphertext).toString("base64"),
        encryptionContext: CONTEXT,
        stall,
      });
      assert.deepEqual(await child.nextLine(), { state: "AbortError", violations: [] });
      assert.ok(countInMemory(child.pid, needles).secretKey >= 1, "the search finds what is there");

      child.goOn();
      assert.deepEqual(await child.nextLine(), { state: "returned", violations: [] });
      const found = countInMemory(child.pid, needles);
      assert.deepEqual(found, { secretKey: 0, sessionToken: 0, plaintext: 0, plaintextEnd: 0 });
    });
  }
}

function startChild(task: StallTask) {
  const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
  const child = spawn(program, [...args, CHILD], { stdio: ["pipe", "pipe", "ignore"] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  child.stdin.write(`${JSON.stringify(task)}\n`);
  return {
    pid: child.pid ?? 0,
    nextLine: async () => JSON.parse((await lines.next()).value ?? "null"),
    goOn: () => child.stdin.write("go on\n"),
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((resolve) => child.on("close", resolve));
      child.kill("SIGKILL");
      await closed;
    },
  };
}
