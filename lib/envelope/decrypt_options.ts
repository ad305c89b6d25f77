import { checkFields, checkFlag, checkInteger, checkOneOf } from "../core/checks.ts";
import { CALL_FIELDS, type CallOptions } from "../core/call_options.ts";
import { type AllowedKeys, checkAllowedKeys, type KeyFilter } from "./allowed_keys.ts";
import { checkExpectedContext, type EncryptionContext } from "./encryption_context.ts";
import { MAX_DATA_KEYS } from "./message_header.ts";
import { checkStreamCall } from "./start_message.ts";

/** Options of every decryption. */
export interface DecryptOptions extends CallOptions {
  /**
   * ARN of the only key that may have encrypted the data key; or a filter of accounts, or `"any"`, and the message names
   * the key: anyone with the right to encrypt under some key that passes and that this enclave may use can then make
   * messages for it. A multi-region key (`mrk-…`) may be named by any of its replicas: the one named here is asked.
   */
  readonly keyId: string | KeyFilter;
  /**
   * Pairs that the message must have: one or more, or leave it out to take any message. The message may have more, and
   * KMS gets all of them.
   */
  readonly encryptionContext?: EncryptionContext | undefined;
  /**
   * Pairs that the writer authenticated and left out of the message, for its readers to know (AWS's required encryption
   * context). Without them, or with others, such a message does not open. One that has such a pair must have this value.
   */
  readonly unstoredContext?: EncryptionContext | undefined;
  /**
   * Longest frame of another writer, or longest message without frames, in bytes, 1024 to 67108864, which is about the
   * memory that it takes. Default: 1048576, the longest that {@link encryptStream} makes.
   */
  readonly maxFrameBytes?: number | undefined;
  /**
   * Most encrypted data keys of a message, 1 to 32, whether they are under an allowed key or not. Each allowed one that
   * KMS refuses is a call to KMS, and the next is tried: whoever writes a message decides how many. Default: 5.
   */
  readonly maxEncryptedDataKeys?: number | undefined;
  /**
   * Messages to take by their suite: `"accept"` takes those with a signature (0x0578) and without (0x0478), `"require"`
   * and `"refuse"` only one of them. Who wrote a message without a signature is not known: everybody who may decrypt
   * one can change it. Default: `"accept"`.
   */
  readonly signature?: SignaturePolicy | undefined;
  /**
   * Whether a stream gives the frames of a signed message out before its signature is verified, which stands at the
   * end. **What comes out is then genuine to the data key only: somebody else who may decrypt the message can have
   * changed it, and that shows when the stream fails.** Default: false, the plaintext is held until then. Messages
   * and files are never given out before.
   */
  readonly releaseUnverified?: boolean | undefined;
  /**
   * Most plaintext bytes of a signed message that a stream holds, 0 to 1073741824, which is about the memory that it
   * takes. Default: 16777216.
   */
  readonly maxHeldBytes?: number | undefined;
}

/** Messages to take by their suite. */
export type SignaturePolicy = "accept" | "require" | "refuse";

/** {@link DecryptOptions}, checked. */
export interface CheckedDecryptOptions {
  readonly signal: AbortSignal | undefined;
  readonly allowedKeys: AllowedKeys;
  readonly encryptionContext: EncryptionContext;
  readonly unstoredContext: EncryptionContext;
  readonly maxFrameBytes: number;
  readonly maxEncryptedDataKeys: number;
  readonly signature: SignaturePolicy;
  readonly releaseUnverified: boolean;
  readonly maxHeldBytes: number;
  readonly timeoutMs: { readonly timeoutMs?: number };
}

const MAX_FRAME_RANGE = { min: 1024, max: 67_108_864, default: 1_048_576 };
const MAX_DATA_KEYS_RANGE = { min: 1, max: MAX_DATA_KEYS, default: 5 };
const MAX_HELD_RANGE = { min: 0, max: 1_073_741_824, default: 16_777_216 };
const POLICIES: readonly SignaturePolicy[] = ["accept", "require", "refuse"];
const FIELDS = [
  "keyId",
  "encryptionContext",
  "unstoredContext",
  "maxFrameBytes",
  "maxEncryptedDataKeys",
  "signature",
  "releaseUnverified",
  "maxHeldBytes",
  ...CALL_FIELDS,
];

/**
 * Checks the options of a decryption.
 *
 * @param given Options of the caller
 * @throws {TypeError} When an option is missing, unknown or of a wrong type
 * @throws {RangeError} When an option is out of range
 */
export function checkDecryptOptions(given: DecryptOptions): CheckedDecryptOptions {
  const options = checkFields("options of a decryption", given, FIELDS);
  return {
    signal: options.signal,
    allowedKeys: checkAllowedKeys(options.keyId),
    encryptionContext: checkExpectedContext("encryptionContext", options.encryptionContext),
    unstoredContext: checkExpectedContext("unstoredContext", options.unstoredContext),
    maxFrameBytes: checkInteger("maxFrameBytes", options.maxFrameBytes, MAX_FRAME_RANGE),
    maxEncryptedDataKeys: checkInteger(
      "maxEncryptedDataKeys",
      options.maxEncryptedDataKeys,
      MAX_DATA_KEYS_RANGE,
    ),
    signature: checkOneOf("signature", options.signature, POLICIES) ?? "accept",
    releaseUnverified: checkFlag("releaseUnverified", options.releaseUnverified),
    maxHeldBytes: checkInteger("maxHeldBytes", options.maxHeldBytes, MAX_HELD_RANGE),
    timeoutMs: checkStreamCall(options),
  };
}
