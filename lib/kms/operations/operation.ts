import type { CallOptions } from "../../core/call_options.ts";
import type { RequestFacts } from "../../core/request_facts.ts";
import type { KmsReply } from "./kms_reply.ts";

/** Members of a request as JSON has them; undefined ones are left out. */
export type Members = Readonly<Record<string, unknown>>;

/** Request as a JSON body carries it: bytes are base64. */
export type JsonRequest<Request> = {
  readonly [Field in keyof Request]: Uint8Array extends Request[Field] ? string : Request[Field];
};

/**
 * One operation of KMS, told in one place: its check, its members on the wire, its result, and its facts for a policy.
 *
 * @see https://docs.aws.amazon.com/kms/latest/APIReference/API_Operations.html
 */
export interface Operation<
  Request extends CallOptions,
  Checked,
  Result,
  Action extends string = string,
> {
  /** Name in KMS's API, such as `Decrypt`; the same name is the action that a policy is asked about. */
  readonly action: Action;
  /** Verb and object for messages, such as `decrypt` in "Cannot decrypt". */
  readonly what: string;
  /** Whether KMS takes a Recipient, and then encrypts the secret in its answer to it. */
  readonly attested: boolean;
  /** Whether KMS has a dry run of the operation. */
  readonly hasDryRun: boolean;
  /**
   * Checks and copies a request: the result shares no memory with the caller's, and nothing in it is wrong in form.
   *
   * @throws {TypeError} When a field is missing, unknown or of a wrong type
   * @throws {RangeError} When a field is too short or too long
   */
  check(request: Request): Checked;
  /** Checks a request from a JSON body. Default: {@link Operation.check}, where that takes base64. */
  checkJson?(request: JsonRequest<Request>): Checked;
  /** Wipes the secrets that the check copied. */
  release?(checked: Checked): void;
  /** Lists the members of the request, without the Recipient and the secret one. */
  members(checked: Checked): Members;
  /** Gives the one secret member, which goes into the request as base64. Not for attested operations. */
  secretMember?(checked: Checked): readonly [name: string, bytes: Uint8Array];
  /** Reads the answer. The secret is opened last, so that nothing can fail once it is open. */
  result(reply: KmsReply, checked: Checked): Result;
  /** Gives the facts that a policy judges, from the very bytes that go to KMS. */
  facts(checked: Checked): RequestFacts;
}

/** Operation that KMS has a dry run of. */
export interface DryRunOperation<
  Request extends CallOptions,
  Checked extends { readonly dryRun: boolean },
  Result,
  Action extends string = string,
> extends Operation<Request, Checked, Result, Action> {
  /** Mark of the operations that have one. */
  readonly hasDryRun: true;
}
