import type { CredentialsLender } from "../aws/credentials_source.ts";
import type { Deadline } from "../core/deadline.ts";
import type { KmsError } from "../core/errors.ts";
import type { Checked, OperationName, Result } from "./operations/operations.ts";

/** Name of an engine. */
export type EngineName = "direct" | "sdk" | "sdk-client";

/** Circumstances of one call, beside its request. */
export interface KmsCall {
  /** Deadline of the whole call, retries included. */
  readonly deadline: Deadline;
  /** Credentials that sign the call's requests. Default: those that the engine was opened with. */
  readonly credentials?: CredentialsLender | undefined;
  /**
   * Called for each refusal of KMS, those that are tried again included. Not by `sdk-client`, which is not told why KMS
   * refuses.
   */
  readonly onRefused?: ((error: KmsError) => void) | undefined;
  /** Called before each try but the first. Not by `sdk-client`. */
  readonly onRetry?: (() => void) | undefined;
}

/** Engine that has KMS work for this enclave. The caller disposes its results. */
export interface KmsEngine extends AsyncDisposable {
  /** Name of the engine. */
  readonly name: EngineName;
  /** See {@link KmsClient.clockOffsetMs}. */
  readonly clockOffsetMs: number;
  /**
   * Time by KMS's last answer, in milliseconds since 1970; undefined until an answer told it, and always on engine
   * `sdk-client`, which does not see it.
   */
  readonly kmsTimeMs: number | undefined;
  /**
   * Asks KMS for the time, without credentials: KMS refuses the request, and says what time it is. Never rejects but for
   * the deadline; {@link KmsEngine.kmsTimeMs} has what came of it.
   *
   * @param deadline Deadline of the question
   */
  askTime(deadline: Deadline): Promise<void>;
  /** Forgets the attestation documents that it keeps: a register was extended since. */
  forgetDocuments(): void;
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
