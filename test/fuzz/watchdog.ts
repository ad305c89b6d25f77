import { writeFileSync } from "node:fs";
import process from "node:process";
import { Worker, workerData } from "node:worker_threads";

/** An input of a few kilobytes that has not come to an end by then never will, in milliseconds. */
const MAX_RUN_MS = 120_000;
const HEAD = 2;

/**
 * Ends the process when an input never ends, and leaves the input behind. Another thread must: the one that
 * runs the input is busy with it.
 */
export class Watchdog implements Disposable {
  readonly #shared: SharedArrayBuffer;
  readonly #head: Int32Array;
  readonly #worker: Worker;

  /**
   * @param maxLength The longest input
   * @param path File that gets the input
   * @param maxRunMs Time for an input, in milliseconds; it may take up to twice that
   */
  constructor(maxLength: number, path: string, maxRunMs: number = MAX_RUN_MS) {
    this.#shared = new SharedArrayBuffer(4 * HEAD + maxLength);
    this.#head = new Int32Array(this.#shared, 0, HEAD);
    const data: WatchdogData = { shared: this.#shared, path, maxRunMs };
    this.#worker = new Worker(new URL(import.meta.url), { workerData: data });
    this.#worker.unref();
  }

  /** Notes what runs from now on. */
  watch(input: Uint8Array): void {
    new Uint8Array(this.#shared, 4 * HEAD).set(input);
    this.#head[1] = input.length;
    this.#head[0] = (this.#head[0] ?? 0) + 1;
  }

  [Symbol.dispose](): void {
    void this.#worker.terminate();
  }
}

/** Data with which this module is loaded as the other thread. */
interface WatchdogData {
  readonly shared: SharedArrayBuffer;
  readonly path: string;
  readonly maxRunMs: number;
}

function keepWatch({ shared, path, maxRunMs }: WatchdogData): void {
  const head = new Int32Array(shared, 0, HEAD);
  let last = 0;
  setInterval(() => {
    const [count = 0, length = 0] = head;
    if (count === 0 || count !== last) return void (last = count);
    writeFileSync(path, new Uint8Array(shared, 4 * HEAD, length));
    console.error(`An input of ${length} bytes does not end: it is in ${path}`);
    process.kill(process.pid, "SIGKILL");
  }, maxRunMs);
}

if (workerData?.shared instanceof SharedArrayBuffer) keepWatch(workerData as WatchdogData);
