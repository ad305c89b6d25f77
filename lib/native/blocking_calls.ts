import process from "node:process";
import { inspect } from "node:util";
import { isMainThread } from "node:worker_threads";
import { loader } from "#loader";
import { libc } from "./libc.ts";

/** Number of requests to the NSM that may be inside C at once: two thirds of all calls, and at least one less. */
export const MAX_NSM_CALLS: number = Math.floor(loader.maxAsyncCalls * 2 / 3);

/** Checks whether something is inside C that may never return. */
const stuckChecks = new Set<() => boolean>();

let fatal: { error: unknown } | undefined;

/** Number of keys that may be made at once, and of openings that may run at once. More gain nothing beside one event loop. */
export const MAX_COMPUTING: number = Math.min(2, loader.maxAsyncCalls);

/**
 * Kind of thing that a call waits for, and so of the calls that it may hold up. A `key-pair` (tens to hundreds of
 * milliseconds) and an `opening` (a third of one) wait for nothing outside and end soon: they may be in flight beside
 * as many of the others as there are threads.
 */
export type BlockingKind = "nsm" | "other" | "key-pair" | "opening";

/**
 * Runs a C call that may block on another thread, behind a limit for the whole process: blocked calls use up
 * the runtime's threads, and would starve its files and DNS. A silent NSM holds up requests to the NSM, but
 * neither key pairs nor connections; what computes has limits of its own, so that nothing silent holds it up.
 *
 * C cannot be cancelled. A caller who gives up waits no longer, but the call and its memory live until C
 * returns.
 *
 * @param kind Kind of thing that the call waits for
 * @param call Starts the call
 * @returns The result of C
 */
export function runBlocking<T>(kind: BlockingKind, call: () => Promise<T>): Promise<T> {
  guardExit(isAnyInFlight);
  return LANES[kind].run(call);
}

/**
 * Keeps a thread that never returns from C from holding up the end of the process, as a blocked koffi call
 * or worker does: after `process.exit` and after an uncaught error the process then leaves by libc's
 * `_exit`, once all exit handlers are done. With nothing inside C it leaves as usual.
 *
 * Not guaranteed: on both runtimes a call of {@link runBlocking} keeps the event loop alive, so a program
 * that merely runs out of work waits until C returns (a real NSM answers within 120 s); it can call
 * `process.exit`. A worker of the caller's that uses this library is not guarded either: while it is inside
 * C, Node can neither terminate it nor leave.
 *
 * @param isStuck Tells at exit whether something is still inside C
 */
export function guardExit(isStuck: () => boolean): void {
  if (stuckChecks.size === 0 && isProgram()) installExitHandler();
  stuckChecks.add(isStuck);
}

/** Tells the program from its workers, whose end is not the end of the process. In a web worker, Deno says otherwise. */
function isProgram(): boolean {
  return isMainThread && !("WorkerGlobalScope" in globalThis);
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

/** Runs the handlers that were added later: after `_exit` nothing would run them. */
function runHandlersAfter(handler: NodeJS.ExitListener, code: number): void {
  const handlers = process.rawListeners("exit") as NodeJS.ExitListener[];
  try {
    for (const later of handlers.slice(handlers.indexOf(handler) + 1)) later.call(process, code);
  } catch (error) {
    fatal ??= { error };
    process.exitCode = Number(process.exitCode ?? code) || 1;
  }
}

/** Calls of one kind: a limited number runs at once, the others wait in order. */
class Lane {
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  #inFlight = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get isInUse(): boolean {
    return this.#inFlight > 0;
  }

  async run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#inFlight < this.#limit) this.#inFlight++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await call();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#inFlight--;
    }
  }
}

const LANES: Readonly<Record<BlockingKind, Lane>> = {
  nsm: new Lane(MAX_NSM_CALLS),
  other: new Lane(loader.maxAsyncCalls - MAX_NSM_CALLS),
  "key-pair": new Lane(MAX_COMPUTING),
  opening: new Lane(MAX_COMPUTING),
};

const isAnyInFlight = () => Object.values(LANES).some(({ isInUse }) => isInUse);
