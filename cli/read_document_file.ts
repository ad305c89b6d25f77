import { type DocumentInput, readDocumentInput } from "./attestation/document_input.ts";
import { reasonOf } from "./reason.ts";
import type { Terminal } from "./terminal.ts";
import { UsageError } from "./usage_error.ts";
import { readFile, readStart } from "./values.ts";

/**
 * Reads an attestation document from the file of a flag, in any form that `attest` writes.
 *
 * @param flag Name of the flag
 * @param path Path of the file
 * @returns The document; nothing is verified
 * @throws {UsageError} When the file cannot be read, or holds something else
 */
export function readDocumentFile(flag: string, path: string): Uint8Array<ArrayBuffer> {
  return readDocumentInput(`--${flag}`, readFile(flag, path)).document;
}

/**
 * Reads an attestation document from the argument of a command: a file, or `-` for standard input.
 *
 * @param path The argument
 * @param terminal Gives standard input
 * @returns The document, and the form that it had
 * @throws {UsageError} When it cannot be read, or is something else
 */
export async function readDocumentArgument(path: string, terminal: Terminal): Promise<DocumentInput> {
  const content = path === "-" ? new Uint8Array(await terminal.readInput()) : readArgument(path);
  return readDocumentInput("FILE", content);
}

function readArgument(path: string): Uint8Array<ArrayBuffer> {
  try {
    return readStart(path);
  } catch (error) {
    throw new UsageError(`FILE must be a file that can be read: ${reasonOf(error)}`);
  }
}
