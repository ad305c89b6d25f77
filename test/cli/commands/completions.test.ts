import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { COMMANDS } from "../../../cli/command_table.ts";
import { describe, test } from "#test";
import { runHere } from "../terminal_double.ts";

const hasBash = spawnSync("bash", ["--version"]).status === 0;
const REASON = hasBash ? "" : " (skipped: there is no bash)";

describe.skipIf(!hasBash)(`the completion of bash${REASON}`, () => {
  for (
    const [name, words, expected] of [
      ["commands", ["de"], ["decrypt"]],
      ["every command", [""], [...new Set(COMMANDS.map((command) => command.name.split(" ")[0] ?? ""))]],
      ["flags in place of a command", ["--"], ["--help", "--version"]],
      ["commands of two words", ["policy", ""], ["check", "schema", "try"]],
      ["flags", ["decrypt", "--ci"], ["--ciphertext"]],
      ["flags of commands of two words", ["policy", "try", "--re"], ["--request"]],
      ["all flags", ["attest", "--"], [
        "--nonce",
        "--user-data",
        "--public-key",
        "--out",
        "--format",
        "--nsm",
        "--timeout-ms",
        "--help",
      ]],
      ["choices", ["decrypt", "--engine", "sdk"], ["sdk", "sdk-client"]],
      ["choices after a letter", ["genkey", "-p", "AES-1"], ["AES-128"]],
      ["choices of an argument", ["completions", "b"], ["bash"]],
      ["files after a flag", ["decrypt", "--trusted-certificates", "packag"], [
        "package-lock.json",
        "package.json",
      ]],
      ["files as an argument", ["verify", "packag"], ["package-lock.json", "package.json"]],
      ["nothing for a secret", ["decrypt", "--aws-secret-access-key", "p"], []],
    ] as const
  ) {
    test(`completes ${name}`, async () => {
      assert.deepEqual((await completeInBash(words)).sort(), [...expected].sort());
    });
  }
});

describe("the completions of zsh and fish", () => {
  for (const shell of ["zsh", "fish"]) {
    test(`${shell}: has every command and flag, and passes the shell's own check where there is one`, async () => {
      const { code, stdout } = await runHere(["completions", shell]);
      assert.equal(code, 0);
      for (const { name, flags } of COMMANDS) {
        for (const word of name.split(" ")) assert.match(stdout, new RegExp(`\\b${word}\\b`));
        for (const flag of flags) assert.match(stdout, new RegExp(`(--|-l )${flag.name}\\b`));
      }
      const checked = spawnSync(shell, ["-n"], { input: stdout, encoding: "utf8" });
      if (checked.error === undefined) assert.equal(checked.status, 0, checked.stderr);
    });
  }

  test("another shell is refused, by name", async () => {
    const { code, stderr } = await runHere(["completions", "tcsh"]);
    assert.equal(code, 1);
    assert.match(stderr, /SHELL must be one of bash, zsh, fish/);
  });
});

/** Completes the last of some words in bash. */
async function completeInBash(words: readonly string[]): Promise<string[]> {
  const { stdout } = await runHere(["completions", "bash"]);
  const line = ["enclave-kms", ...words].map((word) => `'${word}'`).join(" ");
  const driver = `COMP_WORDS=(${line}); COMP_CWORD=${words.length}
_enclave_kms
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { status, stdout: reply, stderr } = spawnSync("bash", ["--norc", "-euo", "pipefail"], {
    input: `complete() { :; }\n${stdout}\nset +e\n${driver}\n`,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  assert.equal(stderr, "");
  return reply.split("\n").filter((word) => word !== "");
}
