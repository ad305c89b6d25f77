import { type Simulator, type SimulatorOptions, startSimulator } from "./simulator.ts";

/** Registers a function that runs once, before or after the tests of a file. */
export type RegisterHook = (run: () => Promise<void>) => unknown;

/** Hooks of a test runner: `beforeAll` and `afterAll` of vitest, Jest and Deno.test, or `before` and `after` of node:test. */
export type SimulatorHooks =
  | { readonly beforeAll: RegisterHook; readonly afterAll: RegisterHook }
  | { readonly before: RegisterHook; readonly after: RegisterHook };

/** Simulator of a file of tests. */
export interface TestSimulator {
  /** The running simulator; reading it outside of the tests throws an error. */
  readonly current: Simulator;
}

/** Names by which clients of others, such as AWS SDKs, reach it. */
const NAMES: readonly string[] = ["localhost", "127.0.0.1"];

/**
 * Starts a simulator before the tests of a file, and stops it after them. It imports no test runner: it is given the
 * runner's hooks. KMS's certificate also names `localhost` and 127.0.0.1.
 *
 * @param hooks Hooks of the test runner
 * @param options Options of {@link startSimulator}
 * @returns The simulator, for the tests
 * @throws {TypeError} When there are no such hooks
 * @example
 * ```ts
 * import { after, before } from "node:test";
 * import { type TestSimulator, useSimulator } from "enclave-kms/sim";
 *
 * const use = (): TestSimulator => useSimulator({ before, after }); // at the top of a file of tests
 * ```
 */
export function useSimulator(hooks: SimulatorHooks, options: SimulatorOptions = {}): TestSimulator {
  const { start, end } = registersOf(hooks);
  let running: Simulator | undefined;
  start(async () => {
    running = await startSimulator({ ...options, names: [...NAMES, ...options.names ?? []] });
  });
  end(async () => {
    const ended = running;
    running = undefined;
    await ended?.close();
  });
  return {
    get current(): Simulator {
      if (running === undefined) throw new Error("The simulator runs within tests only: read it there");
      return running;
    },
  };
}

/** Reads the hooks once. They are called as methods, which the runner may need. */
function registersOf(hooks: SimulatorHooks): { start: RegisterHook; end: RegisterHook } {
  const given: Partial<Record<"before" | "after" | "beforeAll" | "afterAll", RegisterHook>> = hooks;
  const [first, last] = given.beforeAll === undefined
    ? ["before", "after"] as const
    : ["beforeAll", "afterAll"] as const;
  if (typeof given[first] !== "function" || typeof given[last] !== "function") {
    throw new TypeError("hooks must have beforeAll and afterAll, or before and after");
  }
  return { start: (run) => given[first]?.(run), end: (run) => given[last]?.(run) };
}
