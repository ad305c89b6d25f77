import type { GenericSchema } from "valibot";
import type { CallOptions } from "../lib/core/call_options.ts";
import type { SecretBytes } from "../lib/core/secret_bytes.ts";
import type { DryRunName } from "../lib/kms/operations/dry_run.ts";
import type { JsonRequest } from "../lib/kms/operations/operation.ts";
import type { OperationName, Requested, Result } from "../lib/kms/operations/operations.ts";

/** Body of an operation's route: the request of the client's method, with bytes as base64. */
export type BodyOf<Name extends OperationName> =
  & Omit<JsonRequest<Requested<Name>>, keyof CallOptions>
  & (Name extends DryRunName ? DryRunBody : unknown);

/** Field of the bodies of operations that KMS has a dry run of. */
export interface DryRunBody {
  /** Asks only whether KMS would do it. */
  readonly dryRun?: boolean | undefined;
}

/** Description of a member of an answer, for the OpenAPI document: in a list, when the member is a list of texts. */
export type MemberDescription = string | readonly [items: string];

/** Members of an answer, each with its description. Those of bytes are base64. */
export type MemberDescriptions = Readonly<Record<string, MemberDescription>>;

/** Members of an answer with their types. */
export type MembersOf<Described extends MemberDescriptions> = {
  [Member in keyof Described]: Described[Member] extends string ? string : string[];
};

/** Answer of a route: members, and at most one secret. */
export type KmsAnswer = SecretKmsAnswer | {
  /** Unset: there is none. */
  readonly secret?: undefined;
  /** Members. */
  readonly rest: Readonly<Record<string, string | readonly string[]>>;
};

/** Answer with a secret. */
export interface SecretKmsAnswer {
  /** Name of the secret's member, and its bytes. */
  readonly secret: readonly [name: string, bytes: SecretBytes];
  /** Other members. */
  readonly rest: Readonly<Record<string, string>>;
}

/** Route of one operation. */
export interface KmsRoute<
  Path extends string,
  Name extends OperationName,
  Described extends MemberDescriptions,
> {
  /** Path of the route. */
  readonly path: Path;
  /** Name of the operation. */
  readonly operation: Name;
  /** Schema of the body. The limits are those of the operation's own check, which runs after it and has the last word. */
  readonly body: GenericSchema<unknown, BodyOf<Name>>;
  /** Name of that schema in the OpenAPI document. */
  readonly bodyName: string;
  /** Summary in the OpenAPI document. */
  readonly summary: string;
  /** Members of the answer. */
  readonly members: Described;
  /** Makes the answer. */
  answer(result: Result<Name>): KmsAnswer;
}

/** Any route, as the code that serves them all sees it. */
export type AnyKmsRoute = {
  [Name in OperationName]: KmsRoute<string, Name, MemberDescriptions>;
}[OperationName];

/**
 * Lets TypeScript infer the types of one route.
 *
 * @param described The route
 * @returns The same route
 */
export function route<
  const Path extends string,
  Name extends OperationName,
  const Described extends MemberDescriptions,
>(described: KmsRoute<Path, Name, Described>): KmsRoute<Path, Name, Described> {
  return described;
}
