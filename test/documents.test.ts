import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { CHART, drawChart } from "../bench/draw_chart.ts";
import { PUBLISHED } from "../bench/published.ts";
import { ATTESTATION_EXIT, EXIT } from "../cli/exit_codes.ts";
import { SDK_SYMBOLS } from "../ffi/sdk_symbols.ts";
import { TIMEOUT_STAGES } from "../lib/core/timeout_stage.ts";
import * as library from "../mod.ts";
import { readConfig, variableOf } from "../server/config.ts";
import { Metrics } from "../enclave/telemetry/metrics.ts";
import { OPENAPI_DOCUMENT } from "../server/openapi.ts";
import { FAULT_MATRIX } from "./faults/matrix.ts";
import { tableRows } from "./support/documents.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const README = read("README.md");
const SERVER = read("docs/server.md");
const TROUBLES = read("docs/troubleshooting.md");

describe("the documents", () => {
  test("README.md, SECURITY.md and CHANGELOG.md count the faults of the matrix", () => {
    assert.equal(numberIn(README, /each of (\d+)\s+faults/), FAULT_MATRIX.length);
    assert.equal(numberIn(read("SECURITY.md"), /each of (\d+)\s+faults/), FAULT_MATRIX.length);
    assert.equal(numberIn(read("CHANGELOG.md"), /a matrix of (\d+) faults/), FAULT_MATRIX.length);
  });

  test("docs/attestation.md counts the checks of a document, and verifyAttestation() lists them", () => {
    // What the enclave's own NSM may do wrong is no check of a document, nor are those of a signature.
    const own = ["UNAVAILABLE", "REFUSED", "ANSWER", "BUSY", "BOOT", "PURPOSE", "DATA"];
    const checks = Object.keys(ATTESTATION_EXIT).filter((name) => !own.includes(name));
    assert.equal(numberIn(read("docs/attestation.md"), /for each of (\d+)\s+checks/), checks.length);
    const listed = [...read("lib/attestation/verify.ts").matchAll(/^ \* \| `(\w+)` \|/gm)].map(([, name]) =>
      name
    );
    assert.deepEqual(listed.toSorted(), checks.toSorted());
  });

  test("docs/troubleshooting.md names every class of error that the library exports", () => {
    const abstract = ["EnclaveKmsError", "NativeError"];
    const classes = Object.entries(library).filter(([, value]) =>
      typeof value === "function" && value.prototype instanceof library.EnclaveKmsError
    );
    assert.ok(classes.length > 15);
    for (const [name] of classes) {
      if (!abstract.includes(name)) assert.match(TROUBLES, new RegExp(`^\\|.*\`${name}\`.*\\|`, "m"), name);
    }
  });

  test("docs/server.md names every setting, with its variable and default", () => {
    const rows = tableRows(SERVER).filter(([, variable]) =>
      /^`ENCLAVE_KMS_|^file only$/.test(variable ?? "")
    );
    const config: Record<string, unknown> = { ...readConfig({ ENCLAVE_KMS_REGION: "eu-central-1" }) };
    const settings = ["enclave/base_config.ts", "server/config.ts"].flatMap((path) => {
      const [, declared = ""] = /^export interface (?:Base)?Config\b[^{]*\{(.*?)^\}/ms.exec(read(path)) ?? [];
      return [...declared.matchAll(/^ {2}readonly (\w+):/gm)].map(([, name = ""]) => name);
    });
    assert.deepEqual(rows.map(([name = ""]) => name.replaceAll("`", "")).toSorted(), settings.toSorted());
    for (const [quoted = "", variable = "", standard = ""] of rows) {
      const name = quoted.replaceAll("`", "");
      if (variable !== "file only") assert.ok(variable.startsWith(`\`${variableOf(name)}\``), name);
      if (typeof config[name] === "number") assert.equal(Number(standard), config[name], name);
    }
  });

  test("docs/server.md names every route, metric and code", () => {
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

  test("docs/troubleshooting.md names every code that the library and the server have", () => {
    const sources = ["lib", "enclave", "server"].flatMap(listTypeScript).map(read).join("\n");
    const codes = [...new Set(sources.match(/"ERR_[A-Z_]+[A-Z]"/g))].map((code) => code.slice(1, -1))
      .filter((code) => !/^ERR_(?:TLS|SSL|ACCESS_DENIED)/.test(code));
    const [, faults = ""] = /export type EnvelopeFault =([^;]*);/.exec(sources) ?? [];
    const envelope = Array.from(faults.matchAll(/"(\w+)"/g), ([, fault]) => `ERR_ENVELOPE_${fault}`);
    const [, reasons = ""] = /export type SecretFault =([^;]*);/.exec(sources) ?? [];
    const secret = Array.from(reasons.matchAll(/"(\w+)"/g), ([, fault]) => `ERR_SECRET_${fault}`);
    const [, failures = ""] = /export type ImdsFailure =([^;]*);/.exec(sources) ?? [];
    const imds = Array.from(failures.matchAll(/"(\w+)"/g), ([, failure]) => `ERR_IMDS_${failure}`);
    const [, refusals = ""] = /export type SharedKeyFault =([^;]*);/.exec(sources) ?? [];
    const shared = Array.from(refusals.matchAll(/"(\w+)"/g), ([, fault]) => `ERR_SHARED_KEY_${fault}`);
    assert.ok(
      shared.length > 4 && codes.length > 20 && envelope.length > 8 && secret.length > 8 && imds.length > 8,
    );
    for (const code of [...codes, ...envelope, ...secret, ...imds, ...shared]) {
      assert.ok(TROUBLES.includes(`\`${code}\``), code);
    }
    for (const [check, exit] of Object.entries(ATTESTATION_EXIT)) {
      const row = tableRows(TROUBLES).find(([code]) => code === `\`ERR_ATTESTATION_${check}\``);
      assert.equal(row?.[1], String(exit), check);
    }
  });

  test("docs/troubleshooting.md names every stage that a call may wait for", () => {
    const stages = tableRows(TROUBLES).map(([stage = ""]) => stage);
    for (const stage of Object.keys(TIMEOUT_STAGES)) assert.ok(stages.includes(`\`${stage}\``), stage);
  });

  for (const page of ["cli/README.md", "docs/troubleshooting.md"]) {
    test(`${page} names every exit code`, () => {
      const codes = tableRows(read(page)).map(([code = ""]) => code);
      for (const [name, code] of Object.entries(EXIT)) assert.ok(codes.includes(String(code)), name);
      const byCheck = Object.values(ATTESTATION_EXIT);
      assert.ok(codes.includes(`${Math.min(...byCheck)} to ${Math.max(...byCheck)}`));
    });
  }

  test("README.md lists every entry of package.json, and no other", () => {
    const { exports: entries } = JSON.parse(read("package.json")) as { exports: Record<string, string> };
    const listed = tableRows(README).map(([entry = ""]) => /^`(\.[\w/]*)`$/.exec(entry)?.[1]).filter(Boolean);
    assert.deepEqual(listed.toSorted(), Object.keys(entries).toSorted());
  });

  test("docs/layout.md lists every room", () => {
    const listed = tableRows(read("docs/layout.md")).flatMap(([room = ""]) => room.match(/[\w./]+/g) ?? []);
    const library = readdirSync(join(ROOT, "lib")).map((name) => `lib/${name}/`);
    const { include } = JSON.parse(read("tsconfig.json")) as { include: string[] };
    const others = include.filter((name) => name !== "lib" && name !== "vitest.config.ts")
      .map((name) => name.endsWith(".ts") ? name : `${name}/`);
    assert.deepEqual([...library, ...others].filter((room) => !listed.includes(room)), []);
  });

  test("docs/building-the-c-sdk.md lets out every function that is declared", () => {
    const [, exported = ""] = /global: (\w+)\*; local: \*/.exec(read("docs/building-the-c-sdk.md")) ?? [];
    assert.ok(exported !== "");
    assert.deepEqual(Object.keys(SDK_SYMBOLS).filter((name) => !name.startsWith(exported)), []);
  });

  test("the chart and the pages have the numbers of the published run", () => {
    assert.equal(read(CHART), drawChart(PUBLISHED), "run `node bench/draw_chart.ts`");
    const rows = tableRows(read("docs/benchmarks.md"));
    for (const { label, node, deno } of PUBLISHED.rows) {
      const [, onNode = "", onDeno = ""] = rows.find(([name]) => name === label) ?? [];
      assert.deepEqual([parseFloat(onNode), parseFloat(onDeno)], [node, deno], label);
    }
    assert.ok(read("docs/benchmarks.md").includes(PUBLISHED.date));
    const [subprocess, , , kept] = PUBLISHED.rows;
    const sentence = README.replaceAll("\n", " ");
    assert.ok(sentence.includes(`${kept?.node} ms on Node.js and ${kept?.deno} ms on Deno`));
    assert.ok(sentence.includes(`takes ${subprocess?.node} and ${subprocess?.deno} ms`));
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

/** The TypeScript below a folder, as paths from the root. */
function listTypeScript(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true })
    .map((name) => `${folder}/${String(name)}`)
    .filter((path) => path.endsWith(".ts"));
}
