import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe } from "#test";
import { encodeBase64 } from "../../mod.ts";
import { Laptop, runChild, RUNTIME, withoutProgress } from "./child.ts";
import type { Outcome } from "./terminal_double.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests("Deno");

const hasFull = existsSync("/dev/full");
const REASON = hasFull ? "" : " (skipped: there is no /dev/full)";

const OUTPUT_LOST = 74;
const LOST = (command: string, reason: string) =>
  `enclave-kms${command}: Cannot write the output: ${reason}; the part that was written may be incomplete\n`;

/** Targets of a stream, in the shell's notation. A broken pipe is a FIFO whose only reader has closed it. */
const STREAMS = {
  pipe: () => "",
  full: (descriptor: number) => `exec ${descriptor}>/dev/full`,
  broken: (descriptor: number) => `exec 8<>"$FIFO"; exec ${descriptor}>"$FIFO"; exec 8<&-`,
  closed: (descriptor: number) => `exec ${descriptor}>&-`,
  limited: (descriptor: number) => `trap "" XFSZ; exec ${descriptor}>"$LIMITED"; ulimit -f 1`,
} as const;

type Stream = keyof typeof STREAMS;

describe.skipIf(!hasFull)(`output that cannot be written${REASON}`, () => {
  let laptop: Laptop;
  let keyId: string;
  let ciphertext: string;
  let document: string;

  beforeAll(async () => {
    laptop = await Laptop.start();
    ({ keyId } = await laptop.simulator.createKey());
    ciphertext = encodeBase64(await laptop.simulator.encrypt({ keyId, plaintext: "attack at dawn" }));
    document = `${laptop.folder}/document`;
    execFileSync("mkfifo", [`${laptop.folder}/fifo`]);
    const { code } = await run(["attest", ...laptop.nsm, "--out", document]);
    assert.equal(code, 0);
  });
  afterAll(() => laptop[Symbol.asyncDispose]());

  const connection = () => [...laptop.connection, "--timeout-ms", "60000"];
  const root = () => ["--root", `${laptop.folder}/root.der`];

  /** Commands that fail when their standard output is lost: their result is on it. */
  const products: Readonly<Record<string, () => readonly string[]>> = {
    decrypt: () => ["decrypt", ...connection(), "--ciphertext", ciphertext],
    genkey: () => ["genkey", ...connection(), "--key-id", keyId, "--key-spec", "AES-256"],
    genrandom: () => ["genrandom", ...connection(), "--length", "32"],
    attest: () => ["attest", ...laptop.nsm],
    completions: () => ["completions", "bash"],
  };

  for (const [name, words] of Object.entries(products)) {
    test(`${name}: a full disk and a closed pipe are failures of their own`, async () => {
      for (const [stdout, reason] of [["full", "ENOSPC"], ["broken", "EPIPE"]] as const) {
        const { code, stderr } = await run(words(), { stdout });
        assert.deepEqual([code, withoutProgress(stderr)], [OUTPUT_LOST, LOST(` ${name}`, reason)]);
      }
    });
  }

  test("attest --out: a file that takes only a part is one, and a folder that is not there a mistake in usage", async () => {
    const words = ["attest", ...laptop.nsm, "--out", `${laptop.folder}/part`];
    const { code, stderr } = await run(words, { stdout: "limited" });
    assert.deepEqual([code, withoutProgress(stderr)], [OUTPUT_LOST, LOST(" attest", "EFBIG")]);
    assert.equal((await run(["attest", ...laptop.nsm, "--out", "/none/document"])).code, 1);
  });

  /** The exit code says what matters: who closes the pipe has seen enough. */
  const verdicts: readonly (readonly [string, number, () => readonly string[]])[] = [
    ["verify", 0, () => ["verify", document, ...root()]],
    ["verify", 23, () => ["verify", document]],
    ["policy check", 0, () => ["policy", "check", "examples/policies/tenants.cedar"]],
    ["policy check", 2, () => ["policy", "check", laptop.file("bad.cedar", "permit")]],
    ["policy try", 3, () => ["policy", "try", "examples/policies/tenants.cedar", "--request", "{}"]],
    ["doctor", 0, () => ["doctor", ...connection(), ...root()]],
    ["doctor", 4, () => ["doctor", "--nsm", "/none", "--endpoint", "tcp:127.0.0.1:9", "--timeout-ms", "500"]],
    ["verify", 0, () => ["verify", "--help"]],
    ["", 0, () => ["--help"]],
    ["", 0, () => ["--version"]],
  ];

  for (const [name, verdict, words] of verdicts) {
    test(
      `${name || "the overview"}: ${verdict} survives closed pipes, and a full disk when it is no success`,
      async () => {
        const closed = await run(words(), { stdout: "broken" });
        assert.equal(closed.code, verdict, closed.stderr);
        assert.doesNotMatch(closed.stderr, /Cannot write/);
        const full = await run(words(), { stdout: "full" });
        assert.equal(full.code, verdict === 0 ? OUTPUT_LOST : verdict, full.stderr);
        assert.equal(full.stderr.includes("Cannot write the output: ENOSPC"), verdict === 0);
      },
    );
  }

  for (const stderr of ["full", "broken"] as const) {
    test(`messages that cannot be written change no exit code: ${stderr}`, async () => {
      assert.equal((await run(["decrypt"], { stderr })).code, 1);
      assert.equal((await run(["verify", document], { stderr, stdout: "broken" })).code, 23);
      assert.equal((await run(["completions", "bash"], { stderr, stdout: "full" })).code, OUTPUT_LOST);
    });

    test(`nor does what it says while it waits: ${stderr}`, async () => {
      laptop.simulator.nsm.injectFault({ kind: "latency", ms: 2500 }, { times: 1 });
      const { code, stdout } = await run(products["decrypt"]!(), { stderr });
      assert.equal(code, 0);
      assert.match(stdout, /^PLAINTEXT: \S+\n$/);
    });
  }

  test("a file that takes only a part of the output is a failure", async () => {
    const words = ["verify", document, ...root(), "--json"];
    const { code, stderr } = await run(words, { stdout: "limited" });
    assert.deepEqual([code, stderr], [OUTPUT_LOST, LOST(" verify", "EFBIG")]);
    const part = readFileSync(`${laptop.folder}/limited`, "utf8");
    assert.ok(part.startsWith('{\n  "verified": true,') && !part.endsWith("}\n"));
  });

  test("streams that were closed before the start are /dev/null to both runtimes: the verdict stays", async () => {
    const streams = { stdout: "closed", stderr: "closed" } as const;
    assert.equal((await run(["verify", document], streams)).code, 23);
    assert.equal((await run(["verify", document, ...root()], streams)).code, 0);
  });

  function run(
    words: readonly string[],
    { stdout = "pipe", stderr = "pipe" }: { readonly stdout?: Stream; readonly stderr?: Stream } = {},
  ): Promise<Outcome> {
    const script = [STREAMS[stdout](1), STREAMS[stderr](2), 'exec "$@"'].filter(Boolean).join("\n");
    const env = { ...laptop.env, FIFO: `${laptop.folder}/fifo`, LIMITED: `${laptop.folder}/limited` };
    return runChild(words, { env, command: ["sh", "-c", script, "sh", ...RUNTIME] });
  }
});
