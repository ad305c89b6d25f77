/** Thread that works: the program's own, a worker of `node:worker_threads`, or a web worker of Deno's. */
export type KeyPairThread = "program" | "worker" | "web worker";

/** Work that has calls of OpenSSL in flight all the time. */
export type KeyPairWork = "key pairs" | "openings" | "key pairs and openings" | "clients";

/** Way in which the thread ends in the middle of its work; `done` means after it. The exit code that it asks for is 7. */
export type KeyPairEnd =
  | "done"
  | "process.exit"
  | "Deno.exit"
  | "uncaught error"
  | "terminate"
  | "process.exit of the program";

/** Task of a process. */
export interface KeyPairTask {
  readonly thread: KeyPairThread;
  readonly work: KeyPairWork;
  readonly end: KeyPairEnd;
}
