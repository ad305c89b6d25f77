import process from "node:process";
import { inspect } from "node:util";
import { isMainThread } from "node:worker_threads";
import { loader } from "#loader";
import { libc } from "./libc.ts";

/** Calls that wait for a free place, first come, first served. */
const waiting: (() => void)[] = [];

/** Each says whether something is inside C that may never return. */
const stuckChecks = new Set<() => boolean>();

const isAnyInFlight = () => inFlight > 0;

let inFlight = 0;
let uncaught: { error: unknown } | undefined;

/**
 * Runs a C call that may block on another thread, behind one limit for the whole process: blocked calls
 * use up the runtime's threads, and would starve its files and DNS.
 *
 * C cannot be cancelled. Whoever gives up waits no longer, but the call and the memory it uses live until
 * C returns.
 *
 * @param call Starts the call
 * @returns What C returned
 */
export async function runBlocking<T>(call: () => Promise<T>): Promise<T> {
  guardExit(isAnyInFlight);
  if (inFlight >= loader.maxAsyncCalls) await new Promise<void>((resolve) => waiting.push(resolve));
  else inFlight++;
  try {
    return await call();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else inFlight--;
  }
}

/**
 * Keeps a thread that never returns from C from holding up `process.exit`, as a blocked koffi call or
 * worker does: the process then leaves by libc's `_exit`, after all other exit handlers are done.
 *
 * @param isStuck Says at exit whether something is still inside C
 */
export function guardExit(isStuck: () => boolean): void {
  if (stuckChecks.size === 0 && isMainThread) installExitHandler();
  stuckChecks.add(isStuck);
}

function installExitHandler(): void {
  const { _exit } = libc().call;
  process.on("uncaughtExceptionMonitor", (error) => (uncaught = { error }));
  process.on("exit", (code) => {
    if (![...stuckChecks].some((isStuck) => isStuck())) return;
    // Node prints an uncaught error only after this handler.
    if (uncaught) process.stderr.write(`${inspect(uncaught.error)}\n`);
    _exit(Number(process.exitCode ?? code));
  });
}
