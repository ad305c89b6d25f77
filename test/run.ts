/**
 * What `npm test` runs: the static checks, then the same tests on Node and on Deno, both with a `/dev/nsm`
 * that the software NSM answers. Prints one line with the totals at the end.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { compileInstrument, supervise } from "../sim/instruments.ts";

interface Outcome {
  readonly code: number;
  readonly output: string;
}

const DENO_FLAGS = ["--allow-all", "--no-prompt", "--unstable-vsock"];

const CHECKS: Readonly<Record<string, readonly string[]>> = {
  "types (tsc)": ["tsc", "-p", "."],
  "types (deno)": ["deno", "check", "--quiet", ...sourceFiles()],
  "lint": ["deno", "lint", "--quiet"],
  "format": ["deno", "fmt", "--check", "--quiet"],
};

const sockets = mkdtempSync(join(tmpdir(), "enclave-kms-nsm-"));
process.on("exit", () => rmSync(sockets, { recursive: true, force: true }));

const failed = [...await runChecks(), ...await runTests()];
if (failed.length > 0) {
  console.error(`\nFailed: ${failed.join(", ")}`);
  process.exitCode = 1;
}

async function runChecks(): Promise<string[]> {
  const failures: string[] = [];
  for (const [name, command] of Object.entries(CHECKS)) {
    const started = performance.now();
    const { code, output } = await run(command);
    console.log(`${code === 0 ? "ok  " : "FAIL"} ${name} (${seconds(started)} s)`);
    if (code === 0) continue;
    console.error(output);
    failures.push(name);
  }
  return failures;
}

async function runTests(): Promise<string[]> {
  const supervised = (await compileInstrument("nsm-supervisor")) !== undefined;
  if (!supervised) {
    console.log("No C compiler: what needs the NSM device or the double of the C SDK is skipped");
  }
  const wrap = (command: string[]) => supervised ? supervise(command, sockets) : command;
  const filters = process.argv.slice(2);
  const denoPaths = filters.length > 0 ? matching(filters) : ["test"];
  const denoCommand = ["deno", "test", "--quiet", "--no-check", ...DENO_FLAGS, ...denoPaths];
  // Side by side, one to a core.
  const [node, deno] = await Promise.all([
    runRuntime("Node", wrap(["vitest", "run", ...filters]), /^\s*Tests\s.*$/m),
    runRuntime("Deno", wrap(denoCommand), /^.*\d+ passed.*failed.*$/m),
  ]);
  for (const { name, code, output, took } of [node, deno]) {
    console.log(
      `\n--- tests on ${name}\n${output}--- ${name}: ${code === 0 ? "ok" : `exit code ${code}`} (${took} s)`,
    );
  }
  const total = (word: "passed" | "failed" | "skipped") => node.counts[word] + deno.counts[word];
  console.log(`\ntests: ${total("passed")} passed, ${total("failed")} failed, ${total("skipped")} skipped`);
  return [node, deno].filter(({ code }) => code !== 0).map(({ name }) => `tests on ${name}`);
}

async function runRuntime(name: string, command: string[], summary: RegExp) {
  const started = performance.now();
  const { code, output } = await run(command);
  const took = seconds(started);
  console.log(`${code === 0 ? "ok  " : "FAIL"} tests on ${name} (${took} s)`);
  return { name, code, output, took, counts: count(output.match(summary)?.[0] ?? "") };
}

/** Vitest's summary counts tests; on Deno a file's groups are tests, and the tests are their steps. */
function count(summary: string): { passed: number; failed: number; skipped: number } {
  const steps = (word: string) => Number(new RegExp(`${word} \\((\\d+) steps?\\)`).exec(summary)?.[1] ?? 0);
  const tests = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(summary)?.[1] ?? 0);
  const number = summary.includes("step") ? steps : tests;
  return {
    passed: number("passed"),
    failed: number("failed"),
    skipped: number("skipped") + number("ignored"),
  };
}

function run(command: readonly string[]): Promise<Outcome> {
  const [program = "", ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    let output = "";
    const collect = (chunk: Uint8Array) => {
      output += String(chunk);
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code: signal === null ? code ?? 1 : 1, output }));
  });
}

function sourceFiles(): string[] {
  const rooms = ["ffi", "lib", "server", "cli", "sim", "bench", "test", "tools"];
  return ["mod.ts", ...rooms.flatMap(listTypeScript)];
}

/** What vitest makes of its filters: every test file whose path has one of them in it. */
function matching(filters: readonly string[]): string[] {
  const tests = listTypeScript("test").filter((path) => path.endsWith(".test.ts"));
  return tests.filter((path) => filters.some((filter) => path.includes(filter)));
}

function listTypeScript(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true })
      .map((name) => join(folder, String(name)))
      .filter((path) => path.endsWith(".ts") && !path.includes("node_modules"));
  } catch {
    return [];
  }
}

function seconds(started: number): string {
  return ((performance.now() - started) / 1000).toFixed(1);
}
