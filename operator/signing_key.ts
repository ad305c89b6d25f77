import { allocateOffHeap } from "../lib/core/secret_bytes.ts";
import { equalBytes } from "../lib/core/bytes.ts";

/** Private key of a publisher, from {@link importSigningKey}: a CryptoKey of the runtime. */
export type SigningKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/** Longest file with a private key, in bytes. */
const MAX_KEY_BYTES = 4096;

/**
 * Imports a publisher's private key: PKCS #8, in PEM or DER, of a P-256 or an Ed25519 key. No JavaScript string of it is
 * made, and what is decoded is wiped.
 *
 * Not guaranteed: that the runtime's cryptography wipes its copy of the key, which it frees with the key object.
 *
 * @param pkcs8 The key, at most 4096 bytes: what `openssl genpkey -algorithm ed25519` writes; the caller must wipe it
 * @returns Key that signs, and cannot be exported
 * @throws {TypeError} When it is anything else, such as `EC PRIVATE KEY`, an encrypted key or a public one; the message
 *   repeats nothing of it
 */
export async function importSigningKey(pkcs8: Uint8Array): Promise<SigningKey> {
  if (!(pkcs8 instanceof Uint8Array)) throw new TypeError("The signing key must be a Uint8Array");
  const der = pkcs8.length <= MAX_KEY_BYTES ? derOf(pkcs8) : undefined;
  try {
    const kind = der === undefined ? undefined : KINDS.find(({ id }) => includes(der.subarray(0, 40), id));
    if (der !== undefined && kind !== undefined) {
      const key = await crypto.subtle.importKey("pkcs8", der, kind.import, false, ["sign"]);
      // Deno looks at some keys when they are used, and not before.
      await crypto.subtle.sign(kind.sign, key, new Uint8Array(1));
      return key;
    }
  } catch {
    // Cut off, or damaged; said below.
  } finally {
    der?.fill(0);
  }
  throw new TypeError(
    "The signing key must be PKCS #8 of a P-256 or Ed25519 key, not encrypted: " +
      "`openssl pkcs8 -topk8 -nocrypt` makes it of an EC PRIVATE KEY",
  );
}

/**
 * Finds the algorithm to sign with.
 *
 * @param key Any key
 * @returns WebCrypto's name of it; undefined when the key does not sign, or is of another kind
 */
export function signingAlgorithm(key: SigningKey): { name: string; hash?: string } | undefined {
  const { name, namedCurve } = key.algorithm as { name: string; namedCurve?: string };
  const kind = KINDS.find((kind) => kind.import.name === name && kind.import.namedCurve === namedCurve);
  return key.usages.includes("sign") ? kind?.sign : undefined;
}

/** Kind of key: its object identifier in PKCS #8, and its names in WebCrypto. */
interface Kind {
  readonly id: Uint8Array;
  readonly import: { readonly name: string; readonly namedCurve?: string };
  readonly sign: { readonly name: string; readonly hash?: string };
}

/** The curve prime256v1, and Ed25519. */
const KINDS: readonly Kind[] = [
  {
    id: Uint8Array.of(0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07),
    import: { name: "ECDSA", namedCurve: "P-256" },
    sign: { name: "ECDSA", hash: "SHA-256" },
  },
  {
    id: Uint8Array.of(0x06, 0x03, 0x2b, 0x65, 0x70),
    import: { name: "Ed25519" },
    sign: { name: "Ed25519" },
  },
];

const SEQUENCE = 0x30;
const BEGIN = ascii("-----BEGIN PRIVATE KEY-----");
const END = ascii("-----END PRIVATE KEY-----");

/** Copies DER, or decodes PEM; undefined when it is neither. */
function derOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  if (bytes[0] === SEQUENCE) {
    const copy = allocateOffHeap(bytes.length);
    copy.set(bytes);
    return copy;
  }
  const begin = indexOf(bytes, BEGIN);
  const end = indexOf(bytes, END);
  if (begin < 0 || end < begin) return undefined;
  return decodeDigits(bytes.subarray(begin + BEGIN.length, end));
}

const DIGITS = ascii("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
const BLANKS: readonly number[] = [0x20, 0x09, 0x0a, 0x0d];
const PADDING = "=".charCodeAt(0);

/** Decodes base64 with its line feeds; undefined when it is malformed. The key's own form is for WebCrypto to check. */
function decodeDigits(text: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  const memory = allocateOffHeap(text.length);
  let [bits, count, length, padding] = [0, 0, 0, 0];
  for (const byte of text) {
    if (BLANKS.includes(byte)) continue;
    const digit = DIGITS.indexOf(byte);
    if (byte === PADDING) padding++;
    else if (digit < 0 || padding > 0) count = NaN;
    bits = bits << 6 | Math.max(0, digit);
    if (++count % 4 !== 0) continue;
    for (const shift of [16, 8, 0]) memory[length++] = bits >> shift;
    bits = 0;
  }
  if (count % 4 === 0 && padding <= 2) return memory.subarray(0, length - padding);
  memory.fill(0);
  return undefined;
}

function includes(bytes: Uint8Array, part: Uint8Array): boolean {
  return indexOf(bytes, part) >= 0;
}

function indexOf(bytes: Uint8Array, part: Uint8Array): number {
  for (let start = bytes.indexOf(part[0]!); start >= 0; start = bytes.indexOf(part[0]!, start + 1)) {
    if (equalBytes(bytes.subarray(start, start + part.length), part)) return start;
  }
  return -1;
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
