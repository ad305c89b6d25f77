import { ProtocolError } from "../core/errors.ts";
import { isMatch, isPrintable, toPrintable } from "./peer_text.ts";
import { SECRET_NAME } from "./signed_secret.ts";

/** Answer of the enclave to a secret: one line of JSON, after which it ends its side of the stream. */
export type SecretReceipt =
  | {
    readonly ok: true;
    /** Name of the secret, as it is declared. */
    readonly name: string;
    /** SHA-256 of what was sent, without a frame or a signature, in 64 hex digits. */
    readonly sha256: string;
  }
  | {
    readonly ok: false;
    /** Stable code, such as `ERR_SECRET_VERSION`. */
    readonly code: string;
    /** Refusal, action first, without any secret. */
    readonly message: string;
    /** Likeliest cause. */
    readonly hint?: string;
  };

/** Longest line, in bytes, with its line feed. */
export const MAX_SECRET_RECEIPT_BYTES = 4096;

const CODE = /^ERR_[A-Z0-9_]{1,64}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const LINE_FEED = 0x0a;

/**
 * Writes a receipt. Texts are cut to 512 characters, and lose what a terminal would take as a command.
 *
 * @param receipt The answer
 * @returns One line of JSON with its line feed, at most {@link MAX_SECRET_RECEIPT_BYTES} bytes
 */
export function encodeSecretReceipt(receipt: SecretReceipt): Uint8Array<ArrayBuffer> {
  const line = receipt.ok
    ? { ok: true, name: receipt.name, sha256: receipt.sha256 }
    : { ok: false, code: receipt.code, message: toPrintable(receipt.message), ...hintOf(receipt.hint) };
  return new TextEncoder().encode(`${JSON.stringify(line)}\n`);
}

/**
 * Reads a receipt, which may come from something else than an enclave. Unknown members are refused.
 *
 * @param line The line, with or without its line feed
 * @returns The answer
 * @throws {ProtocolError} When it is no receipt; the message repeats nothing of it
 */
export function parseSecretReceipt(line: Uint8Array): SecretReceipt {
  const receipt = line.length <= MAX_SECRET_RECEIPT_BYTES ? readReceipt(parseLine(line)) : undefined;
  if (receipt !== undefined) return receipt;
  throw new ProtocolError("Cannot read receipt: it is not the line of JSON that the enclave answers with", {
    hint: line.length === 0
      ? "Did the enclave end the connection: is the window over, or is another sender on this port?"
      : "Is something else listening on this port?",
  });
}

function parseLine(line: Uint8Array): unknown {
  const end = line.indexOf(LINE_FEED);
  if (end !== -1 && end !== line.length - 1) return undefined;
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(line));
  } catch {
    return undefined;
  }
}

function readReceipt(parsed: unknown): SecretReceipt | undefined {
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return undefined;
  const { ok, ...rest } = parsed as Readonly<Record<string, unknown>>;
  return ok === true ? readSuccess(rest) : ok === false ? readRefusal(rest) : undefined;
}

function readSuccess(
  { name, sha256, ...unknown }: Readonly<Record<string, unknown>>,
): SecretReceipt | undefined {
  if (Object.keys(unknown).length > 0 || !isMatch(name, SECRET_NAME) || !isMatch(sha256, SHA256)) {
    return undefined;
  }
  return { ok: true, name, sha256 };
}

function readRefusal(
  { code, message, hint, ...unknown }: Readonly<Record<string, unknown>>,
): SecretReceipt | undefined {
  if (Object.keys(unknown).length > 0 || !isMatch(code, CODE) || !isPrintable(message)) return undefined;
  if (hint === undefined) return { ok: false, code, message };
  return isPrintable(hint) ? { ok: false, code, message, hint } : undefined;
}

function hintOf(hint: string | undefined): { hint?: string } {
  return hint === undefined ? {} : { hint: toPrintable(hint) };
}
