import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { parseArguments } from "../../cli/arguments.ts";
import type { Command } from "../../cli/command.ts";
import { UsageError } from "../../cli/usage_error.ts";
import { describe, test } from "#test";
import { runHere } from "./terminal_double.ts";

const COMMAND: Command = {
  name: "sample",
  summary: "does nothing",
  example: "sample file",
  argument: { name: "FILE" },
  flags: [
    { name: "region", short: "r", value: "REGION", help: "a region" },
    { name: "engine", value: "NAME", choices: ["sdk", "direct"], help: "one of" },
    { name: "pcr", value: "N=HEX", isMany: true, help: "a register" },
    { name: "secret", value: "SECRET", isSecret: true, help: "a secret" },
    { name: "json", help: "prints JSON" },
  ],
  load: () => Promise.reject(new Error("not run")),
};

describe("parseArguments()", () => {
  test("takes long and short flags, values after a space or a =, and an argument anywhere", () => {
    for (
      const words of [
        ["--region", "eu-central-1", "file", "--json"],
        ["--json", "--region=eu-central-1", "file"],
        ["file", "-r", "eu-central-1", "--json"],
      ]
    ) {
      const args = parseArguments(COMMAND, words);
      assert.equal(args.get("region"), "eu-central-1");
      assert.equal(args.argument, "file");
      assert.equal(args.has("json"), true);
      assert.equal(args.get("engine"), undefined);
    }
  });

  test("keeps the last of a flag that is given twice, and all of one that may be", () => {
    const args = parseArguments(COMMAND, ["f", "-r", "a", "-r", "b", "--pcr", "0=00", "--pcr", "1=11"]);
    assert.equal(args.get("region"), "b");
    assert.deepEqual(args.all("pcr"), ["0=00", "1=11"]);
  });

  test("a value may begin with a dash, as getopt has it", () => {
    assert.equal(parseArguments(COMMAND, ["f", "--region", "-x"]).get("region"), "-x");
  });

  test("what follows -- is no flag", () => {
    assert.equal(parseArguments(COMMAND, ["--", "--json"]).argument, "--json");
  });

  for (
    const [name, words, message] of [
      ["an unknown flag", ["f", "--regoin", "x"], /^There is no flag --regoin; is --region meant\?$/],
      ["an unknown flag like help", ["f", "--hepl"], /^There is no flag --hepl; is --help meant\?$/],
      ["one that is like none", ["f", "--zzzzzzzzz"], /^There is no flag --zzzzzzzzz$/],
      ["a secret in a flag's place", ["f", "--wJalrXUtnFEMI"], /^There is no flag of that name$/],
      ["a missing value", ["f", "--region"], /^--region needs a value: REGION$/],
      ["a value for a switch", ["f", "--json=1"], /^--json takes no value$/],
      ["another choice", ["f", "--engine", "steam"], /^--engine must be one of sdk, direct$/],
      ["no argument", [], /^A FILE is expected$/],
      ["two arguments", ["a", "b"], /^One FILE is expected, and not 2$/],
    ] as const
  ) {
    test(`names ${name}`, () => {
      assert.throws(
        () => parseArguments(COMMAND, words),
        (error) => error instanceof UsageError && message.test(error.message),
      );
    });
  }

  test("a flag that is not in the command's table is a mistake of ours", () => {
    assert.throws(() => parseArguments(COMMAND, ["f"]).get("length"), /sample has no flag length/);
  });
});

describe("run()", () => {
  test("names the commands when it is given none, or an unknown one", async () => {
    for (const words of [[], ["decrpyt"], ["policy"], ["policy", "burn"]]) {
      const { code, stdout, stderr } = await runHere(words);
      assert.equal(code, 1);
      assert.equal(stdout, "");
      assert.match(stderr, /expected a command: .*(decrypt|policy check, policy try)/);
    }
  });

  test("names the command that a mistyped one was meant to be, and repeats no word", async () => {
    for (
      const [words, meant] of [
        [["decrpyt"], "decrypt"],
        [["gen-key"], "genkey"],
        [["polciy"], "policy"],
        [["policy", "chekc"], "policy check"],
        [["polciy", "try"], "policy try"],
      ] as const
    ) {
      const { code, stderr } = await runHere([...words, "--json"]);
      assert.equal(code, 1);
      assert.ok(stderr.startsWith("enclave-kms: expected a command: "), stderr);
      assert.match(stderr, new RegExp(`; is ${meant} meant\\?$`, "m"));
    }
    // A word that is meant as it is wants another after it.
    assert.doesNotMatch((await runHere(["policy"])).stderr, /meant/);
    const { stderr } = await runHere(["c2VjcmV0LXZhbHVl"]);
    assert.doesNotMatch(stderr, /meant|c2Vj/);
  });

  test("--version prints the version of package.json, which is deno.json's", async () => {
    const version = (file: string) =>
      JSON.parse(readFileSync(new URL(file, import.meta.url), "utf8")).version;
    for (const word of ["--version", "-V"]) {
      const { code, stdout, stderr } = await runHere([word]);
      assert.deepEqual([code, stdout, stderr], [0, `enclave-kms ${version("../../package.json")}\n`, ""]);
    }
    assert.equal(version("../../deno.json"), version("../../package.json"));
  });

  test("says which flag, what was expected, and where the help is", async () => {
    const { code, stderr } = await runHere(["genkey", "--key-spec", "AES-512"]);
    assert.equal(code, 1);
    assert.equal(
      stderr,
      "enclave-kms genkey: --key-spec must be one of AES-256, AES-128\nTry: enclave-kms genkey --help\n",
    );
  });

  test("never repeats a value, whatever is wrong with it", async () => {
    const secret = "c2VjcmV0LXZhbHVl";
    for (
      const words of [
        ["decrypt", secret],
        ["decrypt", `--aws-secret-access-key${secret}`],
        ["decrypt", "-k", "id", "-s", secret, "--region", `${secret}!`, "--ciphertext", secret],
        ["decrypt", "-k", "id", "-s", secret, "--endpoint", secret, "--ciphertext", secret],
        ["decrypt", "-k", "id", "-s", secret, "--ciphertext", `${secret}=!`],
        ["decrypt", "-k", "id", "-s", secret, "-t", secret, "--encryption-context", secret, "-c", secret],
        ["genrandom", "-k", "id", "-s", secret, "--length", secret],
        ["verify", "--pcr", secret, "-"],
        ["attest", "--nonce", secret],
        ["policy", "try", "x.cedar", "--request", secret],
      ]
    ) {
      const { code, stdout, stderr } = await runHere(words);
      assert.notEqual(code, 0, words[0]);
      assert.equal(stdout, "");
      assert.ok(!stderr.includes(secret), stderr);
      assert.doesNotMatch(stderr, /\n\s+at /);
    }
  });
});
