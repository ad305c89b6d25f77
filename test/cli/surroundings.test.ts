import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe } from "#test";
import { vsockLink } from "../../cli/doctor/network_links.ts";
import { thisMachine } from "../../cli/doctor/machine.ts";
import { Examination } from "../../cli/doctor/examination.ts";
import { ConnectionError, encodeBase64 } from "../../mod.ts";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import { doublePath } from "../support/sdk_double.ts";
import { Laptop, runChild } from "./child.ts";
import type { Outcome } from "./terminal_double.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests();

const onDeno = "Deno" in globalThis;
const DENO = ["deno", "run", "--quiet", "--no-prompt", "--no-check"];

const sockets = process.env[SUPERVISED_VARIABLE];
const REASON = sockets === undefined || doublePath === undefined
  ? " (skipped: no C compiler, or not run through npm test)"
  : "";

describe("a simulated NSM's socket, on Deno", () => {
  const rights: Readonly<Record<string, readonly string[]>> = {
    "--allow-read": ["--allow-env", "--allow-net", "--allow-write"],
    "--allow-write": ["--allow-env", "--allow-net", "--allow-read"],
    "--allow-net": ["--allow-env", "--allow-read", "--allow-write"],
  };
  for (const [missing, given] of Object.entries(rights)) {
    test.skipIf(!onDeno)(
      `names ${missing} when it is missing${onDeno ? "" : " (skipped: it is Deno's)"}`,
      async () => {
        await using laptop = await Laptop.start();
        const { code, stderr } = await runChild(["attest", ...laptop.nsm], { command: [...DENO, ...given] });
        assert.equal(code, 10, stderr);
        assert.match(stderr, new RegExp(`^hint: Deno lacks a permission: run it with ${missing}$`, "m"));
      },
    );
  }
});

