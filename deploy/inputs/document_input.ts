import { parseBootAnswer, type ParsedBootAnswer } from "../../lib/attestation/boot_attestation.ts";
import { fromBase64 } from "../../lib/core/bytes.ts";
import { parseStrictJson } from "../strict_json.ts";

/** Attestation document as it was given. Nothing in it is verified. */
export interface DocumentInput {
  /** The document, CBOR. */
  readonly document: Uint8Array<ArrayBuffer>;
  /** Form that it was read from, in words: `base64`. */
  readonly readAs: string;
  /** Answer of a server that it came in, whose keys it is to vouch for. */
  readonly boot?: ParsedBootAnswer;
}

/** Label of the PEM-like form. */
export const DOCUMENT_LABEL = "ATTESTATION DOCUMENT";

/** Longest input, in bytes. */
export const MAX_INPUT_BYTES = 1 << 20;

/** Forms of a document, for messages. */
export const DOCUMENT_FORMS: string =
  `raw CBOR, base64, base64url, hex, PEM of ${DOCUMENT_LABEL}, or JSON of a server`;

/**
 * Reads an attestation document in any of its forms. No content has two readings. Bytes outside of printable ASCII
 * are CBOR, which every document begins with; then come PEM by its first line, JSON by its first character, hex by its
 * digits, base64url and base64 by their alphabets. A document in base64 begins with `h` or `0o`, so none is hex.
 *
 * @param content Content of the input
 * @param refuse Makes the error of the end of a sentence that says why. Nothing of the content is in it
 * @returns The document, and the form that it had
 * @throws {Error} The error of `refuse`, when it is empty, longer than 1 MiB, or of no such form
 * @throws {AttestationError} When it is an answer of a server, and malformed
 */
export function readDocumentInput(content: Uint8Array<ArrayBuffer>, refuse: Refuse): DocumentInput {
  if (content.length === 0) throw refuse("it is empty");
  if (content.length > MAX_INPUT_BYTES) throw refuse("it has more than 1 MiB");
  const text = textOf(content);
  if (text === undefined) return { document: content, readAs: "raw CBOR" };
  if (text === "") throw refuse("it is empty");
  if (text.startsWith("-----BEGIN ")) return { document: ofPem(refuse, text), readAs: "PEM" };
  if (/^[{["]/.test(text)) return ofJson(refuse, text);
  return ofDigits(refuse, text);
}

/** Maker of an error from the end of a sentence. */
type Refuse = (why: string) => Error;

/** Decodes printable ASCII without the space around it; undefined when the content is anything else. */
function textOf(content: Uint8Array): string | undefined {
  const start = content[0] === 0xef && content[1] === 0xbb && content[2] === 0xbf ? 3 : 0;
  const bytes = content.subarray(start);
  const isText = bytes.every((byte) => byte >= 0x20 && byte < 0x7f || byte >= 0x09 && byte <= 0x0d);
  return isText ? new TextDecoder().decode(bytes).trim() : undefined;
}

function ofPem(refuse: Refuse, text: string): Uint8Array<ArrayBuffer> {
  const label = /^-----BEGIN ([A-Z0-9 ]{1,64})-----/.exec(text)?.[1];
  if (label !== DOCUMENT_LABEL) {
    const found = label === undefined ? "of another kind" : `of ${label}`;
    throw refuse(`it is PEM ${found}, and not of ${DOCUMENT_LABEL}`);
  }
  const [, body = ""] = new RegExp(`^-----BEGIN ${label}-----([^-]*)-----END ${label}-----$`).exec(text) ??
    [];
  try {
    return fromBase64OrThrow(notEmpty(body));
  } catch {
    throw refuse("its PEM is not one whole block of base64");
  }
}

function ofJson(refuse: Refuse, text: string): DocumentInput {
  const value = parseStrictJson(text, (why) => refuse(`it looks like JSON, and ${why}`));
  if (typeof value === "string") return within("JSON", ofDigits(refuse, value));
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refuse("its JSON is neither a text nor an object");
  }
  const members = Object.keys(value);
  if (!members.includes("document")) throw refuse("its JSON has no member `document`");
  const { document } = value as { readonly document: unknown };
  if (members.length === 1 && typeof document === "string") return within("JSON", ofDigits(refuse, document));
  const boot = parseBootAnswer(value);
  return { document: boot.document, readAs: "JSON of a server", boot };
}

function within(form: string, { document, readAs }: DocumentInput): DocumentInput {
  return { document, readAs: `${readAs} in ${form}` };
}

/** Reads hex, base64url or base64, in lines or in one. Padding may be missing. */
function ofDigits(refuse: Refuse, text: string): DocumentInput {
  try {
    const digits = notEmpty(text);
    const hex = /^(?:0x)?([0-9a-fA-F]+)$/.exec(digits)?.[1];
    if (hex !== undefined) return { document: fromHex(hex), readAs: "hex" };
    const isUrl = /[-_]/.test(digits);
    if (isUrl && /[+/]/.test(digits)) throw new TypeError("two alphabets");
    const plain = digits.replaceAll("-", "+").replaceAll("_", "/");
    const padding = plain.endsWith("=") ? "" : "=".repeat((4 - plain.length % 4) % 4);
    return { document: fromBase64OrThrow(`${plain}${padding}`), readAs: isUrl ? "base64url" : "base64" };
  } catch {
    throw refuse("its text is none of them");
  }
}

function notEmpty(text: string): string {
  const digits = text.replaceAll(/\s/g, "");
  if (digits === "") throw new TypeError("empty");
  return digits;
}

function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  if (hex.length % 2 !== 0) throw new TypeError("half a byte");
  return Uint8Array.from(
    { length: hex.length / 2 },
    (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16),
  );
}

function fromBase64OrThrow(text: string): Uint8Array<ArrayBuffer> {
  const bytes = fromBase64(text);
  if (bytes === undefined) throw new TypeError("not canonical");
  return bytes;
}
