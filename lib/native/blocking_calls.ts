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
let fatal: { error: unknown } | undefined;

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
 * Keeps a thread that never returns from C from holding up the end of the process, as a blocked koffi call
 * or worker does: after `process.exit` and after an uncaught error the process then leaves by libc's
 * `_exit`, once all exit handlers are done. With nothing inside C it leaves as ever.
 *
 * Not guaranteed: on both runtimes a call of {@link runBlocking} keeps the event loop alive, so a program
 * that merely runs out of work waits until C returns (a real NSM answers within 120 s); it can call
 * `process.exit`. Nor is anything guarded for a worker of the caller's that uses this library: while it is
 * inside C, Node can neither terminate it nor leave.
 *
 * @param isStuck Says at exit whether something is still inside C
 */
export function guardExit(isStuck: () => boolean): void {
  if (stuckChecks.size === 0 && isMainThread) installExitHandler();
  stuckChecks.add(isStuck);
}

function installExitHandler(): void {
  const { _exit } = libc().call;
  process.on("uncaughtExceptionMonitor", (error) => {
    if (!isCaught()) fatal = { error };
  });
  process.on("exit", function leave(code) {
    if (![...stuckChecks].some((isStuck) => isStuck())) return;
    runHandlersAfter(leave, code);
    // Node prints an uncaught error only after its handlers.
    if (fatal) process.stderr.write(`${inspect(fatal.error)}\n`);
    _exit(Number(process.exitCode ?? code));
  });
}

function isCaught(): boolean {
  return process.listenerCount("uncaughtException") > 0 || process.hasUncaughtExceptionCaptureCallback();
}

/** Those that were added later: after `_exit` nobody would run them. */
function runHandlersAfter(handler: NodeJS.ExitListener, code: number): void {
  const handlers = process.rawListeners("exit") as NodeJS.ExitListener[];
  try {
    for (const later of handlers.slice(handlers.indexOf(handler) + 1)) later.call(process, code);
  } catch (error) {
    fatal ??= { error };
    process.exitCode = Number(process.exitCode ?? code) || 1;
  }
}
