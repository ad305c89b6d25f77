import {
  DOCUMENT_FORMS,
  type DocumentInput,
  readDocumentInput as readInput,
} from "../../deploy/inputs/document_input.ts";
import { UsageError } from "../usage_error.ts";

export { DOCUMENT_LABEL, type DocumentInput } from "../../deploy/inputs/document_input.ts";

/**
 * Reads an attestation document in any of its forms, as deploy/inputs does.
 *
 * @param name Name of the input, for messages
 * @param content Its content
 * @returns The document, and the form that it had
 * @throws {UsageError} When it is empty, longer than 1 MiB, or of no such form
 * @throws {AttestationError} When it is an answer of a server, and malformed
 */
export function readDocumentInput(name: string, content: Uint8Array<ArrayBuffer>): DocumentInput {
  return readInput(
    content,
    (why) => new UsageError(`${name} must hold an attestation document (${DOCUMENT_FORMS}): ${why}`),
  );
}
