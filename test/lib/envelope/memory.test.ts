import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHmac, hkdfSync, randomBytes } from "node:crypto";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, test } from "#test";
import { findLibcrypto, LIBCRYPTO_VARIABLE } from "../../../lib/native/libcrypto.ts";
import { disguiseBytes } from "../../support/disguise.ts";
import type { EnvelopeAnswer, EnvelopeCommand, EnvelopeTask } from "../../support/envelope_memory_child.ts";
import { countInMemory } from "../../support/memory_scan.ts";
import { RUNTIME_COMMANDS } from "../../support/runtime_commands.ts";

const CHILD = fileURLToPath(new URL("../../support/envelope_memory_child.ts", import.meta.url));
const onDeno = "Deno" in globalThis;
const LENGTH = 10_000;
const KEY_INFO = new Uint8Array([0x04, 0x78, ...new TextEncoder().encode("DERIVEKEY")]);

/** Each way through the code, and what the process says of it. */
const TASKS: readonly (readonly [task: EnvelopeTask, outcome: RegExp])[] = [
  ["stream", /^10000$/],
  ["torn", /^ERR_ENVELOPE_AUTHENTICATION$/],
  ["cancelled", /^4096$/],
  ["abandoned", /^4096$/],
  ["own", /^10000$/],
  ["tornOwn", /^ERR_ENVELOPE_AUTHENTICATION$/],
  ["message", /^10000$/],
  ["tornMessage", /^ERR_ENVELOPE_AUTHENTICATION$/],
  ["file", /^\d+$/],
  ["signed", /^10000$/],
  ["signedForged", /^ERR_ENVELOPE_SIGNATURE$/],
  ["signedCancelled", /^0$/],
  ["signedMessage", /^10000$/],
  ["forgedSignedMessage", /^ERR_ENVELOPE_SIGNATURE$/],
  ["cacheDisposed", /^10000$/],
  ["cacheCleared", /^10000$/],
  ["cacheEvicted", /^10000$/],
  ["cacheExpired", /^10000$/],
];

/** A process that encrypts and decrypts as it is told. */
class EnvelopeProcess implements Disposable {
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

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async ask(task: EnvelopeTask, keep = false): Promise<{ answer: EnvelopeAnswer; needles: Needles }> {
    const [plaintext, dataKey] = [randomBytes(LENGTH), randomBytes(32)];
    const command: EnvelopeCommand = {
      task,
      plaintext: disguiseBytes(new Uint8Array(plaintext)),
      dataKey: disguiseBytes(new Uint8Array(dataKey)),
      keep,
    };
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error("The process ended");
    const answer = JSON.parse(value) as EnvelopeAnswer;
    return {
      answer,
      needles: { plaintext, dataKey, keys: answer.messageIds.map((id) => keysOf(dataKey, id)) },
    };
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

interface Needles {
  readonly plaintext: Uint8Array;
  readonly dataKey: Uint8Array;
  /** Keys of each message: the AES key, and the one that HMAC makes on the way. */
  readonly keys: readonly { readonly aes: Uint8Array; readonly extracted: Uint8Array }[];
}

function keysOf(dataKey: Uint8Array, messageId: readonly number[]) {
  const salt = new Uint8Array(messageId);
  return {
    aes: new Uint8Array(hkdfSync("sha512", dataKey, salt, KEY_INFO, 32)),
    extracted: new Uint8Array(createHmac("sha512", salt).update(dataKey).digest()),
  };
}

/**
 * Counts all that is secret of a task, by what it is. The end of a frame is left out: the processor's registers have it
 * after C returns, and now and then the runtime writes those to its stack before they are overwritten.
 */
function search(
  pid: number,
  { plaintext, dataKey, keys }: Needles,
  withDerived = true,
): Record<string, number> {
  const places = [0, 16, 999, 2000, 2900, 4096, 6000, 7000, 8192, 8700];
  const wanted: [name: string, needle: Uint8Array][] = [
    ...places.map((at) => [`plaintext at ${at}`, plaintext.subarray(at, at + 16)] as [string, Uint8Array]),
    ["data key", dataKey.subarray(0, 16)],
    ["data key's end", dataKey.subarray(16)],
  ];
  for (const [index, { aes, extracted }] of withDerived ? keys.entries() : []) {
    wanted.push([`AES key ${index}`, aes.subarray(0, 16)], [
      `extracted key ${index}`,
      extracted.subarray(0, 16),
    ]);
    // As HMAC mixes it into its blocks.
    for (const mask of [0x36, 0x5c]) {
      wanted.push([`masked key ${index}, ${mask}`, extracted.subarray(0, 16).map((byte) => byte ^ mask)]);
    }
  }
  const counts = Object.entries(countInMemory(pid, Object.fromEntries(wanted)));
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

/** Registers that a runtime saves would fail one run in some: this is for whoever looks. */
const isSlow = process.env["SLOW"] === "1";
const hasOpenssl = findLibcrypto().libcrypto !== undefined;
const ways = [
  ["OpenSSL", "", !hasOpenssl, hasOpenssl ? "" : ` (skipped: ${findLibcrypto().reason})`],
  ["node:crypto", "off", false, ""],
] as const;

for (const [name, libcrypto, isSkipped, reason] of ways) {
  describe.skipIf(isSkipped || !isSlow)(
    `memory after messages, over ${name}${isSlow ? reason : " (SLOW=1)"}`,
    () => {
      let child: EnvelopeProcess;
      beforeAll(() => {
        child = new EnvelopeProcess(libcrypto);
      });
      afterAll(() => child[Symbol.dispose]());

      for (const [task, outcome] of TASKS) {
        test(`nothing secret after ${task}`, async () => {
          const { answer, needles } = await child.ask(task);
          assert.match(answer.outcome, outcome);
          assert.equal(answer.isOpenssl, libcrypto === "");
          // A stream that is not ended keeps its key, and node:crypto keeps keys until they are collected.
          const withDerived = libcrypto === "" && task !== "abandoned";
          assert.deepEqual(search(child.pid, needles, withDerived), {});
        });
      }

      for (
        const [task, what] of [["signedHeld", "plaintext at 0"], ["cacheKept", "data key"]] as const
      ) {
        test(`the search finds the ${what} of ${task}, whose time has not come`, async () => {
          const { answer, needles } = await child.ask(task);
          assert.match(answer.outcome, /^(?:0|10000)$/);
          assert.ok((search(child.pid, needles, false)[what] ?? 0) > 0);
        });
      }

      test("what is kept on purpose is found", async () => {
        const { needles } = await child.ask("message", true);
        const found = search(child.pid, needles, false);
        for (const what of ["plaintext at 0", "plaintext at 6000", "data key"]) {
          assert.ok((found[what] ?? 0) > 0, what);
        }
      });
    },
  );
}
