import { constants, createCipheriv, createHash, publicEncrypt, randomBytes } from "node:crypto";
import { decodeBase64 } from "../../lib/core/encoding.ts";
import {
  type Bytes,
  concat,
  element,
  indefinite,
  integer,
  NULL,
  octetString,
  oid,
  sequence,
} from "../tls/der.ts";
import { readPublicKey } from "./recipient_key.ts";

/** The two shapes of KMS's envelopes: content in OCTET STRING segments, or in one primitive element. */
export type EnvelopeShape = "constructed" | "definite";

/** Fault of an envelope. */
export type EnvelopeVariant =
  | "anotherKey"
  | "flippedKey"
  | "flippedPadding"
  | "twoRecipients"
  | "noRecipient"
  | "tripleDes"
  | "aes128"
  | "pkcs1"
  | "oaepSha1"
  | "trailingByte"
  | "cutOff"
  | "noise"
  | "empty";

/**
 * Encrypts to a recipient as KMS does: CMS EnvelopedData in BER, RSAES-OAEP with SHA-256, AES-256-CBC.
 *
 * @param plaintext Bytes to encrypt; 1 to 16 KiB
 * @param publicKey The recipient's RSA key, SPKI DER
 * @param shape One of KMS's two shapes
 * @param variant The fault, if any
 * @returns The envelope, BER
 */
export function sealEnvelope(
  plaintext: Uint8Array,
  publicKey: Uint8Array,
  shape: EnvelopeShape,
  variant?: EnvelopeVariant,
): Bytes {
  const recipe: Recipe = variant === undefined ? {} : VARIANTS[variant];
  const cipher = CIPHERS[recipe.cipher ?? "aes256"];
  const contentKey = randomBytes(cipher.keyLength);
  const iv = randomBytes(cipher.ivLength);
  const ciphertext = encrypt(cipher.name, contentKey, iv, plaintext);
  if (recipe.flipPadding === true) flipPadding(iv, ciphertext);
  const algorithm = sequence(oid(cipher.oid), octetString(iv));
  const encrypted = indefinite(0x30, DATA, algorithm, content(ciphertext, shape));
  const infos = element(0x31, ...recipients(publicKey, contentKey, recipe));
  const data = indefinite(0x30, integer(2), infos, encrypted);
  const envelope = indefinite(0x30, ENVELOPED_DATA, indefinite(0xa0, data));
  return recipe.after?.(envelope) ?? envelope;
}

/** Difference between a faulty envelope and a right one. */
interface Recipe {
  readonly cipher?: keyof typeof CIPHERS;
  readonly wrap?: keyof typeof WRAPS;
  readonly recipientCount?: 0 | 2;
  readonly toStranger?: true;
  readonly flipKey?: true;
  readonly flipPadding?: true;
  readonly after?: (envelope: Bytes) => Bytes;
}

/** The wrong envelopes. */
const VARIANTS: Readonly<Record<EnvelopeVariant, Recipe>> = {
  /** Encrypted to a key that is not the recipient's. */
  anotherKey: { toStranger: true },
  /** One bit of the wrapped content key changed. */
  flippedKey: { flipKey: true },
  /** One bit changed so that the content's padding is wrong. */
  flippedPadding: { flipPadding: true },
  /** A second recipient, who could read the plaintext too. */
  twoRecipients: { recipientCount: 2 },
  /** No recipient: no key opens it. */
  noRecipient: { recipientCount: 0 },
  /** The content under 3DES. */
  tripleDes: { cipher: "tripleDes" },
  /** The content under AES-128. */
  aes128: { cipher: "aes128" },
  /** The content key wrapped by RSAES-PKCS1-v1_5. */
  pkcs1: { wrap: "pkcs1" },
  /** The content key wrapped by RSAES-OAEP with SHA-1. */
  oaepSha1: { wrap: "oaepSha1" },
  /** A byte too many. */
  trailingByte: { after: (envelope) => concat(envelope, Uint8Array.of(0)) },
  /** The last 40 bytes missing. */
  cutOff: { after: (envelope) => envelope.slice(0, -40) },
  /** Random bytes. */
  noise: { after: (envelope) => new Uint8Array(randomBytes(envelope.length)) },
  /** No bytes. */
  empty: { after: () => new Uint8Array() },
};

/** The names of the wrong envelopes. */
export const ENVELOPE_VARIANTS: readonly EnvelopeVariant[] = Object.keys(VARIANTS) as EnvelopeVariant[];

