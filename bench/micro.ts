/**
 * Cost of parts of the library on one runtime: `node bench/micro.ts`. Answers every line of JSON, a {@link
 * MicroOrder}, with rows of the table.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import type { Complaint } from "./child.ts";
import { attestationRows } from "./micro/attestation.ts";
import { ffiRows } from "./micro/ffi.ts";
import { policyRows } from "./micro/policy.ts";
import type { Turns } from "./micro/turns.ts";
import type { Row } from "./table.ts";

/** The parts, in the order of the table. */
export const PARTS: readonly MicroPart[] = ["ffi", "policy", "attestation"];

/** Part that can be measured by itself. */
export type MicroPart = "ffi" | "policy" | "attestation";

/** Part to measure and number of turns. */
export interface MicroOrder extends Turns {
  readonly part: MicroPart;
}

const ROWS: Readonly<Record<MicroPart, (turns: Turns) => Promise<Row[]>>> = {
  ffi: ffiRows,
  policy: policyRows,
  attestation: attestationRows,
};

if (import.meta.main) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { part, ...turns } = JSON.parse(line) as MicroOrder;
    const answer = await ROWS[part](turns).catch((error): Complaint => ({ complaint: `${part}: ${error}` }));
    console.log(JSON.stringify(answer));
  }
}
