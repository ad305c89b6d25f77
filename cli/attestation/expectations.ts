import type { Arguments } from "../arguments.ts";
import { UsageError } from "../usage_error.ts";
import { derOf, integer, optionalBytes, readFile, time } from "../values.ts";
import type { Expectations } from "./check_evidence.ts";
import { expectedPcrs } from "./expected_pcrs.ts";

/** Longest `--max-age`, in seconds: ten years. */
const MAX_AGE_SECONDS = 315_360_000;

/**
 * Reads the expectations of `verify`.
 *
 * @param args Flags of the command
 * @throws {UsageError} When a value is malformed, or empty and so would expect nothing
 */
export function readExpectations(args: Arguments): Expectations {
  const root = args.get("root");
  const maxAge = integer(args, "max-age", { min: 0, max: MAX_AGE_SECONDS });
  return {
    nonce: expectedBytes(args, "nonce"),
    userData: expectedBytes(args, "user-data"),
    pcrs: expectedPcrs(args),
    maxAgeMs: maxAge === undefined ? undefined : maxAge * 1000,
    root: root === undefined ? undefined : derOf("root", readFile("root", root), "CERTIFICATE"),
    allowDebug: args.has("allow-debug"),
    at: time(args, "at"),
  };
}

/**
 * Refuses an empty expectation: an empty variable of a script would otherwise match a document without the
 * field.
 */
function expectedBytes(args: Arguments, flag: string): Uint8Array | undefined {
  const expected = optionalBytes(args, flag);
  if (expected?.length !== 0) return expected;
  throw new UsageError(`--${flag} must not be empty: leave it out to expect nothing`);
}
