import { encodeBase64, encodeHex } from "../../lib/core/encoding.ts";
import { DOCUMENT_LABEL } from "./document_input.ts";

/** Forms that `attest` writes. `verify` reads all of them. */
export const DOCUMENT_FORMATS = ["base64", "base64url", "hex", "pem", "json", "raw"] as const;

/** Form of a document. */
export type DocumentFormat = (typeof DOCUMENT_FORMATS)[number];

/**
 * Writes a document in a form.
 *
 * @param document The document, CBOR
 * @param format Form; all but `raw` are text that ends with a line feed
 */
export function formatDocument(document: Uint8Array, format: DocumentFormat): string | Uint8Array {
  const base64 = () => encodeBase64(document);
  switch (format) {
    case "raw":
      return document;
    case "base64":
      return `${base64()}\n`;
    case "base64url":
      return `${base64().replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}\n`;
    case "hex":
      return `${encodeHex(document)}\n`;
    case "json":
      return `${JSON.stringify({ document: base64() })}\n`;
    case "pem": {
      const lines = base64().replace(/.{1,64}/g, "$&\n");
      return `-----BEGIN ${DOCUMENT_LABEL}-----\n${lines}-----END ${DOCUMENT_LABEL}-----\n`;
    }
  }
}