describe("doctor in a process with too few rights", () => {
  const nodeCases: readonly (readonly [string, readonly string[], string])[] = [
    ["Node without --allow-addons", ["node", "--permission", "--allow-fs-read=*"], "--allow-addons"],
  ];
  const denoCases: readonly (readonly [string, readonly string[], string])[] = [
    ["Deno without --allow-ffi", [...DENO, "--allow-read", "--allow-env", "--allow-net"], "--allow-ffi"],
    ["Deno without --allow-net", [...DENO, "--allow-read", "--allow-env", "--allow-ffi"], "--allow-net="],
    ["Deno without --allow-env", [...DENO, "--allow-read", "--allow-net", "--allow-ffi"], "--allow-env="],
    ["Deno with neither", [...DENO, "--allow-read", "--allow-env"], "--allow-net="],
  ];
  for (const [name, command, mending] of onDeno ? denoCases : nodeCases) {
    test(`${name}: names permissions, and the flag`, async () => {
      const { code, stdout } = await runChild(["doctor", "--endpoint", "tcp:127.0.0.1:9"], { command });
      assert.equal(code, 4);
      assert.match(stdout, /^First broken link: permissions: /m);
      assert.match(stdout, new RegExp(`^To mend it: Run (node|deno) with ${mending}`, "m"));
    });
  }

  test.skipIf(onDeno)(
    "Node with --no-addons: names the NSM, which C is called for, and the flag",
    async () => {
      const command = ["node", "--no-addons"];
      const { code, stdout } = await runChild(["doctor", "--endpoint", "tcp:127.0.0.1:9"], { command });
      assert.equal(code, 4);
      assert.match(stdout, /^First broken link: nsm: Cannot call C: Node\.js may not load native code$/m);
      assert.match(
        stdout,
        /^To mend it: Run node with --allow-addons, or without --permission and --no-addons$/m,
      );
      assert.match(stdout, /^code: ERR_LIBRARY_LOAD$/m);
    },
  );

  test.skipIf(!onDeno)("a file that Deno may not read is named, with the flag", async () => {
    const { code, stderr } = await runChild(["verify", "package.json"], { command: DENO });
    assert.equal(code, 1);
    assert.match(stderr, /FILE must be a file that can be read: Deno needs --allow-read/);
  });

  test.skipIf(!onDeno)(
    "Deno without --unstable-vsock is told of before it would end the process",
    async () => {
      const { code, stdout } = await runChild(["doctor"], { command: [...DENO, "--allow-all"] });
      assert.equal(code, 4);
      assert.match(stdout, /^First broken link: permissions: Deno's vsock is switched off/m);
    },
  );

  test("other commands say it in words", async () => {
    const command = onDeno ? [...DENO, "--allow-read"] : ["node", "--permission", "--allow-fs-read=*"];
    const { code, stdout, stderr } = await runChild(["attest"], { command });
    assert.notEqual(code, 0);
    assert.equal(stdout, "");
    assert.match(stderr, onDeno ? /--allow-ffi/ : /^hint: .*--allow-addons/m);
    assert.match(stderr, /^code: ERR_LIBRARY_LOAD$/m);
    assert.doesNotMatch(stderr, /\n\s+at /);
  });
});

test("doctor looks for vsock by listening, which disturbs nobody", async () => {
  const client = { region: "us-east-1" };
  const options = { client, credentials: () => assert.fail(), machine: thisMachine, timeoutMs: 5000 };
  await using examination = new Examination(options, new Map());
  try {
    assert.equal((await vsockLink.examine(examination)).what, "the kernel has vsock");
  } catch (error) {
    // A kernel without: the runner makes of it what the message says.
    assert.ok(error instanceof ConnectionError, String(error));
  }
});

describe.skipIf(REASON !== "")(`the command line over /dev/nsm and the C SDK's double${REASON}`, () => {
  let laptop: Laptop;
  let device: AsyncDisposable;
  let ciphertext: string;

  beforeAll(async () => {
    laptop = await Laptop.start();
    device = await laptop.simulator.nsm.listen(join(sockets ?? "", `nsm-${process.pid}.sock`));
    const { keyId } = await laptop.simulator.createKey();
    ciphertext = encodeBase64(await laptop.simulator.encrypt({ keyId, plaintext: "hello" }));
  });
  afterAll(async () => {
    await device[Symbol.asyncDispose]();
    await laptop[Symbol.asyncDispose]();
  });

  /** Runs a command without `--nsm`, so that it asks the device. */
  function run(words: readonly string[]): Promise<Outcome> {
    const connection = laptop.connection.filter((word) => !laptop.nsm.includes(word));
    return runChild([...words, ...connection], { env: laptop.env });
  }

  for (const engine of ["direct", "sdk", "sdk-client"]) {
    test(`decrypts with engine ${engine}`, async () => {
      const library = engine === "direct" ? [] : ["--library", doublePath ?? ""];
      const outcome = await run(["decrypt", "--ciphertext", ciphertext, "--engine", engine, ...library]);
      assert.equal(outcome.stdout, "PLAINTEXT: aGVsbG8=\n", outcome.stderr);
      assert.equal(outcome.code, 0);
    });
  }

  test("doctor finds the device and the library", async () => {
    const root = ["--root", join(laptop.folder, "root.der")];
    const { code, stdout } = await run([
      "doctor",
      "--timeout-ms",
      "30000",
      "--library",
      doublePath ?? "",
      ...root,
    ]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^ok +library +the C SDK loads from \//m);
    assert.match(stdout, /^ok +nsm +i-\w+-enc\w+ attests$/m);
    assert.match(stdout, /^ok +round-trip/m);
  });

  test("doctor ends, though the device is silent inside C, and names it", async () => {
    laptop.simulator.nsm.injectFault({ kind: "silent" });
    try {
      const { code, stdout } = await run(["doctor", "--engine", "direct"]);
      assert.equal(code, 4);
      assert.match(stdout, /^First broken link: nsm: the NSM does not answer$/m);
    } finally {
      laptop.simulator.nsm.clearFaults();
    }
  });

  test("attest asks the device", async () => {
    const { code, stdout } = await runChild(["attest", "--nonce", "00"]);
    assert.equal(code, 0);
    assert.match(stdout, /^hE/); // 0x84
  });
});
