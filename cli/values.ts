import { closeSync, openSync, readSync } from "node:fs";
import { decodeBase64, decodeHex } from "../lib/core/encoding.ts";
import { DEFAULT_KMS_ENDPOINT, type Endpoint, parseEndpoint } from "../lib/core/endpoint.ts";
import type { Arguments } from "./arguments.ts";
import { reasonOf } from "./reason.ts";
import { MalformedValueError, UsageError } from "./usage_error.ts";

/** Longest file that a flag may name, in bytes. */
const MAX_FILE_BYTES = 1 << 20;

/**
 * Reads the start of a file, pipe or device, which may have no end.
 *
 * @param path Path of the file
 * @returns At most 1 MiB, or 1 MiB and a byte of a file that is longer. The caller wipes it where it is
 *   secret
 */
export function readStart(path: string): Uint8Array<ArrayBuffer> {
  const file = openSync(path, "r");
  const buffer = new Uint8Array(MAX_FILE_BYTES + 1);
  try {
    let length = 0;
    let last = 1;
    while (last > 0 && length < buffer.length) {
      last = readSync(file, buffer, length, buffer.length - length, null);
      length += last;
    }
    return buffer.slice(0, length);
  } finally {
    buffer.fill(0);
    closeSync(file);
  }
}

/**
 * Reads the file that a flag names.
 *
 * @param flag Name of the flag, for the message
 * @param path Path of the file
 * @throws {UsageError} When it cannot be read or is too long
 */
export function readFile(flag: string, path: string): Uint8Array<ArrayBuffer> {
  return readNamed(`--${flag}`, path);
}

/**
 * Reads the text file that a flag names.
 *
 * @throws {UsageError} When the file cannot be read, or is not UTF-8
 */
export function readText(flag: string, path: string): string {
  return readNamedText(`--${flag}`, path);
}

/**
 * Reads the text file that the argument after the flags names.
 *
 * @param args Words of the command
 * @throws {UsageError} When it cannot be read, or is not UTF-8
 */
export function readFileArgument(args: Arguments): string {
  return readNamedText("FILE", args.argument ?? "");
}

/** Reads a file; `name` is that of the flag or argument, for messages. */
function readNamed(name: string, path: string): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = readStart(path);
  } catch (error) {
    throw new UsageError(`${name} must be a file that can be read: ${reasonOf(error)}`);
  }
  if (bytes.length <= MAX_FILE_BYTES) return bytes;
  bytes.fill(0);
  throw new UsageError(`${name} must be a file of at most 1 MiB`);
}

