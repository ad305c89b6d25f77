import { inspect } from "node:util";
import process from "node:process";

/**
 * Runs one check of a scenario: prints a line, and makes the process fail when it fails. The checks after it
 * still run.
 *
 * @param name Claim that it proves
 * @param body The proof; what it returns is printed
 */
export async function check(name: string, body: () => Promise<string | void>): Promise<void> {
  const started = performance.now();
  try {
    const detail = await body();
    const elapsed = `${(performance.now() - started).toFixed(0)} ms`;
    console.log(`ok   ${name} (${detail === undefined ? "" : `${detail}; `}${elapsed})`);
  } catch (error) {
    console.log(`FAIL ${name}\n${inspect(error)}`);
    process.exitCode = 1;
  }
}
