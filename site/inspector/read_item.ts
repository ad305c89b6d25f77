import { blobSource } from "../../deploy/eif/image_source.ts";
import { describeImage, type ImageDescription } from "../../deploy/eif/inspect_image.ts";
import {
  DOCUMENT_FORMS,
  type DocumentInput,
  MAX_INPUT_BYTES,
  readDocumentInput,
} from "../../deploy/inputs/document_input.ts";
import { readPcrsText } from "../../deploy/inputs/pcrs_text.ts";
import { parsePolicy } from "../../deploy/keys/policy_document.ts";
import { fromBase64 } from "../../lib/core/bytes.ts";
import { EnclaveKmsError } from "../../lib/core/errors.ts";

/** Something that was given to inspect. */
export type Item =
  & {
    /** Name of the file; the empty string of a text that was pasted. */
    readonly name: string;
  }
  & (
    | { readonly kind: "document"; readonly input: DocumentInput }
    | { readonly kind: "image"; readonly description: ImageDescription }
    | { readonly kind: "pcrs"; readonly pcrs: Readonly<Record<number, string>> }
    | { readonly kind: "policy"; readonly text: string }
    | { readonly kind: "root"; readonly der: Uint8Array<ArrayBuffer> }
    | { readonly kind: "refused"; readonly reason: string; readonly hint: string; readonly code: string }
  );

/** Input that is of no known kind, or not well-formed. */
class InputError extends Error {}

/** First four bytes of an image. */
const IMAGE_MAGIC = ".eif";

/**
 * Finds out what a file or a text is, and reads it. An image is read piece by piece, and measured.
 *
 * @param name Name of the file
 * @param content Its content
 * @returns The item; one of kind `refused` when it is none of those that are known, or malformed
 */
export async function readItem(name: string, content: Blob): Promise<Item> {
  try {
    const head = await content.slice(0, IMAGE_MAGIC.length).text();
    if (head === IMAGE_MAGIC) {
      return { name, kind: "image", description: await describeImage(blobSource(content)) };
    }
    if (content.size > MAX_INPUT_BYTES) {
      throw new InputError("It is no enclave image, and anything else has at most 1 MiB");
    }
    return readSmall(name, new Uint8Array(await content.arrayBuffer()));
  } catch (error) {
    return refusal(name, error);
  }
}

function refusal(name: string, error: unknown): Item {
  if (error instanceof EnclaveKmsError) {
    const { message, hint = "", code } = error;
    return { name, kind: "refused", reason: message, hint, code };
  }
  const isKnown = error instanceof InputError || error instanceof RangeError;
  const reason = isKnown
    ? error.message
    : `It cannot be read: ${error instanceof Error ? error.name : "error"}`;
  return { name, kind: "refused", reason, hint: "", code: "" };
}

function readSmall(name: string, bytes: Uint8Array<ArrayBuffer>): Item {
  const text = textOf(bytes);
  if (text !== undefined && /^\s*-----BEGIN CERTIFICATE-----/.test(text)) {
    return { name, kind: "root", der: readCertificate(text) };
  }
  const kind = text === undefined ? "document" : kindOf(text);
  if (kind === "policy") {
    parsePolicy(text!);
    return { name, kind, text: text! };
  }
  if (kind === "pcrs") {
    return { name, kind, pcrs: readPcrsText(text!, (why) => new InputError(`A PCR file must be ${why}`)) };
  }
  const refuse = (why: string) => new InputError(`An attestation document is ${DOCUMENT_FORMS}: ${why}`);
  return { name, kind: "document", input: readDocumentInput(bytes, refuse) };
}

/**
 * Reads a certificate in PEM, the first of a file.
 *
 * @param text PEM
 * @returns DER
 * @throws {InputError} When it is not whole
 */
export function readCertificate(text: string): Uint8Array<ArrayBuffer> {
  const body = /-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/.exec(text)?.[1] ?? "";
  const der = fromBase64(body.replaceAll(/\s/g, ""));
  if (der === undefined || der.length === 0) throw new InputError("The certificate is not whole PEM");
  return der;
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Tells JSON of several kinds apart by its members; each reader is strict afterwards. */
function kindOf(text: string): "document" | "pcrs" | "policy" {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "document";
  }
  if (Array.isArray(value)) return "pcrs";
  if (typeof value !== "object" || value === null) return "document";
  const names = Object.keys(value);
  if (names.includes("Statement")) return "policy";
  if (names.some((name) => /^(?:Measurements|pcrs|PCR\d{1,2})$/.test(name))) return "pcrs";
  return "document";
}
