/**
 * Searches a process for the plaintexts that the plug-in opened, once the program has wiped them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { env } from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, test } from "#test";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { findLibcrypto, LIBCRYPTO_VARIABLE } from "../../lib/native/libcrypto.ts";
import type { NsmTransport } from "../../lib/nsm/nsm_transport.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";
import { countInMemory } from "../support/memory_scan.ts";
import type { PluginCommand, PluginLine, PluginSetup } from "../support/plugin_memory_child.ts";
import { RUNTIME_COMMANDS } from "../support/runtime_commands.ts";

const CHILD = fileURLToPath(new URL("../support/plugin_memory_child.ts", import.meta.url));
const { libcrypto, reason } = findLibcrypto();

/** A process with a client of the AWS SDK. */
class PluginProcess implements Disposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #nsm: NsmTransport;

  constructor(setup: PluginSetup, nsm: NsmTransport, libcryptoPath: string) {
    const [program = "", ...args] = RUNTIME_COMMANDS["Deno" in globalThis ? "Deno" : "Node"] ?? [];
    this.#child = spawn(program, [...args, CHILD], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...env, [LIBCRYPTO_VARIABLE]: libcryptoPath },
    });
    this.#lines = createInterface(this.#child.stdout!)[Symbol.asyncIterator]();
    this.#nsm = nsm;
    this.#tell(setup);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async decrypt(ciphertext: Uint8Array, keep = false): Promise<string> {
    this.#tell({ does: "decrypt", ciphertext: Buffer.from(ciphertext).toString("base64"), keep });
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error("The process ended");
      const line = JSON.parse(value) as PluginLine;
      if ("outcome" in line) return line.outcome;
      const answer = await this.#nsm.exchange(new Uint8Array(Buffer.from(line.nsm, "base64")));
      this.#tell({ does: "answer", answer: Buffer.from(answer).toString("base64") });
    }
  }

  /** Disposing twice is harmless. */
  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }

  #tell(message: PluginSetup | PluginCommand): void {
    this.#child.stdin?.write(`${JSON.stringify(message)}\n`);
  }
}

for (const [name, path] of [["OpenSSL", ""], ["node:crypto", "off"]] as const) {
  const isSkipped = path === "" && libcrypto === undefined;
  describe.skipIf(isSkipped)(
    `memory after the plug-in, over ${name}${isSkipped ? ` (skipped: ${reason})` : ""}`,
    () => suite(path),
  );
}

function suite(libcryptoPath: string): void {
  let enclave: Simulator;
  let child: PluginProcess;
  let keyId: string;

  beforeAll(async () => {
    enclave = await startSimulator();
    ({ keyId } = await enclave.createKey());
    const { region, endpoint, trustedCertificates } = enclave.clientOptions;
    const { accessKeyId, secretAccessKey, sessionToken } = enclave.kms.issueCredentials();
    const credentials = { accessKeyId, secretAccessKey, sessionToken };
    const setup = { region, endpoint: endpoint as TcpEndpoint, credentials };
    const trusted = { trustedCertificates: String(trustedCertificates) };
    child = new PluginProcess({ ...setup, ...trusted }, enclave.nsm, libcryptoPath);
  });
  afterAll(async () => {
    child?.[Symbol.dispose]();
    await enclave?.close();
  });

  async function decrypt(length: number, keep = false): Promise<{ outcome: string; found: string[] }> {
    const plaintext = new Uint8Array(randomBytes(length));
    const ciphertext = await enclave.encrypt({ keyId, plaintext });
    const outcome = await child.decrypt(ciphertext, keep);
    const base64 = new TextEncoder().encode(Buffer.from(plaintext).toString("base64"));
    const needles = {
      begin: plaintext.subarray(0, 16),
      end: plaintext.subarray(-16),
      "begin of base64": base64.subarray(0, 20),
    };
    const counts = Object.entries(countInMemory(child.pid, needles));
    return { outcome, found: counts.filter(([, count]) => count > 0).map(([name]) => name) };
  }

  for (const length of [32, 48, 4096]) {
    test(`nothing is left of ${length} bytes that the program wiped`, async () => {
      assert.deepEqual(await decrypt(length), { outcome: `decrypted ${length}`, found: [] });
    });
  }

  test("what is kept on purpose is found", async () => {
    const { outcome, found } = await decrypt(48, true);
    assert.deepEqual({ outcome, found }, { outcome: "decrypted 48", found: ["begin", "end"] });
  });
}
