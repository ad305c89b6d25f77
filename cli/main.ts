#!/usr/bin/env node
/**
 * Command line: `enclave-kms` where the package is installed, or `node cli/main.ts`, or `deno run …
 * cli/main.ts`.
 *
 * @module
 */
import process from "node:process";
import { STDERR, tryWriteAll } from "../lib/core/write_all.ts";
import { EXIT } from "./exit_codes.ts";
import { run } from "./run.ts";
import { ProcessTerminal } from "./terminal.ts";

// The runtimes' own reports print messages and stacks, which may hold anything.
for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(event, () => {
    tryWriteAll(STDERR, `enclave-kms: a defect: ${event}\n`);
    process.exit(EXIT.defect);
  });
}

// Not process.exitCode: an NSM that is silent would keep the process until it answers.
process.exit(await run(process.argv.slice(2), new ProcessTerminal()));
