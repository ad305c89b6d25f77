/**
 * Algorithms of signatures, the forms of a message that each of them signs, and the fields that the requests of Sign and
 * Verify share.
 *
 * @see https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html
 *
 * @module
 */
import { checkOneOf } from "../../core/checks.ts";
import { type CheckedKeyRequest, checkKeyRequest, keyMembers, type KeyRequest } from "./key_request.ts";
import { encodeBase64 } from "../../core/encoding.ts";
import type { MessageReader } from "./message.ts";
import type { JsonRequest, Members } from "./operation.ts";
import { checkKeyId } from "./request_fields.ts";

/** Form of a message: itself, its digest, or, for ML-DSA, its representative μ (FIPS 204, section 6.2). */
export type MessageType = "RAW" | "DIGEST" | "EXTERNAL_MU";

/** Algorithm of a signature. `SM2DSA` exists in China's regions only. */
export type SigningAlgorithm =
  | "RSASSA_PSS_SHA_256"
  | "RSASSA_PSS_SHA_384"
  | "RSASSA_PSS_SHA_512"
  | "RSASSA_PKCS1_V1_5_SHA_256"
  | "RSASSA_PKCS1_V1_5_SHA_384"
  | "RSASSA_PKCS1_V1_5_SHA_512"
  | "ECDSA_SHA_256"
  | "ECDSA_SHA_384"
  | "ECDSA_SHA_512"
  | "ED25519_SHA_512"
  | "ED25519_PH_SHA_512"
  | "ML_DSA_SHAKE_256"
  | "SM2DSA";

/** Messages that an algorithm signs. */
interface SignedMessages {
  /** Forms. */
  readonly types: readonly MessageType[];
  /** Length of a message that is not RAW, in bytes. */
  readonly digestBytes: number;
}

const BOTH: readonly MessageType[] = ["RAW", "DIGEST"];

/** Algorithms of signatures. */
const ALGORITHMS: Readonly<Record<SigningAlgorithm, SignedMessages>> = {
  RSASSA_PSS_SHA_256: { types: BOTH, digestBytes: 32 },
  RSASSA_PSS_SHA_384: { types: BOTH, digestBytes: 48 },
  RSASSA_PSS_SHA_512: { types: BOTH, digestBytes: 64 },
  RSASSA_PKCS1_V1_5_SHA_256: { types: BOTH, digestBytes: 32 },
  RSASSA_PKCS1_V1_5_SHA_384: { types: BOTH, digestBytes: 48 },
  RSASSA_PKCS1_V1_5_SHA_512: { types: BOTH, digestBytes: 64 },
  ECDSA_SHA_256: { types: BOTH, digestBytes: 32 },
  ECDSA_SHA_384: { types: BOTH, digestBytes: 48 },
  ECDSA_SHA_512: { types: BOTH, digestBytes: 64 },
  ED25519_SHA_512: { types: ["RAW"], digestBytes: 64 },
  ED25519_PH_SHA_512: { types: ["DIGEST"], digestBytes: 64 },
  ML_DSA_SHAKE_256: { types: ["RAW", "EXTERNAL_MU"], digestBytes: 64 },
  SM2DSA: { types: BOTH, digestBytes: 32 },
};

/** Algorithms of signatures, as a list. */
export const SIGNING_ALGORITHMS: readonly SigningAlgorithm[] = Object.keys(ALGORITHMS) as SigningAlgorithm[];

/** Forms of a message, as a list. */
export const MESSAGE_TYPES: readonly MessageType[] = ["RAW", "DIGEST", "EXTERNAL_MU"];

/** Fields that the requests of {@link KmsClient.sign} and {@link KmsClient.verify} share. */
export interface SignedMessageRequest extends KeyRequest {
  /** Key for signatures: key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** Message, 1 to 4096 bytes, or its digest. It is no secret to this library, which does not wipe its copies. */
  readonly message: Uint8Array;
  /**
   * Form of the message. Default: `RAW`, which KMS hashes. A `DIGEST` has the length of the algorithm's hash: 32, 48
   * or 64 bytes. `ED25519_SHA_512` takes `RAW` only, and `ED25519_PH_SHA_512` a `DIGEST` of 64 bytes only, which is
   * hashed once more.
   */
  readonly messageType?: MessageType | undefined;
  /** Algorithm, one that the key has. */
  readonly signingAlgorithm: SigningAlgorithm;
}

/** Checked form of {@link SignedMessageRequest}. */
export interface CheckedSignedMessage extends CheckedKeyRequest {
  /** Key id, key ARN, alias name or alias ARN. */
  readonly keyId: string;
  /** Message or digest, of a length that the algorithm takes. */
  readonly message: Uint8Array<ArrayBuffer>;
  /** Form of the message. */
  readonly messageType: MessageType;
  /** Algorithm. */
  readonly signingAlgorithm: SigningAlgorithm;
}

/** Names of those fields, without those of the call. */
export const SIGNED_MESSAGE_FIELDS: readonly string[] = [
  "keyId",
  "message",
  "messageType",
  "signingAlgorithm",
  "grantTokens",
];

/**
 * Checks the fields that both requests share.
 *
 * @param request The request
 * @param read Reads the message
 * @returns The checked fields, of a request that is no dry run
 * @throws {TypeError} When a field is of a wrong type, or the algorithm signs no such message
 * @throws {RangeError} When the message or another field is too short or too long
 */
export function checkSignedMessage(
  request: SignedMessageRequest | JsonRequest<SignedMessageRequest>,
  read: MessageReader,
): CheckedSignedMessage {
  const signingAlgorithm = checkOneOf("signingAlgorithm", request.signingAlgorithm, SIGNING_ALGORITHMS);
  if (signingAlgorithm === undefined) {
    throw new TypeError(`signingAlgorithm must be one of ${SIGNING_ALGORITHMS.join(", ")}`);
  }
  const messageType = checkOneOf("messageType", request.messageType, MESSAGE_TYPES) ?? "RAW";
  const { types, digestBytes } = ALGORITHMS[signingAlgorithm];
  if (!types.includes(messageType)) {
    throw new TypeError(`messageType must be ${types.join(" or ")} for ${signingAlgorithm}`);
  }
  const message = read(request.message);
  if (messageType !== "RAW" && message.length !== digestBytes) {
    throw new RangeError(
      `message must have ${digestBytes} bytes as ${messageType} for ${signingAlgorithm}, not ${message.length}`,
    );
  }
  const keyId = checkKeyId(request.keyId);
  return { ...checkKeyRequest(request), keyId, message, messageType, signingAlgorithm };
}

/**
 * Lists the members that both requests share.
 *
 * @param checked The checked request
 * @returns The members
 */
export function signedMessageMembers(checked: CheckedSignedMessage): Members {
  return {
    KeyId: checked.keyId,
    Message: encodeBase64(checked.message),
    MessageType: checked.messageType,
    SigningAlgorithm: checked.signingAlgorithm,
    ...keyMembers(checked),
  };
}
