import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArguments } from "../../../cli/arguments.ts";
import { COMMANDS } from "../../../cli/command_table.ts";
import { expectedPcrs } from "../../../cli/attestation/expected_pcrs.ts";
import { UsageError } from "../../../cli/usage_error.ts";
import { encodeHex } from "../../../lib/core/encoding.ts";
import { afterAll, beforeAll, describe, test } from "#test";

const [A, B, C] = ["aa", "bb", "cc"].map((byte) => byte.repeat(48)) as [string, string, string];
const MEASUREMENTS = { HashAlgorithm: "Sha384 { ... }", PCR0: A.toUpperCase(), PCR1: B, PCR2: C };

const ENCLAVE = {
  EnclaveName: "app",
  EnclaveID: "i-0123456789abcdef0-enc0123456789abcdef",
  ProcessID: 4711,
  EnclaveCID: 16,
  NumberOfCPUs: 2,
  CPUIDs: [1, 3],
  MemoryMiB: 512,
  State: "RUNNING",
  Flags: "NONE",
  Measurements: MEASUREMENTS,
};

describe("expected registers", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "enclave-kms-pcrs-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function expected(...words: readonly string[]): Readonly<Record<string, readonly string[]>> | undefined {
    const command = COMMANDS.find(({ name }) => name === "verify");
    assert.ok(command);
    const pcrs = expectedPcrs(parseArguments(command, [...words, "document"]));
    return pcrs &&
      Object.fromEntries(Object.entries(pcrs).map(([index, values]) => [index, values.map(encodeHex)]));
  }

  function file(content: unknown): string {
    const path = join(folder, "pcrs.json");
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  }

  test("are none without a flag", () => assert.equal(expected(), undefined));

  test("are named by number, in either spelling, several times", () => {
    assert.deepEqual(expected("--pcr", `0=${A}`, "--pcr0", B, "--pcr8", C), { 0: [A, B], 8: [C] });
    assert.deepEqual(expected(`--pcr31=${A}`), { 31: [A] });
    assert.throws(() => expected("--pcr32", A), /There is no flag/);
    assert.throws(() => expected("--pcr0", `0=${A}`), /--pcr must be a number/);
    assert.throws(() => expected("--pcr0", ""), /--pcr must be a number/);
  });

  const forms: Readonly<Record<string, unknown>> = {
    "nitro-cli build-enclave": { Measurements: MEASUREMENTS },
    "nitro-cli describe-eif": {
      EifVersion: 4,
      Measurements: MEASUREMENTS,
      IsSigned: false,
      CheckCRC: true,
      ImageName: "app",
      Metadata: { BuildTime: "2026-01-31T12:00:00Z" },
    },
    "nitro-cli describe-enclaves": [ENCLAVE],
    "nitro-cli describe-enclaves with two of one image": [ENCLAVE, { ...ENCLAVE, EnclaveCID: 17 }],
    "the measurements alone": MEASUREMENTS,
    "build-summary.json": { name: "app", version: "1.0.0", pcrs: { 0: A, 1: B, 2: C }, image: {} },
  };
  for (const [what, content] of Object.entries(forms)) {
    test(`are read from ${what}`, () => {
      assert.deepEqual(expected("--pcrs", file(content)), { 0: [A], 1: [B], 2: [C] });
    });
  }

  test("of a signed image have PCR8", () => {
    const signed = { Measurements: { ...MEASUREMENTS, PCR8: A } };
    assert.deepEqual(expected("--pcrs", file(signed))?.["8"], [A]);
  });

  test("of a file and of flags are of different registers: which of two was meant cannot be told", () => {
    const path = file({ Measurements: MEASUREMENTS });
    assert.deepEqual(Object.keys(expected("--pcrs", path, "--pcr3", A) ?? {}), ["0", "1", "2", "3"]);
    assert.throws(() => expected("--pcrs", path, "--pcr0", B), /--pcr and --pcrs both name PCR0/);
  });

  const refused: Readonly<Record<string, readonly [content: unknown, expected: RegExp]>> = {
    "two images": [[ENCLAVE, { ...ENCLAVE, Measurements: { ...MEASUREMENTS, PCR1: A } }], /different ones/],
    "one signed and one not": [
      [ENCLAVE, { ...ENCLAVE, Measurements: { ...MEASUREMENTS, PCR8: A } }],
      /different ones/,
    ],
    "no enclave": [[], /no enclave runs/],
    "an enclave without measurements": [[{ EnclaveID: "i-0" }], /it has no PCR0/],
    "debug mode": [{ Measurements: { ...MEASUREMENTS, PCR0: "00".repeat(48) } }, /PCR0 is zero/],
    "a short register": [{ PCR0: "aa" }, /PCR0 is not 96 hex digits/],
    "a register twice": [`{"PCR0":"${A}","PCR0":"${B}"}`, /there twice/],
    "both forms": [{ pcrs: { 0: A }, Measurements: MEASUREMENTS }, /both pcrs and Measurements/],
    "a text": [JSON.stringify(A), /it has no PCR0/],
    "nothing": ["null", /it has no PCR0/],
    "no JSON": ["PCR0=", /it is not JSON/],
    "an empty file": ["", /it is not JSON/],
  };
  for (const [what, [content, message]] of Object.entries(refused)) {
    test(`are not read from ${what}`, () => {
      assert.throws(() => expected("--pcrs", file(content)), (error: Error) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, /^--pcrs must be /);
        assert.match(error.message, message);
        return true;
      });
    });
  }
});
