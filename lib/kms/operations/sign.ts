import { CALL_FIELDS } from "../../core/call_options.ts";
import { checkFields } from "../../core/checks.ts";
import { type MessageReader, readJsonMessage, readMessage } from "./message.ts";
import type { DryRunOperation, JsonRequest } from "./operation.ts";
import {
  type CheckedSignedMessage,
  checkSignedMessage,
  SIGNED_MESSAGE_FIELDS,
  signedMessageMembers,
  type SignedMessageRequest,
} from "./signing.ts";

/** Request of {@link KmsClient.sign}. */
export interface SignRequest extends SignedMessageRequest {}

/** Result of {@link KmsClient.sign}. */
export interface Signed {
  /**
   * Signature: of an RSA key as long as its modulus, of an elliptic curve DER (RFC 3279, section 2.2.3), of Ed25519 64
   * bytes. On secp256k1 its s can be in the upper half of the order, which Bitcoin and Ethereum do not take.
   */
  readonly signature: Uint8Array<ArrayBuffer>;
  /** The KMS key's ARN. */
  readonly keyId: string;
}

/** @see https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html */
export const SIGN: DryRunOperation<SignRequest, CheckedSignedMessage, Signed, "Sign"> = {
  action: "Sign",
  what: "sign",
  attested: false,
  hasDryRun: true,
  check: (given) => check(given, readMessage),
  checkJson: (given) => check(given, readJsonMessage),
  members: signedMessageMembers,
  result(reply, { keyId, signingAlgorithm }) {
    reply.expect("SigningAlgorithm", signingAlgorithm);
    return { signature: reply.bytes("Signature"), keyId: reply.keyId(keyId) };
  },
  facts: ({ keyId }) => ({ keyId }),
};

function check(given: SignRequest | JsonRequest<SignRequest>, read: MessageReader): CheckedSignedMessage {
  const request = checkFields("signing request", given, [...SIGNED_MESSAGE_FIELDS, ...CALL_FIELDS]);
  return checkSignedMessage(request, read);
}
