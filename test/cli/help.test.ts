import assert from "node:assert/strict";
import { parseArguments } from "../../cli/arguments.ts";
import { COMMANDS } from "../../cli/command_table.ts";
import { ATTESTATION_EXIT, EXIT } from "../../cli/exit_codes.ts";
import { helpOf, overview } from "../../cli/help.ts";
import { describe, test } from "#test";
import { runHere } from "./terminal_double.ts";

/**
 * From kmstool-enclave-cli/main.c of aws-nitro-enclaves-sdk-c 0.4.2: the table of long options, and their
 * letters.
 */
const KMSTOOL_FLAGS: Readonly<Record<string, readonly string[]>> = {
  decrypt: [
    "region r",
    "proxy-port x",
    "aws-access-key-id k",
    "aws-secret-access-key s",
    "aws-session-token t",
    "ciphertext c",
    "key-id K",
    "encryption-algorithm a",
    "help h",
  ],
  genkey: [
    "region r",
    "proxy-port x",
    "aws-access-key-id k",
    "aws-secret-access-key s",
    "aws-session-token t",
    "key-id K",
    "key-spec p",
    "help h",
  ],
  genrandom: [
    "region r",
    "proxy-port x",
    "aws-access-key-id k",
    "aws-secret-access-key s",
    "aws-session-token t",
    "length l",
    "help h",
  ],
};

describe("help", () => {
  for (const command of COMMANDS) {
    test(`${command.name} --help fits a screen and has every flag`, async () => {
      const { code, stdout, stderr } = await runHere([...command.name.split(" "), "--help"]);
      assert.equal(code, 0);
      assert.equal(stderr, "");
      assertFits(stdout);
      for (const { name } of command.flags) assert.match(stdout, new RegExp(` --${name}\\b`));
    });
  }

  for (const command of COMMANDS) {
    test(`${command.name} --help ends with an example, which is one of it`, () => {
      assert.ok(helpOf(command).endsWith(`\n\nExample: enclave-kms ${command.example}\n`));
      const words = command.example.split(" ");
      const own = command.name.split(" ");
      assert.deepEqual(words.slice(0, own.length), own);
      parseArguments(command, words.slice(own.length));
    });
  }

  test("help of a command of two words is its --help", async () => {
    assert.equal(
      (await runHere(["help", "policy", "check"])).stdout,
      (await runHere(["policy", "check", "-h"])).stdout,
    );
  });

  test("the overview fits a screen, names every command, and warns of secrets in flags", async () => {
    for (const words of [["--help"], ["-h"], ["help"]]) {
      const { code, stdout } = await runHere(words);
      assert.equal(code, 0);
      assert.equal(stdout, overview(COMMANDS));
      assertFits(stdout);
      for (const { name } of COMMANDS) {
        assert.match(stdout, new RegExp(`^  ${name.replace(" ", " .*\\b")}\\b`, "m"));
      }
      assert.doesNotMatch(stdout, /undefined/);
      assert.match(stdout, /Secrets do not belong in flags/);
    }
  });

  test("help COMMAND is COMMAND --help", async () => {
    assert.equal((await runHere(["help", "doctor"])).stdout, (await runHere(["doctor", "-h"])).stdout);
  });

  test("help exit-codes, which verify's names, has every exit code, and no two checks share one", async () => {
    assert.match(helpOf(commandNamed("verify")), /enclave-kms help exit-codes$/m);
    const { code, stdout: text } = await runHere(["help", "exit-codes"]);
    assert.equal(code, 0);
    assertFits(text);
    const codes = Object.values(ATTESTATION_EXIT);
    assert.equal(new Set(codes).size, codes.length);
    for (const [check, code] of Object.entries(ATTESTATION_EXIT)) {
      assert.match(text, new RegExp(`\\b${code} ${check}\\b`));
      assert.ok(!Object.values<number>(EXIT).includes(code) && code < 126, check);
    }
  });
});

describe("the flags of kmstool_enclave_cli", () => {
  for (const [name, expected] of Object.entries(KMSTOOL_FLAGS)) {
    test(`are all there on ${name}, with their letters`, () => {
      const text = helpOf(commandNamed(name));
      for (const flag of expected) {
        const [long, short] = flag.split(" ");
        assert.match(text, new RegExp(`^-${short}, --${long}\\b`, "m"));
      }
    });
  }
});

function assertFits(text: string): void {
  const lines = text.trimEnd().split("\n");
  assert.ok(lines.length <= 24, `${lines.length} lines`);
  for (const line of lines) assert.ok([...line].length <= 80, line);
}

function commandNamed(name: string) {
  const command = COMMANDS.find((candidate) => candidate.name === name);
  assert.ok(command);
  return command;
}
