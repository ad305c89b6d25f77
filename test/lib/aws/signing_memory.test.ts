import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, test } from "#test";
import { findLibcrypto, LIBCRYPTO_VARIABLE } from "../../../lib/native/libcrypto.ts";
import { disguiseBytes } from "../../support/disguise.ts";
import { countInMemory } from "../../support/memory_scan.ts";
import { RUNTIME_COMMANDS } from "../../support/runtime_commands.ts";
import type { SigningAnswer, SigningCommand } from "../../support/signing_memory_child.ts";

const CHILD = fileURLToPath(new URL("../../support/signing_memory_child.ts", import.meta.url));
const REGION = "eu-central-1";
const DATE = "2026-11-05T12:34:56.000Z";
const onDeno = "Deno" in globalThis;

/** A process that signs as it is told. */
class SigningProcess implements Disposable {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(libcrypto: string) {
    const [program = "", ...args] = RUNTIME_COMMANDS[onDeno ? "Deno" : "Node"] ?? [];
    this.#child = spawn(program, [...args, CHILD], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, [LIBCRYPTO_VARIABLE]: libcrypto },
    });
    this.#answers = createInterface(this.#child.stdout!)[Symbol.asyncIterator]();
  }

  /** Has it sign with a new secret access key. */
  async sign(ends: boolean): Promise<{ answer: SigningAnswer; found: Readonly<Record<string, number>> }> {
    const secretAccessKey = Uint8Array.from(
      randomBytes(20).toString("hex"),
      (letter) => letter.charCodeAt(0),
    );
    const command: SigningCommand = {
      secretAccessKey: disguiseBytes(secretAccessKey),
      date: DATE,
      region: REGION,
      ends,
    };
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error("The process ended");
    const answer = JSON.parse(value) as SigningAnswer;
    const counts = Object.entries(countInMemory(this.#child.pid ?? 0, needlesOf(secretAccessKey)));
    return { answer, found: Object.fromEntries(counts.filter(([, count]) => count > 0)) };
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

/** The secret access key and what is derived from it, each as it is and as HMAC mixes it into its blocks. */
function needlesOf(secretAccessKey: Uint8Array): Record<string, Uint8Array> {
  const needles: Record<string, Uint8Array> = {};
  const add = (name: string, key: Uint8Array) => {
    needles[name] = key.subarray(0, 16);
    needles[`${name}'s end`] = key.subarray(-16);
    for (const mask of [0x36, 0x5c]) {
      needles[`${name}, masked with ${mask}`] = key.subarray(0, 16).map((byte) => byte ^ mask);
    }
  };
  add("secret", secretAccessKey);
  let key: Uint8Array = Uint8Array.from([...new TextEncoder().encode("AWS4"), ...secretAccessKey]);
  for (const part of [DATE.slice(0, 10).replaceAll("-", ""), REGION, "kms", "aws4_request"]) {
    key = new Uint8Array(createHmac("sha256", key).update(part).digest());
    add(part === "aws4_request" ? "signing key" : `key of ${part}`, key);
  }
  return needles;
}

const { reason } = findLibcrypto();
const ways = [
  { name: "OpenSSL", libcrypto: "", why: reason },
  { name: "node:crypto", libcrypto: "off", why: undefined },
];

for (const { name, libcrypto, why } of ways) {
  const title = `memory after signatures over ${name}${why === undefined ? "" : ` (skipped: ${why})`}`;
  describe.skipIf(why !== undefined)(title, () => {
    let child: SigningProcess;
    beforeAll(() => {
      child = new SigningProcess(libcrypto);
    });
    afterAll(() => child[Symbol.dispose]());

    // Deno's own hash copies its result, and frees the copy as it is.
    const leavesDerived = onDeno && libcrypto === "off";

    test(`nothing of the secret access key${leavesDerived ? "" : " and of what is derived from it"}`, async () => {
      const { answer, found } = await child.sign(true);
      assert.match(answer.signature, /^[0-9a-f]{64}$/);
      assert.equal(answer.isOpenssl, libcrypto === "");
      const names = Object.keys(found);
      assert.deepEqual(leavesDerived ? names.filter((name) => name.startsWith("secret")) : names, []);
    });

    test.skipIf(leavesDerived)("the signing key only, as long as the signer keeps it", async () => {
      const { found } = await child.sign(false);
      assert.deepEqual(found, { "signing key": 3, "signing key's end": 3 });
    });
  });
}