const CIPHERS = {
  aes256: { name: "aes-256-cbc", oid: "2.16.840.1.101.3.4.1.42", keyLength: 32, ivLength: 16 },
  aes128: { name: "aes-128-cbc", oid: "2.16.840.1.101.3.4.1.2", keyLength: 16, ivLength: 16 },
  tripleDes: { name: "des-ede3-cbc", oid: "1.2.840.113549.3.7", keyLength: 24, ivLength: 8 },
} as const;

const ENVELOPED_DATA = oid("1.2.840.113549.1.7.3");
const DATA = oid("1.2.840.113549.1.7.1");
const SHA256 = sequence(oid("2.16.840.1.101.3.4.2.1"), NULL);
const MGF1_SHA256 = sequence(oid("1.2.840.113549.1.1.8"), SHA256);
const RSAES_OAEP = oid("1.2.840.113549.1.1.7");

const WRAPS = {
  oaepSha256: {
    algorithm: sequence(RSAES_OAEP, sequence(element(0xa0, SHA256), element(0xa1, MGF1_SHA256))),
    options: { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
  },
  oaepSha1: {
    algorithm: sequence(RSAES_OAEP, sequence()),
    options: { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" },
  },
  pkcs1: {
    algorithm: sequence(oid("1.2.840.113549.1.1.1"), NULL),
    options: { padding: constants.RSA_PKCS1_PADDING },
  },
} as const;

/** OpenSSL's buffer, which sets the length of a segment. */
const SEGMENT_LENGTH = 4096;

/** The public half of a key whose private half was thrown away. */
const STRANGER = decodeBase64(
  "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAyiZP0TrkrKIO3F9Qu1T0T/TBakmLm629xG7MOHPuKSrgKbpSyMt2" +
    "4huIqNO7z03V+IHpOojAtMY2f1JXIdT3taQd6GV2/oI9KqPzshvfMIrpccuE/wZQ7ueQMaa7XTgZkdiN3ow5h6Ae7vGj2Pmh" +
    "cvTj4PveyyuBpFiDMI56l75r6t+ApIuO1FGxt+jpQZ6l7UrnE5h5kCCbtuDUOFEWjNkt1lCrRwDG1pJjKzCMckyFXzLOiJWc" +
    "gWiZU87gmVLicpsPEc9B2J3k9QRsBN6m9HO1gWjIz+wFlWf6sG5BFT/mKyvnfscMMaFXlHYtZrV8cfHBTRXfivczejrmbCPZ" +
    "dQIDAQAB",
);

function recipients(publicKey: Uint8Array, contentKey: Uint8Array, recipe: Recipe): Bytes[] {
  const wrap = WRAPS[recipe.wrap ?? "oaepSha256"];
  const keys = [recipe.toStranger === true ? STRANGER : publicKey, STRANGER].slice(
    0,
    recipe.recipientCount ?? 1,
  );
  return keys.map((spki) => {
    const wrapped = new Uint8Array(
      publicEncrypt({ key: readPublicKey(spki), ...wrap.options }, contentKey),
    );
    if (recipe.flipKey === true) flipBit(wrapped, wrapped.length - 1, 0x01);
    return sequence(integer(2), element(0x80, sha256(spki)), wrap.algorithm, octetString(wrapped));
  });
}

function content(ciphertext: Uint8Array, shape: EnvelopeShape): Bytes {
  if (shape === "definite") return element(0x80, ciphertext);
  const segments: Bytes[] = [];
  for (let start = 0; start < ciphertext.length; start += SEGMENT_LENGTH) {
    segments.push(octetString(ciphertext.subarray(start, start + SEGMENT_LENGTH)));
  }
  return indefinite(0xa0, ...segments);
}

function encrypt(cipherName: string, key: Uint8Array, iv: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv(cipherName, key, iv);
  return concat(cipher.update(plaintext), cipher.final());
}

/**
 * Flips the top bit of the padding's last byte: in CBC a bit changed in one block changes the same bit of the
 * next.
 */
function flipPadding(iv: Uint8Array, ciphertext: Uint8Array): void {
  const before = ciphertext.length - iv.length;
  if (before === 0) flipBit(iv, iv.length - 1, 0x80);
  else flipBit(ciphertext, before - 1, 0x80);
}

function flipBit(bytes: Uint8Array, index: number, bit: number): void {
  bytes[index] = (bytes[index] ?? 0) ^ bit;
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}
