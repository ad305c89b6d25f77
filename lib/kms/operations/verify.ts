import { CALL_FIELDS } from "../../core/call_options.ts";
import { checkFields } from "../../core/checks.ts";
import { encodeBase64 } from "../../core/encoding.ts";
import { MAX_SIGNATURE_BYTES, type MessageReader, readJsonMessage, readMessage } from "./message.ts";
import type { DryRunOperation, JsonRequest } from "./operation.ts";
import { checkBytes } from "./request_fields.ts";
import {
  type CheckedSignedMessage,
  checkSignedMessage,
  SIGNED_MESSAGE_FIELDS,
  signedMessageMembers,
  type SignedMessageRequest,
} from "./signing.ts";

/** Request of {@link KmsClient.verify}. */
export interface VerifyRequest extends SignedMessageRequest {
  /** Signature as {@link KmsClient.sign} gives it: 1 to 6144 bytes, or their base64. */
  readonly signature: Uint8Array | string;
}

/** Checked form of {@link VerifyRequest}. */
export interface CheckedVerifyRequest extends CheckedSignedMessage {
  /** Signature, 1 to 6144 bytes. */
  readonly signature: Uint8Array<ArrayBuffer>;
}

/** Result of {@link KmsClient.verify} and {@link KmsClient.verifyMac}. There is none for what is not valid. */
export interface Verified {
  /** The KMS key's ARN. */
  readonly keyId: string;
}

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_Verify.html */
export const VERIFY: DryRunOperation<VerifyRequest, CheckedVerifyRequest, Verified, "Verify"> = {
  action: "Verify",
  what: "verify a signature",
  attested: false,
  hasDryRun: true,
  check: (given) => check(given, readMessage),
  checkJson: (given) => check(given, readJsonMessage),
  members: (checked) => ({ ...signedMessageMembers(checked), Signature: encodeBase64(checked.signature) }),
  result(reply, { keyId, signingAlgorithm }) {
    reply.expect("SigningAlgorithm", signingAlgorithm);
    reply.expect("SignatureValid", true);
    return { keyId: reply.keyId(keyId) };
  },
  facts: ({ keyId }) => ({ keyId }),
};

function check(given: VerifyRequest | JsonRequest<VerifyRequest>, read: MessageReader): CheckedVerifyRequest {
  const fields = [...SIGNED_MESSAGE_FIELDS, "signature", ...CALL_FIELDS];
  const request = checkFields("verification request", given, fields);
  return {
    ...checkSignedMessage(request, read),
    signature: checkBytes("signature", request.signature, MAX_SIGNATURE_BYTES),
  };
}