function readNamedText(name: string, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(readNamed(name, path));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${name} must be a file of UTF-8 text`);
  }
}

/**
 * Reads a whole number.
 *
 * @param args Flags of the command
 * @param flag Name of the flag
 * @param range Smallest and largest value
 * @param Failure Class of the error to throw
 * @throws {UsageError} When it is not a whole number in the range
 */
export function integer(
  args: Arguments,
  flag: string,
  { min, max }: { min: number; max: number },
  Failure: typeof UsageError = MalformedValueError,
): number | undefined {
  const value = args.get(flag);
  if (value === undefined) return undefined;
  const number = /^\d{1,16}$/.test(value) ? Number(value) : NaN;
  if (number >= min && number <= max) return number;
  throw new Failure(`--${flag} must be a whole number from ${min} to ${max}`);
}

/**
 * Decodes bytes given as hex, `base64:…`, `text:…` or `@file`.
 *
 * @param flag Name of the flag, for the message
 * @param value Value of the flag
 * @throws {MalformedValueError} When it is none of them
 */
export function bytes(flag: string, value: string): Uint8Array<ArrayBuffer> {
  if (value.startsWith("@")) return readFile(flag, value.slice(1));
  if (value.startsWith("text:")) return new TextEncoder().encode(value.slice(5));
  try {
    return value.startsWith("base64:") ? decodeBase64(value.slice(7)) : decodeHex(value);
  } catch {
    throw new MalformedValueError(`--${flag} must be hex, base64:…, text:… or @FILE`);
  }
}

/** Decodes the bytes of a flag, as {@link bytes} does; undefined when it was not given. */
export function optionalBytes(args: Arguments, flag: string): Uint8Array<ArrayBuffer> | undefined {
  const value = args.get(flag);
  return value === undefined ? undefined : bytes(flag, value);
}

/**
 * Reads DER from DER or PEM.
 *
 * @param flag Name of the flag, for the message
 * @param content Content of a file
 * @param label Label of the PEM, such as `CERTIFICATE`
 * @throws {MalformedValueError} When there is PEM, and of another kind or malformed
 */
export function derOf(
  flag: string,
  content: Uint8Array<ArrayBuffer>,
  label: string,
): Uint8Array<ArrayBuffer> {
  if (content.length === 0) {
    throw new MalformedValueError(`--${flag} must hold ${label} in PEM, or DER: it is empty`);
  }
  const text = new TextDecoder("latin1").decode(content);
  if (!text.includes("-----BEGIN ")) return content;
  const body = new RegExp(`-----BEGIN ${label}-----([^-]+)-----END ${label}-----`).exec(text)?.[1];
  if (body === undefined) throw new MalformedValueError(`--${flag} must hold ${label} in PEM, or DER`);
  try {
    return decodeBase64(body.replaceAll(/\s/g, ""));
  } catch {
    throw new MalformedValueError(`--${flag} must hold ${label} in PEM: its base64 is broken`);
  }
}

/** Parses JSON that is the value itself, the content of `@FILE`, or for `-` the text from `readInput`. */
export async function json(
  flag: string,
  value: string,
  readInput: () => Promise<Uint8Array>,
): Promise<unknown> {
  const text = value === "-"
    ? new TextDecoder().decode(await readInput())
    : value.startsWith("@")
    ? readText(flag, value.slice(1))
    : value;
  try {
    return JSON.parse(text);
  } catch {
    throw new MalformedValueError(`--${flag} must be JSON, @FILE, or - for standard input`);
  }
}

/**
 * Reads the address of KMS: `--endpoint`, or vsock CID 3 and `--proxy-port`.
 *
 * @throws {UsageError} When it is malformed ({@link MalformedValueError}), or both are given
 */
export function endpoint(args: Arguments): Endpoint {
  const given = givenEndpoint(args);
  const port = integer(args, "proxy-port", { min: 0, max: 0xffff_ffff });
  if (given === undefined) return { ...DEFAULT_KMS_ENDPOINT, port: port ?? DEFAULT_KMS_ENDPOINT.port };
  if (port !== undefined) throw new UsageError("--endpoint and --proxy-port exclude each other");
  return given;
}

/**
 * Reads `--endpoint`; undefined when it was not given.
 *
 * @throws {MalformedValueError} When it is none
 */
export function givenEndpoint(args: Arguments): Endpoint | undefined {
  const address = args.get("endpoint");
  const parsed = address === undefined ? undefined : parseEndpoint(address);
  if (address === undefined || parsed !== undefined) return parsed;
  throw new MalformedValueError("--endpoint must be vsock:CID:PORT, tcp:HOST:PORT or unix:PATH");
}

/**
 * Reads a time in ISO 8601, or `document`.
 *
 * @returns Milliseconds since 1970, or `document`
 * @throws {MalformedValueError} When it is neither
 */
export function time(args: Arguments, flag: string): number | "document" | undefined {
  const value = args.get(flag);
  if (value === undefined || value === "document") return value;
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(value) ? Date.parse(value) : NaN;
  if (!Number.isNaN(at)) return at;
  throw new MalformedValueError(
    `--${flag} must be a time such as 2026-01-31T12:00:00Z, or the word document`,
  );
}
