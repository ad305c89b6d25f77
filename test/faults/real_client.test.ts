import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, test } from "#test";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import { FAULT_MATRIX } from "./matrix.ts";
import { nameCode } from "./outcome.ts";

const SCRIPT = fileURLToPath(new URL("real_client.ts", import.meta.url));
const TRIES = 2;
const TIMEOUT_MS = 120_000;

const runtime = "Deno" in globalThis ? "Deno" : "Node";
const skip = process.env["ENCLAVE_KMS_SDK_LIBRARY"] === undefined ||
  process.env[SUPERVISED_VARIABLE] === undefined;
const REASON = skip ? " (skipped: needs ENCLAVE_KMS_SDK_LIBRARY and npm test)" : "";

/** One of each kind: refused, answered with rubbish, cut off, late. The whole table is run by hand. */
const ROWS = ["400 DisabledException", "a web page", "a reset in the request", "KMS answers late"];

describe.skipIf(skip)(`faults on engine sdk-client over the real C SDK${REASON}`, () => {
  for (const name of ROWS) {
    test(`${name}: as the table says, or not at all`, async () => {
      const row = FAULT_MATRIX.find((each) => each.name === name);
      assert.ok(row);
      const options = ["--row", name, "--tries", String(TRIES), "--runtime", runtime];
      const { stdout } = await promisify(execFile)("node", [SCRIPT, ...options]);
      const told = stdout.split("\n").find((line) => line.startsWith(`${row.group}: ${name}: `)) ?? "";
      const outcomes = told.slice(`${row.group}: ${name}: `.length).split("; then ")[0] ?? "";
      const seen = outcomes.split(", ").map((outcome) => outcome.split(" ")[0]);
      const allowed = [nameCode(row.expected["sdk-client"]), "ERR_TIMEOUT", "SIGSEGV", "SIGABRT"];
      assert.ok(seen.length > 0 && seen.every((outcome) => allowed.includes(outcome ?? "")), stdout);
    }, TIMEOUT_MS);
  }
});
