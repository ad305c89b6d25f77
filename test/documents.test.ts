import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { ATTESTATION_EXIT, EXIT } from "../cli/exit_codes.ts";
import * as library from "../mod.ts";
import { readConfig, variableOf } from "../server/config.ts";
import { Metrics } from "../enclave/telemetry/metrics.ts";
import { OPENAPI_DOCUMENT } from "../server/openapi.ts";
import { FAULT_MATRIX } from "./faults/matrix.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const README = read("README.md");
const SERVER = read("server/README.md");

describe("the documents", () => {
  test("README.md and CHANGELOG.md count the faults of the matrix", () => {
    assert.equal(numberIn(README, /each of (\d+)\s+faults/), FAULT_MATRIX.length);
    assert.equal(numberIn(read("CHANGELOG.md"), /a matrix of (\d+) faults/), FAULT_MATRIX.length);
  });

  test("README.md counts the checks of a document, and verifyAttestation() lists them", () => {
    // What the enclave's own NSM may do wrong is no check of a document.
    const own = ["UNAVAILABLE", "REFUSED", "ANSWER", "BUSY"];
    const checks = Object.keys(ATTESTATION_EXIT).filter((name) => !own.includes(name));
    assert.equal(numberIn(README, /for each of (\d+)\s+checks/), checks.length);
    const listed = [...read("lib/attestation/verify.ts").matchAll(/^ \* \| `(\w+)` \|/gm)].map(([, name]) =>
      name
    );
    assert.deepEqual(listed.toSorted(), checks.toSorted());
  });

  test("README.md names every class of error that the library exports", () => {
    const abstract = ["EnclaveKmsError", "NativeError"];
    const classes = Object.entries(library).filter(([, value]) =>
      typeof value === "function" && value.prototype instanceof library.EnclaveKmsError
    );
    assert.ok(classes.length > 15);
    for (const [name] of classes) {
      if (!abstract.includes(name)) assert.match(README, new RegExp(`^\\|.*\`${name}\`.*\\|`, "m"), name);
    }
  });

  test("server/README.md names every setting, with its variable and default", () => {
    const rows = tableRows(SERVER).filter(([, variable]) =>
      /^`ENCLAVE_KMS_|^file only$/.test(variable ?? "")
    );
    const config: Record<string, unknown> = { ...readConfig({ ENCLAVE_KMS_REGION: "eu-central-1" }) };
    const [, declared = ""] = /^export interface Config \{(.*?)^\}/ms.exec(read("server/config.ts")) ?? [];
    const settings = [...declared.matchAll(/^ {2}readonly (\w+):/gm)].map(([, name = ""]) => name);
    assert.deepEqual(rows.map(([name = ""]) => name.replaceAll("`", "")).toSorted(), settings.toSorted());
    for (const [quoted = "", variable = "", standard = ""] of rows) {
      const name = quoted.replaceAll("`", "");
      if (name !== "callers") assert.ok(variable.startsWith(`\`${variableOf(name)}\``), name);
      if (typeof config[name] === "number") assert.equal(Number(standard), config[name], name);
    }
  });

  test("server/README.md names every route, metric and code", () => {
    const routes = Object.entries(OPENAPI_DOCUMENT.paths).flatMap(([path, methods]) =>
      Object.keys(methods ?? {}).map((method) => `${method.toUpperCase()} ${path}`)
    );
    assert.ok(routes.length > 10);
    for (const route of routes) assert.ok(SERVER.includes(`\`${route}`), route);
    const metrics = [...new Metrics().render().matchAll(/^# TYPE (\w+)/gm)].map((
      [, name = ""],
    ) => name);
    assert.ok(metrics.length > 8);
    for (const name of metrics) assert.ok(SERVER.includes(`\`${name}\``), name);
    const answers = new Set(
      ["enclave", "server"].flatMap(listTypeScript)
        .flatMap((path) => read(path).match(/\bERR_[A-Z_]+[A-Z]\b/g) ?? []),
    );
    // Whose caller is gone gets no answer.
    answers.delete("ERR_CALLER_GONE");
    const table = tableRows(SERVER).filter(([status]) => /^\d{3}/.test(status ?? "")).flat().join();
    const families = [...table.matchAll(/`(ERR_\w+_)…`/g)].map(([, prefix = ""]) => prefix);
    for (const code of answers) {
      const isNamed = table.includes(`\`${code}\``) || families.some((prefix) => code.startsWith(prefix));
      assert.ok(isNamed, code);
    }
  });

  test("cli/README.md names every exit code", () => {
    const codes = tableRows(read("cli/README.md")).map(([code = ""]) => code);
    for (const [name, code] of Object.entries(EXIT)) assert.ok(codes.includes(String(code)), name);
    const byCheck = Object.values(ATTESTATION_EXIT);
    assert.ok(codes.includes(`${Math.min(...byCheck)} to ${Math.max(...byCheck)}`));
  });
});

function read(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

function numberIn(text: string, pattern: RegExp): number {
  const [, found] = pattern.exec(text) ?? [];
  assert.ok(found !== undefined, `${pattern}`);
  return Number(found);
}

/** Every row of every table, as its cells. */
function tableRows(markdown: string): string[][] {
  return [...markdown.matchAll(/^\| (.*) \|$/gm)].map(([, cells = ""]) =>
    cells.split(" | ").map((cell) => cell.trim())
  );
}

/** The TypeScript below a folder, as paths from the root. */
function listTypeScript(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true })
    .map((name) => `${folder}/${String(name)}`)
    .filter((path) => path.endsWith(".ts"));
}
