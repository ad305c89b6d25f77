import { KmsError, ProtocolError } from "../../core/errors.ts";
import { type Checked, type OperationName, OPERATIONS, type Requested } from "./operations.ts";

/** Name of an operation that KMS has a dry run of. */
export type DryRunName = {
  [K in OperationName]: typeof OPERATIONS[K] extends { readonly hasDryRun: true } ? K : never;
}[OperationName];

/** Requests that a dry run takes, by the name of the method. */
export type DryRunRequests = { readonly [K in DryRunName]: Requested<K> };

const NAMES = Object.entries(OPERATIONS).filter(([, { hasDryRun }]) => hasDryRun).map(([name]) => name);

/**
 * Checks the name of a dry run.
 *
 * @param name Name that the caller gave
 * @returns The name
 * @throws {TypeError} When there is no dry run of that name
 */
export function checkDryRunName(name: unknown): DryRunName {
  const known = NAMES.find((one) => one === name);
  if (known !== undefined) return known as DryRunName;
  throw new TypeError(`operation must be one of ${NAMES.join(", ")}`);
}

/**
 * Turns a checked request into its dry run, which KMS answers with a DryRunOperationException if it would do it.
 *
 * @param checked The checked request, whose memory is shared
 * @returns The dry run
 */
export function asDryRun<K extends DryRunName>(checked: Checked<K>): Checked<K> {
  return { ...checked, dryRun: true };
}

/**
 * Waits for KMS to say that it would do what a dry run asks.
 *
 * @param what Verb and object for messages
 * @param running The dry run
 * @throws {ProtocolError} When KMS did it
 * @throws The refusal, when KMS would not do it
 */
export async function expectWillingness(what: string, running: Promise<unknown>): Promise<void> {
  try {
    disposeOf(await running);
  } catch (error) {
    if (error instanceof KmsError && error.kmsCode === "DryRunOperationException") return;
    throw error;
  }
  throw new ProtocolError(`Cannot trust the dry run: KMS did ${what} all the same`, {
    hint: "Does the endpoint lead to KMS?",
  });
}

function disposeOf(result: unknown): void {
  if (typeof result === "object" && result !== null && Symbol.dispose in result) {
    (result as Disposable)[Symbol.dispose]();
  }
}
