import { loader } from "#loader";
import type { NativeLibrary, SymbolTable } from "../../ffi/symbols.ts";
import { compileInstrument } from "../../sim/instruments.ts";

const DOUBLE_SYMBOLS = {
  double_reset: { parameters: [], result: ["void", "void"] },
  double_log: {
    parameters: [["bytes", "uint8_t *out"], ["usize", "size_t capacity"]],
    result: ["usize", "size_t"],
  },
  double_live: { parameters: [], result: ["usize", "size_t"] },
  double_violations: {
    parameters: [["bytes", "uint8_t *out"], ["usize", "size_t capacity"]],
    result: ["usize", "size_t"],
  },
  double_fail: {
    parameters: [["bytes", "const char *function"], ["u32", "uint32_t nth"]],
    result: ["void", "void"],
  },
  double_stall: { parameters: [["bytes", "const char *function"]], result: ["void", "void"] },
  double_release_stalls: { parameters: [], result: ["void", "void"] },
  double_stalled: { parameters: [], result: ["u32", "uint32_t"] },
  double_share_key: { parameters: [["u32", "uint32_t share"]], result: ["void", "void"] },
  double_set_last_error: { parameters: [["i32", "int32_t code"]], result: ["void", "void"] },
  double_set_canary: {
    parameters: [["bytes", "const uint8_t *canary"], ["usize", "size_t length"]],
    result: ["void", "void"],
  },
} as const satisfies SymbolTable;

/** The path of the compiled double, or `undefined` where there is no C compiler. */
export const doublePath: string | undefined = await compileInstrument("sdk-double");

/** Suffix of a test's name when it is skipped for want of the double. */
export const WITHOUT_DOUBLE: string = doublePath === undefined ? " (skipped: no C compiler)" : "";

/** See {@link SdkDouble.shareKey}: for test files to which it does not matter whose key pair it is. */
export function shareKeyOfDouble(): void {
  if (doublePath !== undefined) new SdkDouble(doublePath).shareKey();
}

const encode = (text: string) => new TextEncoder().encode(`${text}\0`);

/** The double's own controls: what C code cannot reach and only tests use. */
export class SdkDouble {
  readonly #path: string;
  #loaded: NativeLibrary<typeof DOUBLE_SYMBOLS> | undefined;

  /** @param path Loaded on first use: a group of tests that is skipped makes its double all the same */
  constructor(path: string) {
    this.#path = path;
  }

  get #call(): NativeLibrary<typeof DOUBLE_SYMBOLS>["call"] {
    return (this.#loaded ??= loader.open(this.#path, DOUBLE_SYMBOLS, { isolated: true })).call;
  }

  /** Forgets the log, the counters and all plans. */
  reset(): void {
    this.#call.double_reset();
  }

  /** Reads the acquisitions, calls and releases, in order. */
  log(): string[] {
    return this.#text(this.#call.double_log);
  }

  /** Reads the misuse that the double noticed. */
  violations(): string[] {
    return this.#text(this.#call.double_violations);
  }

  /** Counts the acquisitions that were not released. */
  live(): number {
    return this.#call.double_live();
  }

  /** Makes the n-th call of a function from now on fail as the real one does. */
  fail(cFunction: string, nth = 1): void {
    this.#call.double_fail(encode(cFunction), nth);
  }

  /** Makes calls of a function wait until {@link releaseStalls}. */
  stall(cFunction: string): void {
    this.#call.double_stall(encode(cFunction));
  }

  /** Lets all waiting calls go on. */
  releaseStalls(): void {
    this.#call.double_release_stalls();
  }

  /** Counts the threads that wait in the double. */
  stalled(): number {
    return this.#call.double_stalled();
  }

  /**
   * Gives all key pairs from now on one RSA key: it takes a tenth of a second to make. {@link reset} leaves
   * it so.
   */
  shareKey(): void {
    this.#call.double_share_key(1);
  }

  /** Sets the result of `aws_last_error` after the next planned failure. */
  setLastError(code: number): void {
    this.#call.double_set_last_error(code);
  }

  /** Sets a secret that must not be in memory when the double releases it. */
  setCanary(canary: Uint8Array<ArrayBuffer>): void {
    this.#call.double_set_canary(canary, canary.length);
  }

  #text(read: (out: Uint8Array<ArrayBuffer>, capacity: number) => number): string[] {
    const out = new Uint8Array(new ArrayBuffer(1 << 20));
    const length = read(out, out.length);
    return new TextDecoder().decode(out.subarray(0, length)).split("\n").filter((line) => line !== "");
  }
}
