/**
 * Signature of a message in suite 0x0578: ECDSA with P-384 and SHA-384 over every byte before it. It stands behind the
 * last frame:
 *
 * | bytes | what |
 * | --- | --- |
 * | 2 | length of the signature |
 * | … | signature in DER, 8 to 104 bytes |
 *
 * The public key is in the encryption context, as `aws-crypto-public-key`: the compressed point in base64. So KMS gives
 * the data key for this public key only.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createPublicKey, createSign, createVerify, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { EncryptionContext } from "./encryption_context.ts";
import { EnvelopeError } from "./envelope_error.ts";
import { uint } from "./header_fields.ts";
import { type MessageHeader, SIGNED_SUITE_ID } from "./message_header.ts";

/** Name of the public key in the encryption context. */
export const PUBLIC_KEY_NAME = "aws-crypto-public-key";

/** Pair as long as the one that a signature adds to the context. */
export const SIGNATURE_PAIR: readonly [name: string, value: string] = [PUBLIC_KEY_NAME, "=".repeat(68)];

/** Most bytes of a signature in DER, and of the footer that it stands in. */
const MAX_SIGNATURE_BYTES = 104;
export const MAX_FOOTER_BYTES: number = 2 + MAX_SIGNATURE_BYTES;

const HASH = "sha384";
const FIELD_BYTES = 48;
/** SubjectPublicKeyInfo of a compressed point of P-384, up to the point. */
const SPKI_PREFIX = Buffer.from("3046301006072a8648ce3d020106052b81040022033200", "hex");

/** Signer of one message, with a key pair of its own. The private key is the collector's to free: it cannot be wiped. */
export class MessageSigner {
  /** Public key, as the encryption context has it: 68 characters. */
  readonly publicKey: string;
  readonly #privateKey: KeyObject;
  readonly #sign = createSign(HASH);

  /** Makes the key pair, in about a millisecond. */
  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
    this.#privateKey = privateKey;
    this.publicKey = compress(publicKey);
  }

  /**
   * Takes the next bytes of the message.
   *
   * @param bytes The bytes, header and frames in their order
   */
  update(bytes: Uint8Array): void {
    this.#sign.update(bytes);
  }

  /**
   * Signs all that was taken.
   *
   * @returns The end of the message: the signature after its length
   */
  footer(): Uint8Array<ArrayBuffer> {
    const signature = this.#sign.sign(this.#privateKey);
    return new Uint8Array(Buffer.concat([uint(signature.length, 2), signature]));
  }
}

/** Verifier of one message. */
export class MessageVerifier {
  readonly #publicKey: KeyObject;
  readonly #verify = createVerify(HASH);

  private constructor(publicKey: KeyObject) {
    this.#publicKey = publicKey;
  }

  /**
   * Makes the verifier of a message, and checks that its suite and its context agree.
   *
   * @param header Header of the message
   * @returns The verifier; undefined for a message without a signature
   * @throws {EnvelopeError} `SIGNATURE`
   */
  static forHeader(
    { suiteId, encryptionContext }: Pick<MessageHeader, "suiteId" | "encryptionContext">,
  ): MessageVerifier | undefined {
    const publicKey = publicKeyIn(encryptionContext);
    if (suiteId === SIGNED_SUITE_ID) {
      if (publicKey === undefined) throw unsigned("it has no public key to verify its signature with");
      return new MessageVerifier(decompress(publicKey));
    }
    if (publicKey === undefined) return undefined;
    throw unsigned("it has a public key in its context, but no signature");
  }

  /**
   * Takes the next bytes of the message.
   *
   * @param bytes The bytes, header and frames in their order
   */
  update(bytes: Uint8Array): void {
    this.#verify.update(bytes);
  }

  /**
   * Verifies the signature over all that was taken. This ends the verifier.
   *
   * @param signature Signature in DER
   * @throws {EnvelopeError} `SIGNATURE`
   */
  expectSignature(signature: Uint8Array): void {
    if (isEcdsaSignature(signature) && this.#verify.verify(this.#publicKey, signature)) return;
    throw unsigned("its signature is not genuine");
  }
}

/**
 * Reads the footer of a signed message.
 *
 * @param bytes Bytes behind the last frame, as many as there are
 * @returns The signature and the length of the footer, or the number of bytes that are needed to go on
 * @throws {EnvelopeError} `SIGNATURE`, when it is longer than any
 */
export function readFooter(
  bytes: Uint8Array<ArrayBuffer>,
): { readonly signature: Uint8Array<ArrayBuffer>; readonly footerBytes: number } | number {
  if (bytes.length < 2) return 2;
  const length = bytes[0]! * 256 + bytes[1]!;
  if (length > MAX_SIGNATURE_BYTES) throw unsigned("its signature is longer than any");
  const footerBytes = 2 + length;
  return bytes.length < footerBytes
    ? footerBytes
    : { signature: bytes.subarray(2, footerBytes), footerBytes };
}

/** Name of the signature where it is missing. */
export const SIGNATURE = "its signature";

/** Makes the error of a signature that does not verify the message. */
export function unsigned(what: string): EnvelopeError {
  return new EnvelopeError("SIGNATURE", `Cannot decrypt message: ${what}`, {
    hint: "Was the message changed by somebody who may read it? Discard the plaintext so far",
  });
}

function publicKeyIn(context: EncryptionContext): string | undefined {
  return Object.hasOwn(context, PUBLIC_KEY_NAME) ? context[PUBLIC_KEY_NAME] : undefined;
}

function compress(publicKey: KeyObject): string {
  const { x = "", y = "" } = publicKey.export({ format: "jwk" });
  const isOdd = (Buffer.from(y, "base64url").at(-1) ?? 0) & 1;
  return Buffer.concat([Uint8Array.of(2 + isOdd), Buffer.from(x, "base64url")]).toString("base64");
}

/** Decodes a compressed point, which has to be on the curve and written in one way only. */
function decompress(text: string): KeyObject {
  const point = Buffer.from(text, "base64");
  const isPoint = point.length === 1 + FIELD_BYTES && (point[0] === 2 || point[0] === 3);
  if (isPoint && point.toString("base64") === text) {
    try {
      return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, point]), format: "der", type: "spki" });
    } catch {
      // Told below, like a point that is malformed.
    }
  }
  throw unsigned("its public key is no point of P-384");
}

/** Tells whether bytes are two positive numbers in a sequence, in DER: the runtimes' own readers differ. */
function isEcdsaSignature(bytes: Uint8Array): boolean {
  if (bytes[0] !== 0x30 || bytes[1] !== bytes.length - 2) return false;
  const second = endOfNumber(bytes, 2);
  return second !== undefined && endOfNumber(bytes, second) === bytes.length;
}

/** Finds the end of a positive number of at most 48 bytes in its shortest form; undefined for anything else. */
function endOfNumber(bytes: Uint8Array, start: number): number | undefined {
  const [tag, length = 0, first = 0, second = 0] = bytes.subarray(start, start + 4);
  if (tag !== 2 || length === 0 || first > 0x7f || start + 2 + length > bytes.length) return undefined;
  if (first === 0 && (length === 1 || second < 0x80)) return undefined;
  return length - (first === 0 ? 1 : 0) > FIELD_BYTES ? undefined : start + 2 + length;
}
