import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe } from "#test";
import { joinBase64 } from "../../lib/core/secret_json.ts";
import { listen } from "../../lib/transport/mod.ts";
import { vsockToListen } from "../../lib/transport/vsock_place.ts";
import { encodeSecretReceipt, type SecretReceipt } from "../../lib/wire/secret_receipt.ts";
import { SecretFrameReader } from "../../lib/wire/secret_frame.ts";
import { AgeKeyPair } from "../../operator/mod.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";
import { countInMemory } from "../support/memory_scan.ts";
import { secretOf } from "../support/numbered_secrets.ts";
import { RUNTIME_COMMANDS } from "../support/runtime_commands.ts";
import type { Task } from "../support/secret_sending_child.ts";
import { sha256 } from "../enclave/secrets/secrets_lab.ts";
import { toHex } from "../../lib/core/bytes.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests("Deno");

const runtime = "Deno" in globalThis ? "Deno" : "Node";
const CHILD = fileURLToPath(new URL("../support/secret_sending_child.ts", import.meta.url));
const ROUNDS = 8;

/** Process that makes and sends secrets. */
class Sender implements Disposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
    this.#child = spawn(program, [...args, CHILD], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface(this.#child.stdout!)[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async tell(task: Task): Promise<unknown> {
    this.#child.stdin?.write(`${JSON.stringify(task)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`The process ended at ${task.does}`);
    return JSON.parse(value);
  }

  /** Counts secrets in its memory: beginning, end and base64. */
  count(secrets: readonly Uint8Array[]): Record<string, number> {
    const needles = secrets.flatMap((secret, index) => [
      [`${index} beginning`, secret.subarray(0, 24)],
      [`${index} end`, secret.subarray(-24)],
      [`${index} base64`, joinBase64("", secret.subarray(0, 48), "")],
    ]);
    return countInMemory(this.pid, Object.fromEntries(needles) as Record<string, Uint8Array>);
  }

  assertGone(secrets: readonly Uint8Array[], { sent = false } = {}): void {
    // What a request holds may stay in memory that Deno frees: SECURITY.md.
    const mayBeLeft = (name: string) => sent && runtime === "Deno" && name.endsWith("base64");
    const found = Object.entries(this.count(secrets)).filter(([name, count]) =>
      count > 0 && !mayBeLeft(name)
    );
    assert.deepEqual(found, []);
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

describe("the memory of an operator's process, and of a sender's", () => {
  let simulator: Simulator;
  let kms: Pick<Task, "kms" | "keyArn">;
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-memory-"));
  beforeAll(async () => {
    simulator = await startSimulator();
    const { arn: keyArn } = await simulator.createKey();
    const { nsm: _, ...options } = simulator.clientOptions;
    kms = { kms: { ...options, recipient: "none", timeoutMs: 60_000 }, keyArn };
  });
  afterAll(async () => {
    await simulator.close();
    rmSync(folder, { recursive: true });
  });

  const numbers = Array.from({ length: ROUNDS }, (_, index) => index * 10);

  test.onBoth("the search finds what is kept on purpose", async () => {
    using sender = new Sender();
    await sender.tell({ does: "keep", number: 1 });
    const found = sender.count([secretOf(1)]);
    assert.ok(found["0 beginning"]! >= 1 && found["0 end"]! >= 1);
  });

  test("holds no secret that was sealed with KMS", async () => {
    using sender = new Sender();
    for (const number of numbers) await sender.tell({ does: "sealWithKms", number, ...kms });
    sender.assertGone(numbers.map(secretOf), { sent: true });
  });

  test("holds no identity that was made and sealed with KMS", async () => {
    using sender = new Sender();
    const identities: Uint8Array[] = [];
    for (const number of numbers) {
      const masked = await sender.tell({ does: "sealIdentity", number, ...kms }) as number[];
      identities.push(Uint8Array.from(masked, (byte) => byte ^ 0x5a));
    }
    assert.equal(new TextDecoder().decode(identities[0]).slice(0, 16), "AGE-SECRET-KEY-1");
    sender.assertGone(identities.map((identity) => identity.subarray(16)), { sent: true });
  });

  test("holds no secret that was split, but what age's library keeps of shares", async () => {
    using sender = new Sender();
    using keys = await AgeKeyPair.generate();
    for (const number of numbers) {
      await sender.tell({ does: "split", number, recipient: keys.recipient });
    }
    sender.assertGone(numbers.map(secretOf));
  });

  test("holds, of what was sealed with age, one copy that age's library keeps, and no more", async () => {
    using sender = new Sender();
    using keys = await AgeKeyPair.generate();
    for (const number of numbers) {
      await sender.tell({ does: "sealWithAge", number, recipient: keys.recipient });
    }
    const found = sender.count(numbers.map(secretOf));
    assert.ok(Object.values(found).includes(1), "docs/secrets.md says that there is one");
    for (const [name, count] of Object.entries(found)) {
      assert.ok(count <= (name.endsWith("base64") ? 0 : 1), `${name}: ${count}`);
    }
  });

  test("holds no text of a publisher's key", async () => {
    const keyFile = join(folder, "publisher.pem");
    const pem = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    writeFileSync(keyFile, pem);
    const body = /-----\n([^-]+)\n-----/.exec(pem)?.[1] ?? "";
    using sender = new Sender();
    for (const number of numbers) await sender.tell({ does: "sign", number, keyFile });
    assert.deepEqual(countInMemory(sender.pid, { body: new TextEncoder().encode(body).subarray(20) }), {
      body: 0,
    });
  });

  /** Receipts of an enclave, in turn with no receipt at all. */
  const ANSWERS: readonly ((hash: string) => SecretReceipt | undefined)[] = [
    (hash) => ({ ok: true, name: "credentials", sha256: hash }),
    () => ({ ok: false, code: "ERR_SECRET_CREDENTIALS", message: "Cannot take them" }),
    () => undefined,
  ];
  for (const does of ["sendCredentials", "sendSecret"] as const) {
    test(`holds nothing of what ${does}() sent, whether it was taken, refused or broken off`, async () => {
      using sender = new Sender();
      const port = does === "sendSecret" ? 7101 : 7100;
      let round = 0;
      await using _enclave = await listen(await vsockToListen(16, port, folder), {}, ({ stream }) => {
        const answer = ANSWERS[round++ % ANSWERS.length]!;
        const reader = new SecretFrameReader({ maxBytes: 65_536 });
        stream.on("data", (chunk: Uint8Array) => {
          reader.push(chunk);
          if (!reader.isComplete) return;
          const receipt = answer(toHex(sha256(reader.end())));
          if (receipt === undefined) stream.destroy();
          else stream.end(encodeSecretReceipt(receipt));
        });
      });
      const results = new Set<unknown>();
      for (const number of numbers) {
        results.add(await sender.tell({ does, number, simulationFolder: folder, port }));
      }
      assert.equal(results.size, 3, [...results].join());
      sender.assertGone(numbers.flatMap((number) => [secretOf(number), secretOf(number + 1)]));
    });
  }
});
