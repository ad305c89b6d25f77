import { CALL_FIELDS } from "../../core/call_options.ts";
import { checkFields, checkOneOf } from "../../core/checks.ts";
import { encodeBase64 } from "../../core/encoding.ts";
import { type CheckedKeyRequest, checkKeyRequest, keyMembers, type KeyRequest } from "./key_request.ts";
import { type MessageReader, readJsonMessage, readMessage } from "./message.ts";
import type { DryRunOperation, JsonRequest, Members } from "./operation.ts";
import { checkKeyId } from "./request_fields.ts";

/** Algorithm of a message authentication code (RFC 2104). A key has the one whose length it is named after. */
export type MacAlgorithm = "HMAC_SHA_224" | "HMAC_SHA_256" | "HMAC_SHA_384" | "HMAC_SHA_512";

/** Algorithms of a message authentication code, as a list. */
export const MAC_ALGORITHMS: readonly MacAlgorithm[] = [
  "HMAC_SHA_224",
  "HMAC_SHA_256",
  "HMAC_SHA_384",
  "HMAC_SHA_512",
];

/** Request of {@link KmsClient.generateMac}. */
export interface GenerateMacRequest extends KeyRequest {
  /** HMAC key: key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** Message, 1 to 4096 bytes. It is no secret to this library, which does not wipe its copies. */
  readonly message: Uint8Array;
  /** Algorithm of the key. */
  readonly macAlgorithm: MacAlgorithm;
}

/** Checked form of {@link GenerateMacRequest}. */
export interface CheckedMacRequest extends CheckedKeyRequest {
  /** Key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** Message, 1 to 4096 bytes. */
  readonly message: Uint8Array<ArrayBuffer>;
  /** Algorithm of the key. */
  readonly macAlgorithm: MacAlgorithm;
}

/** Result of {@link KmsClient.generateMac}. */
export interface Mac {
  /** Message authentication code: 28, 32, 48 or 64 bytes, by the algorithm. */
  readonly mac: Uint8Array<ArrayBuffer>;
  /** The KMS key's ARN. */
  readonly keyId: string;
}

/** Fields of a MAC request, without those of the call. */
export const MAC_FIELDS: readonly string[] = ["keyId", "message", "macAlgorithm", "grantTokens"];

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateMac.html */
export const GENERATE_MAC: DryRunOperation<GenerateMacRequest, CheckedMacRequest, Mac, "GenerateMac"> = {
  action: "GenerateMac",
  what: "generate a MAC",
  attested: false,
  hasDryRun: true,
  check: (given) => check(given, readMessage),
  checkJson: (given) => check(given, readJsonMessage),
  members: macMembers,
  result(reply, { keyId, macAlgorithm }) {
    reply.expect("MacAlgorithm", macAlgorithm);
    const length = Number(macAlgorithm.slice("HMAC_SHA_".length)) / 8;
    return { mac: reply.bytes("Mac", length), keyId: reply.keyId(keyId) };
  },
  facts: ({ keyId }) => ({ keyId }),
};

/**
 * Lists the members that the requests of both operations on codes share.
 *
 * @param checked The checked request
 * @returns The members
 */
export function macMembers(checked: CheckedMacRequest): Members {
  return {
    KeyId: checked.keyId,
    Message: encodeBase64(checked.message),
    MacAlgorithm: checked.macAlgorithm,
    ...keyMembers(checked),
  };
}

/**
 * Checks the fields that both requests share.
 *
 * @param request The request
 * @param read Reads the message
 * @returns The checked fields, of a request that is no dry run
 * @throws {TypeError} When a field is of a wrong type
 * @throws {RangeError} When a field is too short or too long
 */
export function checkMacRequest(
  request: GenerateMacRequest | JsonRequest<GenerateMacRequest>,
  read: MessageReader,
): CheckedMacRequest {
  const macAlgorithm = checkOneOf("macAlgorithm", request.macAlgorithm, MAC_ALGORITHMS);
  if (macAlgorithm === undefined) {
    throw new TypeError(`macAlgorithm must be one of ${MAC_ALGORITHMS.join(", ")}`);
  }
  return {
    ...checkKeyRequest(request),
    keyId: checkKeyId(request.keyId),
    message: read(request.message),
    macAlgorithm,
  };
}

function check(
  given: GenerateMacRequest | JsonRequest<GenerateMacRequest>,
  read: MessageReader,
): CheckedMacRequest {
  return checkMacRequest(checkFields("MAC request", given, [...MAC_FIELDS, ...CALL_FIELDS]), read);
}
