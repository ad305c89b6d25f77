import type { CredentialsLender } from "../aws/credentials_source.ts";
import type { Deadline } from "../core/deadline.ts";
import type { Checked, OperationName, Result } from "./operations/operations.ts";

/** Name of an engine. */
export type EngineName = "direct" | "sdk" | "sdk-client";

/** Circumstances of one call, beside its request. */
export interface KmsCall {
  /** Deadline of the whole call, retries included. */
  readonly deadline: Deadline;
  /** Credentials that sign the call's requests. Default: those that the engine was opened with. */
  readonly credentials?: CredentialsLender | undefined;
}

/** Engine that has KMS work for this enclave. The caller disposes its results. */
export interface KmsEngine extends AsyncDisposable {
  /** Name of the engine. */
  readonly name: EngineName;
  /** See {@link KmsClient.clockOffsetMs}. */
  readonly clockOffsetMs: number;
  /**
   * Has KMS do one operation.
   *
   * @param name Name of the operation
   * @param checked The request after its check; not changed, and not kept
   * @param call Deadline and credentials
   * @returns KMS's answer, read and opened
   * @throws {UnsupportedOperationError} When the engine cannot do it
   * @throws {KmsError} When KMS refuses, and the other errors of {@link KmsClient.decrypt}
   */
  run<K extends OperationName>(name: K, checked: Checked<K>, call: KmsCall): Promise<Result<K>>;
}
