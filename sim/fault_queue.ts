import { checkFields } from "../lib/core/checks.ts";

/** Duration of a fault. */
export interface FaultTimes {
  /** Number of requests that it hits, 1 or more. Default: all, until it is ended. */
  readonly times?: number | undefined;
}

/** The faults in force. The one injected last comes first; each request takes one. */
export class FaultQueue<Fault> {
  #entries: { readonly fault: Fault; left: number }[] = [];

  /**
   * Adds a fault.
   *
   * @param fault The fault
   * @param options Number of requests that it hits
   * @returns Ends the fault when disposed
   * @throws {RangeError} When `times` is not a whole number above 0
   */
  add(fault: Fault, { times = Infinity }: FaultTimes): Disposable {
    if (times !== Infinity && (!Number.isSafeInteger(times) || times < 1)) {
      throw new RangeError("times must be a whole number above 0");
    }
    const entry = { fault, left: times };
    this.#entries.unshift(entry);
    return {
      [Symbol.dispose]: () => void (this.#entries = this.#entries.filter((other) => other !== entry)),
    };
  }

  /**
   * Takes the fault for one request, if any.
   *
   * @param matches Chooses among the faults
   */
  take(matches: (fault: Fault) => boolean = () => true): Fault | undefined {
    const entry = this.#entries.find(({ fault }) => matches(fault));
    if (entry === undefined) return undefined;
    if (--entry.left === 0) this.#entries = this.#entries.filter((other) => other !== entry);
    return entry.fault;
  }

  /** Ends all faults. */
  clear(): void {
    this.#entries = [];
  }
}

/**
 * Checks a fault against the table of all kinds. A misspelt one would do nothing, and a test would pass for
 * that reason.
 *
 * @param fault The caller's fault
 * @param table A fault of each kind, with every field that the kind must have
 * @param options The table's name, for messages, and fields that a fault may have besides
 * @returns A copy
 * @throws {TypeError} When its kind is not in the table, or a field is missing, unknown or of another type
 */
export function checkFault<Fault extends { readonly kind: string }>(
  fault: Fault,
  table: readonly { readonly fault: Fault }[],
  { name, optional = [] }: { readonly name: string; readonly optional?: readonly string[] },
): Fault {
  const sample = table.find((known) => known.fault.kind === fault?.kind)?.fault;
  if (sample === undefined) throw new TypeError(`A fault must have a kind: ${name} has one of each`);
  const checked: Fault = checkFields(`${sample.kind} fault`, fault, [...Object.keys(sample), ...optional]);
  for (const [field, value] of Object.entries(sample)) {
    if (typeof Reflect.get(checked, field) === typeof value) continue;
    throw new TypeError(`${field} of the ${sample.kind} fault must be a ${typeof value}`);
  }
  return checked;
}
