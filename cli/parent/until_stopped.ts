import process from "node:process";
import type { Parent } from "../../parent/run_parent.ts";
import { EXIT } from "../exit_codes.ts";

/** Signals that end a parent. One that ended the process instead would leave what was launched behind. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/**
 * Waits until a parent has ended, which a signal of this process makes it do in good order, from the first moment on.
 *
 * @param starting Parent that begins
 * @returns The exit code: a failure when an enclave was left
 */
export async function untilStopped(starting: Promise<Parent>): Promise<number> {
  const stop = () => void starting.then((running) => running.close(), () => {});
  for (const signal of SIGNALS) process.on(signal, stop);
  const parent = await starting;
  await parent.closed;
  return parent.state.enclave === undefined ? EXIT.ok : EXIT.failed;
}
