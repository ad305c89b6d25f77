import { CALL_FIELDS } from "../../core/call_options.ts";
import { checkFields } from "../../core/checks.ts";
import { encodeBase64 } from "../../core/encoding.ts";
import {
  type CheckedMacRequest,
  checkMacRequest,
  type GenerateMacRequest,
  MAC_FIELDS,
  macMembers,
} from "./generate_mac.ts";
import { MAX_SIGNATURE_BYTES, type MessageReader, readJsonMessage, readMessage } from "./message.ts";
import type { DryRunOperation, JsonRequest } from "./operation.ts";
import { checkBytes } from "./request_fields.ts";
import type { Verified } from "./verify.ts";

/** Request of {@link KmsClient.verifyMac}. */
export interface VerifyMacRequest extends GenerateMacRequest {
  /** Code as {@link KmsClient.generateMac} gives it: 1 to 6144 bytes, or their base64. */
  readonly mac: Uint8Array | string;
}

/** Checked form of {@link VerifyMacRequest}. */
export interface CheckedVerifyMacRequest extends CheckedMacRequest {
  /** Code, 1 to 6144 bytes. */
  readonly mac: Uint8Array<ArrayBuffer>;
}

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_VerifyMac.html */
export const VERIFY_MAC: DryRunOperation<VerifyMacRequest, CheckedVerifyMacRequest, Verified, "VerifyMac"> = {
  action: "VerifyMac",
  what: "verify a MAC",
  attested: false,
  hasDryRun: true,
  check: (given) => check(given, readMessage),
  checkJson: (given) => check(given, readJsonMessage),
  members: (checked) => ({ ...macMembers(checked), Mac: encodeBase64(checked.mac) }),
  result(reply, { keyId, macAlgorithm }) {
    reply.expect("MacAlgorithm", macAlgorithm);
    reply.expect("MacValid", true);
    return { keyId: reply.keyId(keyId) };
  },
  facts: ({ keyId }) => ({ keyId }),
};

function check(
  given: VerifyMacRequest | JsonRequest<VerifyMacRequest>,
  read: MessageReader,
): CheckedVerifyMacRequest {
  const request = checkFields("MAC verification request", given, [...MAC_FIELDS, "mac", ...CALL_FIELDS]);
  return { ...checkMacRequest(request, read), mac: checkBytes("mac", request.mac, MAX_SIGNATURE_BYTES) };
}
