import { decodeBase64, encodeBase64 } from "../../lib/core/encoding.ts";
import { SharedKeyError } from "../../lib/core/errors.ts";
import { sha256 } from "../../lib/core/sha256.ts";
import { toHex } from "../../lib/core/bytes.ts";
import { MAX_CIPHERTEXT_BYTES } from "../../lib/kms/operations/decrypt.ts";
import { MAX_STORED_BYTES } from "./store.ts";
import { MAX_VERSION, SHARED_KEY_SPECS, type SharedKeySpec } from "./shared_key_options.ts";

/** Facts about one version of a shared key. KMS binds the key to all of them: they are its encryption context. */
export interface RecordFacts {
  /** Name of the key. */
  readonly name: string;
  /** Version, from 1. */
  readonly version: number;
  /** Kind of key. */
  readonly spec: SharedKeySpec;
  /** Time of making, milliseconds since 1970, by the clock of the enclave that made it. */
  readonly madeMs: number;
  /** PCR0 of the image that made it, 96 hex digits. */
  readonly image: string;
  /** SHA-256 of the record before, 64 hex digits; undefined with version 1. */
  readonly previous: string | undefined;
}

/** Record of one version, as a store holds it. */
export interface KeyRecord extends RecordFacts {
  /** Key, encrypted by KMS. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
}

/** Record that was read, and what the next one names it by. */
export interface ReadRecord extends KeyRecord {
  /** SHA-256 of its bytes, 64 hex digits. */
  readonly hash: string;
}

const FORMAT = "enclave-kms-shared-key-1";

/**
 * Names a record in its store.
 *
 * @param name Name of the key
 * @param version Its version
 */
export function recordName(name: string, version: number): string {
  return `${name}.${version}`;
}

/**
 * Makes the encryption context that binds a key to the facts about it.
 *
 * @param facts Facts of the record
 * @param own Context of the application
 */
export function contextOf(
  { name, version, spec, madeMs, image, previous }: RecordFacts,
  own: Readonly<Record<string, string>>,
): Record<string, string> {
  return {
    ...own,
    "enclave-kms-shared-key": name,
    "enclave-kms-version": String(version),
    "enclave-kms-spec": spec,
    "enclave-kms-made": String(madeMs),
    "enclave-kms-image": image,
    "enclave-kms-previous": previous ?? "none",
  };
}

/**
 * Writes a record. There is one way to write it.
 *
 * @param record The record
 */
export function encodeRecord(record: KeyRecord): Uint8Array<ArrayBuffer> {
  const { name, version, spec, madeMs, image, previous = null, ciphertext } = record;
  const facts = { format: FORMAT, name, version, spec, madeMs, image, previous };
  return new TextEncoder().encode(`${JSON.stringify({ ...facts, ciphertext: encodeBase64(ciphertext) })}\n`);
}

/**
 * Reads what a store gave for a version. It must be the one way to write a record of just this key and version.
 *
 * @param bytes Bytes that the store gave
 * @param expected Key, version and kind that were asked for
 * @returns The record, about which nothing but its form is known
 * @throws {SharedKeyError} `ERR_SHARED_KEY_RECORD` when it is anything else
 */
export function decodeRecord(
  bytes: Uint8Array,
  expected: Pick<RecordFacts, "name" | "version" | "spec">,
): ReadRecord {
  if (!(bytes instanceof Uint8Array)) throw refused(expected, "is no bytes");
  if (bytes.length > MAX_STORED_BYTES) throw refused(expected, `has more than ${MAX_STORED_BYTES} bytes`);
  const own = Uint8Array.from(bytes);
  const record = parse(own);
  if (record === undefined) throw refused(expected, "is none");
  if (record.name !== expected.name) throw refused(expected, "is of another key");
  if (record.version !== expected.version) throw refused(expected, "is of another version");
  if (record.spec !== expected.spec) throw refused(expected, "is of another kind of key");
  return { ...record, hash: hashOf(own) };
}

/**
 * Hashes a record, for the next one to name it by.
 *
 * @param bytes The record, as the store has it
 * @returns 64 hex digits
 */
export function hashOf(bytes: Uint8Array): string {
  return toHex(sha256(bytes));
}

/**
 * Makes the error of a record that is refused.
 *
 * @param record Name and version of the key
 * @param what Fault of it, as the end of a sentence
 * @param cause Error that it was made from
 */
export function refused(
  { name, version }: Pick<RecordFacts, "name" | "version">,
  what: string,
  cause?: unknown,
): SharedKeyError {
  return new SharedKeyError(
    "RECORD",
    `Cannot take shared key ${name}: the record of version ${version} ${what}`,
    {
      hint: "Did somebody else write to the store? Its records are written once, and never changed",
      cause,
    },
  );
}

function parse(bytes: Uint8Array): KeyRecord | undefined {
  try {
    const { name, version, spec, madeMs, image, previous, ciphertext } = JSON.parse(
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
    );
    const record = {
      ...{ name, version, spec, madeMs, image, previous: previous ?? undefined },
      ciphertext: decodeBase64(ciphertext),
    };
    // What is written again in the one way, and is the same, had no other members and no other form.
    const again = encodeRecord(record);
    if (!isFormed(record) || again.length !== bytes.length) return undefined;
    return again.every((byte, i) => byte === bytes[i]) ? record : undefined;
  } catch {
    return undefined;
  }
}

function isFormed(record: KeyRecord): boolean {
  const { name, version, spec, madeMs, image, previous, ciphertext } = record;
  return typeof name === "string" && isIn(version, 1, MAX_VERSION) && SHARED_KEY_SPECS.includes(spec) &&
    isIn(madeMs, 0, Number.MAX_SAFE_INTEGER) && /^[0-9a-f]{96}$/.test(image) &&
    (version === 1 ? previous === undefined : /^[0-9a-f]{64}$/.test(previous ?? "")) &&
    isIn(ciphertext.length, 1, MAX_CIPHERTEXT_BYTES);
}

function isIn(value: unknown, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max;
}
