import type { CallOptions } from "../../core/call_options.ts";
import type { Members } from "./operation.ts";
import { checkGrantTokens } from "./request_fields.ts";

/** Fields that all requests for a key of the caller's share. */
export interface KeyRequest extends CallOptions {
  /**
   * Tokens of grants that are too new for KMS to know everywhere: up to ten, of 1 to 8192 characters.
   * Not on engine `sdk-client`, which has no parameter for them.
   */
  readonly grantTokens?: readonly string[] | undefined;
}

/** Checked form of {@link KeyRequest}. */
export interface CheckedKeyRequest {
  /** Up to ten tokens of at most 8192 characters. */
  readonly grantTokens: readonly string[] | undefined;
  /** Whether KMS is only asked if it would. */
  readonly dryRun: boolean;
}

/**
 * Checks the fields that requests for a key share.
 *
 * @param request The request
 * @returns The checked fields, of a request that is no dry run
 * @throws {TypeError} When a field is of a wrong type
 * @throws {RangeError} When there are too many grant tokens, or one is empty or too long
 */
export function checkKeyRequest(request: KeyRequest): CheckedKeyRequest {
  return { grantTokens: checkGrantTokens(request.grantTokens), dryRun: false };
}

/**
 * Lists the members that requests for a key share.
 *
 * @param checked The checked request
 * @returns The members
 */
export function keyMembers({ grantTokens, dryRun }: CheckedKeyRequest): Members {
  return { GrantTokens: grantTokens, DryRun: dryRun ? true : undefined };
}
