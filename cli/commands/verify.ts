import { type AttestationDocument, decodeAttestationDocument } from "../../lib/attestation/document.ts";
import { verifyAttestation, type VerifyAttestationOptions } from "../../lib/attestation/verify.ts";
import { AttestationError } from "../../lib/core/errors.ts";
import type { Arguments } from "../arguments.ts";
import { UsageError } from "../usage_error.ts";
import { describeDocument, documentJson } from "../document_report.ts";
import { attestationExit, EXIT } from "../exit_codes.ts";
import { describeFailure } from "../failure.ts";
import type { Terminal } from "../terminal.ts";
import { bytes, derOf, integer, optionalBytes, readFile, readStart, time } from "../values.ts";
import { documentBytes } from "../read_document_file.ts";
import { reasonOf } from "../reason.ts";

/** Runs `verify`: checks an attestation document and prints its fields. */
export async function verify(args: Arguments, terminal: Terminal): Promise<number> {
  const content = await readDocument(args.argument ?? "-", terminal);
  const expected = expectations(args);
  const failure = await failureOf(content, expected);
  const document = readable(content);
  if (args.has("json")) {
    await terminal.report(`${JSON.stringify(documentJson(document, failure), undefined, 2)}\n`);
  } else {
    if (document !== undefined) await terminal.report(describeDocument(document, failure, terminal));
    for (const line of failure === undefined ? [] : describeFailure("enclave-kms verify", failure)) {
      terminal.note(line);
    }
  }
  return failure === undefined ? EXIT.ok : attestationExit(failure.code);
}

type Expectations = Omit<VerifyAttestationOptions, "at"> & { readonly at?: number | "document" | undefined };

async function failureOf(
  content: Uint8Array,
  { at, ...expected }: Expectations,
): Promise<AttestationError | undefined> {
  try {
    const moment = at === "document" ? decodeAttestationDocument(content).timestamp : at;
    await verifyAttestation(content, { ...expected, at: moment });
    return undefined;
  } catch (error) {
    if (error instanceof AttestationError) return error;
    throw error;
  }
}

/** Decodes a document to print it, even when it failed a check. */
function readable(content: Uint8Array): AttestationDocument | undefined {
  try {
    return decodeAttestationDocument(content);
  } catch {
    return undefined;
  }
}

function expectations(args: Arguments): Expectations {
  const root = args.get("root");
  const maxAge = integer(args, "max-age", { min: 0, max: 315_360_000 });
  return {
    nonce: expectedBytes(args, "nonce"),
    userData: expectedBytes(args, "user-data"),
    pcrs: expectedPcrs(args.all("pcr")),
    maxAgeMs: maxAge === undefined ? undefined : maxAge * 1000,
    root: root === undefined ? undefined : derOf("root", readFile("root", root), "CERTIFICATE"),
    allowDebug: args.has("allow-debug"),
    at: time(args, "at"),
  };
}

/**
 * Refuses an empty expectation: an empty variable of a script would otherwise match a document without the
 * field.
 */
function expectedBytes(args: Arguments, flag: string): Uint8Array | undefined {
  const expected = optionalBytes(args, flag);
  if (expected?.length !== 0) return expected;
  throw new UsageError(`--${flag} must not be empty: leave it out to expect nothing`);
}

/** Collects the values of each register. A document needs to match one of them. */
function expectedPcrs(given: readonly string[]): Record<number, Uint8Array[]> | undefined {
  if (given.length === 0) return undefined;
  const pcrs: Record<number, Uint8Array[]> = {};
  for (const text of given) {
    const [, index, value] = /^(\d{1,2})=([\da-f]+)$/i.exec(text) ?? [];
    const hex = value !== undefined && [64, 96, 128].includes(value.length) ? bytes("pcr", value) : undefined;
    if (hex === undefined || Number(index) > 31) {
      throw new UsageError("--pcr must be a number from 0 to 31, =, and 64, 96 or 128 hex digits");
    }
    (pcrs[Number(index)] ??= []).push(hex);
  }
  return pcrs;
}

/** Reads a document as `attest` writes it: bytes or base64. */
async function readDocument(path: string, terminal: Terminal): Promise<Uint8Array> {
  return documentBytes("FILE", path === "-" ? await terminal.readInput() : readContent(path));
}

function readContent(path: string): Uint8Array {
  try {
    return readStart(path);
  } catch (error) {
    throw new UsageError(`FILE must be a file that can be read: ${reasonOf(error)}`);
  }
}
