import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, test } from "#test";
import { libc } from "../../../lib/native/libc.ts";
import type { TcpEndpoint } from "../../../lib/core/endpoint.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../../support/engines.ts";

const CHILD = fileURLToPath(new URL("../../support/permissions_child.ts", import.meta.url));

const onNode = !("Deno" in globalThis);
const REASON = onNode ? " (skipped: Node.js has no permission for FFI by path)" : "";

/** The child has no simulator: it needs the device. */
const cases = ENGINE_CASES.filter(({ label }) => !label.includes("software"));

describe.skipIf(onNode)(`Deno with the rights it needs and no more${REASON}`, () => {
  let enclave: Enclave;
  let ciphertext: string;

  beforeAll(async () => {
    enclave = await startEnclave();
    ciphertext = Buffer.from(await enclave.encryptUnderNewKey("hello")).toString("base64");
  });
  afterAll(() => enclave[Symbol.asyncDispose]());

  /** Runs the child with the given rights. */
  async function decrypt(engineCase: EngineCase, flags: readonly string[]): Promise<string> {
    const options = JSON.stringify({ ...enclave.optionsFor(engineCase), ciphertext });
    const args = ["run", "--quiet", "--no-prompt", "--no-check", ...flags, CHILD, options];
    return (await promisify(execFile)("deno", args)).stdout.trim();
  }

  for (const engineCase of cases) {
    test.skipIf(engineCase.skip)(`decrypts with ${engineCase.label}`, async () => {
      const { host, port } = enclave.simulator.endpoint as TcpEndpoint;
      const libraries = [libc().path, engineCase.options.library].filter((path) => path !== undefined);
      const flags = [`--allow-ffi=${libraries.join(",")}`, `--allow-net=${host}:${port}`];
      if (engineCase.engine === "sdk-client") {
        flags.push(`--allow-read=${fileURLToPath(new URL("../../..", import.meta.url))}`);
      }
      assert.equal(await decrypt(engineCase, flags), "decrypted 5");
    });
  }

  test("says which flag is missing", async () => {
    const [direct] = cases;
    assert.ok(direct);
    const output = await decrypt(direct, ["--allow-net"]);
    assert.match(
      output,
      /LibraryLoadError: Cannot load libc: \/\S+: permission missing, run with --allow-ffi=\//,
    );
    assert.match(output, /--allow-ffi/);
  });
});
