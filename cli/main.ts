#!/usr/bin/env node
/**
 * Command line: `enclave-kms` where the package is installed, or `node cli/main.ts`, or `deno run …
 * cli/main.ts`.
 *
 * @module
 */
import process from "node:process";
import { STDERR, tryWriteAll } from "../lib/core/write_all.ts";
import { keepCompiledCode } from "./compile_cache.ts";
import { EXIT, KMSTOOL_COMMANDS } from "./exit_codes.ts";

// The runtimes' own reports print messages and stacks, which may hold anything.
for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(event, () => {
    tryWriteAll(STDERR, `enclave-kms: a defect: ${event}\n`);
    process.exit(EXIT.defect);
  });
}

keepCompiledCode();
const words = process.argv.slice(2);
// Loaded from here on: the cache holds what is loaded after it was found.
const { runProgram } = KMSTOOL_COMMANDS.includes(words[0] ?? "")
  ? await import("./kms_program.ts")
  : await import("./program.ts");

// Not process.exitCode: an NSM that is silent would keep the process until it answers.
process.exit(await runProgram(words));
