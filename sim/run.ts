/**
 * `npm run simulate -- <command>`: runs a program that uses `enclave-kms/enclave` in a simulated enclave, with
 * credentials set, and a KMS key `alias/simulated` that only this enclave can use.
 *
 * @module
 */
import process from "node:process";
import { STDERR, tryWriteAll } from "../lib/core/write_all.ts";
import { runSimulated } from "./mod.ts";

const command = process.argv.slice(2);
if (command.length === 0) {
  tryWriteAll(STDERR, "Usage: npm run simulate -- <command>, such as node examples/sign-service/main.ts\n");
  process.exit(2);
}
process.exitCode = await runSimulated(command);
