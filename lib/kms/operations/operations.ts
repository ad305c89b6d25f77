/**
 * The table of KMS's operations, and the types that follow from it. A new operation is a file beside this one and one
 * line in the table.
 *
 * @module
 */
import { DECRYPT } from "./decrypt.ts";
import { DERIVE_SHARED_SECRET } from "./derive_shared_secret.ts";
import { ENCRYPT } from "./encrypt.ts";
import { GENERATE_DATA_KEY } from "./generate_data_key.ts";
import { GENERATE_DATA_KEY_PAIR } from "./generate_data_key_pair.ts";
import { GENERATE_MAC } from "./generate_mac.ts";
import { GENERATE_RANDOM } from "./generate_random.ts";
import { GET_PUBLIC_KEY } from "./get_public_key.ts";
import type { JsonRequest, Operation } from "./operation.ts";
import { SIGN } from "./sign.ts";
import { VERIFY } from "./verify.ts";
import { VERIFY_MAC } from "./verify_mac.ts";

/** Operations by the name of the client's method. */
export const OPERATIONS = {
  decrypt: DECRYPT,
  encrypt: ENCRYPT,
  generateDataKey: GENERATE_DATA_KEY,
  generateDataKeyPair: GENERATE_DATA_KEY_PAIR,
  generateRandom: GENERATE_RANDOM,
  deriveSharedSecret: DERIVE_SHARED_SECRET,
  generateMac: GENERATE_MAC,
  verifyMac: VERIFY_MAC,
  sign: SIGN,
  verify: VERIFY,
  getPublicKey: GET_PUBLIC_KEY,
} as const;

type Operations = typeof OPERATIONS;

/** Name of an operation: the client's method. */
export type OperationName = keyof Operations;

/** Name of an operation in KMS's API, which is its action for a policy too. */
export type KmsAction = Operations[OperationName]["action"];

/** Actions of all operations. */
export const KMS_ACTIONS: readonly KmsAction[] = Object.values(OPERATIONS).map(({ action }) => action);

/** Request of an operation. */
export type Requested<K extends OperationName> = Parameters<Operations[K]["check"]>[0];

/** Checked request of an operation. */
export type Checked<K extends OperationName> = ReturnType<Operations[K]["check"]>;

/** Result of an operation. */
export type Result<K extends OperationName> = Awaited<ReturnType<Operations[K]["result"]>>;

/** An operation by its name. */
type Named<K extends OperationName> = Operation<
  Requested<K>,
  Checked<K>,
  Result<K> | Promise<Result<K>>,
  KmsAction
>;

/** The same table, typed so that a name and its operation stay together. */
const TABLE: { readonly [K in OperationName]: Named<K> } = OPERATIONS;

/**
 * Looks an operation up.
 *
 * @param name Name of the operation
 * @returns The operation, with the types that belong to the name
 */
export function operationOf<K extends OperationName>(
  name: K,
): Named<K> {
  return TABLE[name];
}

/**
 * Checks a request from a JSON body, whose bytes are base64. Each is decoded once, into memory of the result's own.
 *
 * @param name Name of the operation
 * @param request Request as the body has it
 * @returns The checked request
 * @throws {TypeError} When a field is missing, unknown or of a wrong type
 * @throws {RangeError} When a field is too short or too long
 */
export function checkJson<K extends OperationName>(name: K, request: JsonRequest<Requested<K>>): Checked<K> {
  const operation = operationOf(name);
  return operation.checkJson?.(request) ?? operation.check(request as Requested<K>);
}
