import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, test } from "#test";
import { encodeSecretReceipt } from "../../../lib/wire/secret_receipt.ts";
import { listen } from "../../../lib/transport/mod.ts";
import { IMDS_FAULTS, type SimulatedImds, startImds } from "../../../sim/mod.ts";
import type { CredentialsCommand } from "../../support/instance_credentials_child.ts";
import { countInMemory } from "../../support/memory_scan.ts";
import { RUNTIME_COMMANDS } from "../../support/runtime_commands.ts";

const CHILD = fileURLToPath(new URL("../../support/instance_credentials_child.ts", import.meta.url));
const runtime = "Deno" in globalThis ? "Deno" : "Node";
const folder = mkdtempSync(join(tmpdir(), "enclave-kms-memory-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Process that gets and pushes credentials. */
class Parent implements Disposable {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor() {
    const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
    this.#child = spawn(program, [...args, CHILD], { stdio: ["pipe", "pipe", "inherit"] });
    this.#answers = createInterface(this.#child.stdout!)[Symbol.asyncIterator]();
  }

  async tell(command: CredentialsCommand): Promise<string> {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error("The process ended");
    return JSON.parse(value) as string;
  }

  /** Counts the secrets of the metadata service in the memory of the process. */
  count({ credentials }: SimulatedImds): { key: number; token: number } {
    return countInMemory(this.#child.pid ?? 0, {
      key: new TextEncoder().encode(credentials.secretAccessKey),
      token: new TextEncoder().encode(credentials.sessionToken.slice(20, 120)),
    });
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

describe("memory of the parent", () => {
  let imds: SimulatedImds;
  let parent: Parent;
  const command = (does: CredentialsCommand["does"], options: Partial<CredentialsCommand> = {}) =>
    parent.tell({ does, endpoint: imds.endpoint, rounds: 5, tryTimeoutMs: 60_000, ...options });

  beforeAll(async () => {
    imds = await startImds();
    parent = new Parent();
  });
  afterAll(async () => {
    parent[Symbol.dispose]();
    await imds.close();
  });

  test("a search finds what is kept on purpose", async () => {
    assert.equal(await command("get", { keep: true }), "got");
    assert.ok(parent.count(imds).key >= 5);
    imds.rotate();
  });

  test("nothing of the credentials is left once their holder disposed them", async () => {
    assert.equal(await command("get", { rounds: 50 }), "got");
    assert.deepEqual(parent.count(imds), { key: 0, token: 0 });
  });

  for (const { name, fault } of IMDS_FAULTS) {
    test(`nor when the metadata service ${name}`, async () => {
      // Credentials that are cut off lie in memory, too.
      using _ = imds.injectFault({ ...fault, on: fault.on ?? "credentials" });
      const isSlow = fault.kind === "silence" || fault.kind === "drip";
      const outcome = await command("get", { tryTimeoutMs: isSlow ? 300 : 60_000, rounds: 2 });
      assert.match(outcome, /^(?:got|ERR_IMDS_[A-Z_1]+)$/);
      assert.deepEqual(parent.count(imds), { key: 0, token: 0 });
    });
  }

  test("a pusher keeps one copy until it is closed, and none when the enclave took or refused them", async () => {
    imds.rotate();
    let isRefusing = false;
    const path = join(folder, "16-7100.sock");
    await using _enclave = await listen({ transport: "unix", path }, {}, ({ stream }) => {
      stream.once("data", (chunk: Uint8Array) => {
        const receipt = isRefusing
          ? { ok: false as const, code: "ERR_CREDENTIALS_OLDER", message: "older" }
          : { ok: true as const, name: "credentials", sha256: digestOf(chunk) };
        stream.end(encodeSecretReceipt(receipt));
      });
    });
    assert.equal(await command("push", { simulationFolder: folder }), "pushed");
    const { key } = parent.count(imds);
    assert.ok(key <= 1, `${key} copies`);
    const before = { credentials: imds.credentials } as SimulatedImds;
    imds.rotate();
    assert.equal(await command("push", { simulationFolder: folder }), "pushed");
    assert.deepEqual(parent.count(before), { key: 0, token: 0 });
    isRefusing = true;
    assert.equal(await command("push", { simulationFolder: folder }), "ERR_SECRET_REFUSED");
    assert.equal(await command("close"), "closed");
    assert.deepEqual(parent.count(imds), { key: 0, token: 0 });
  });
});

/** Computes the hash that a receipt names: of the content, behind the frame's eight bytes. */
function digestOf(frame: Uint8Array): string {
  return createHash("sha256").update(frame.subarray(8)).digest("hex");
}
