import { decode } from "cbor2";
import { AttestationError, type NsmErrorCode } from "../errors.ts";

/** The members of every operation's answer; none where the answer is the operation's bare name. */
const MEMBERS = {
  Attestation: ["document"],
  DescribePCR: ["lock", "data"],
  ExtendPCR: ["data"],
  LockPCR: [],
  LockPCRs: [],
  DescribeNSM: [
    "version_major",
    "version_minor",
    "version_patch",
    "module_id",
    "max_pcrs",
    "locked_pcrs",
    "digest",
  ],
  GetRandom: ["random"],
} as const satisfies Record<string, readonly string[]>;

/** What a module can be asked for. */
export type NsmOperation = keyof typeof MEMBERS;

/** The members of an answer, each read as the type it has to be of. */
export class NsmAnswer<Operation extends NsmOperation> {
  readonly #members: ReadonlyMap<unknown, unknown>;

  private constructor(members: ReadonlyMap<unknown, unknown>) {
    this.#members = members;
  }

  /**
   * Reads an answer, strictly: CBOR without duplicate keys and with nothing after it, a map with the
   * operation's name and just its members, or the bare name where it has none.
   *
   * @param operation What was asked for
   * @param bytes What the module answered
   * @throws {AttestationError} `ERR_ATTESTATION_REFUSED` with the module's reason, or `ERR_ATTESTATION_ANSWER`
   */
  static read<Operation extends NsmOperation>(operation: Operation, bytes: Uint8Array): NsmAnswer<Operation> {
    const answer = decodeAnswer(bytes);
    const expected: readonly string[] = MEMBERS[operation];
    if (expected.length === 0 && answer === operation) return new NsmAnswer(new Map());
    if (!(answer instanceof Map) || answer.size !== 1) throw malformed();
    const reason: unknown = answer.get("Error");
    if (typeof reason === "string") throw refused(operation, reason);
    const members: unknown = answer.get(operation);
    if (!(members instanceof Map) || members.size === 0 || members.size !== expected.length) {
      throw malformed();
    }
    if (!expected.every((name) => members.has(name))) throw malformed();
    return new NsmAnswer(members);
  }

  /** A byte string that is not empty, as a copy. */
  bytes(name: MemberOf<Operation>): Uint8Array<ArrayBuffer> {
    const value = this.#members.get(name);
    if (value instanceof Uint8Array && value.length > 0) return Uint8Array.from(value);
    throw malformed();
  }

  /** A byte string that is not empty, as the only copy: what was answered has zeros in its place. */
  take(name: MemberOf<Operation>): Uint8Array<ArrayBuffer> {
    const value = this.#members.get(name);
    const copy = this.bytes(name);
    if (value instanceof Uint8Array) value.fill(0); // cbor2 decodes byte strings as views of the answer
    return copy;
  }

  /** A text that is not empty. */
  text(name: MemberOf<Operation>): string {
    const value = this.#members.get(name);
    if (typeof value === "string" && value !== "") return value;
    throw malformed();
  }

  /** True or false. */
  boolean(name: MemberOf<Operation>): boolean {
    const value = this.#members.get(name);
    if (typeof value === "boolean") return value;
    throw malformed();
  }

  /** An unsigned number of 16 bits. */
  number(name: MemberOf<Operation>): number {
    return unsigned16(this.#members.get(name));
  }

  /** A set of unsigned numbers of 16 bits, in ascending order. */
  numbers(name: MemberOf<Operation>): number[] {
    const values = this.#members.get(name);
    if (!Array.isArray(values)) throw malformed();
    const numbers = new Set(values.map(unsigned16));
    if (numbers.size !== values.length) throw malformed();
    return [...numbers].sort((a, b) => a - b);
  }

  /** One of these words. */
  oneOf<Word extends string>(name: MemberOf<Operation>, words: readonly Word[]): Word {
    const value = this.#members.get(name);
    const found = words.find((word) => word === value);
    if (found !== undefined) return found;
    throw malformed();
  }
}

type MemberOf<Operation extends NsmOperation> = (typeof MEMBERS)[Operation][number];

const MAX_DEPTH = 4;

/** What each of the module's refusals most likely means. */
const REASONS: Readonly<Record<NsmErrorCode, string>> = {
  InvalidArgument: "Is a part of the request out of the limits of this module?",
  InvalidIndex: "Registers are 0 to 31: does this module have that one?",
  InvalidResponse: "Do other programs of this enclave ask the module, past its driver?",
  ReadOnlyIndex: "The register is locked. PCR0 to PCR15 are locked when the enclave starts; use another",
  InvalidOperation: "Does this module know the operation? An older one may lack it",
  BufferTooSmall: "The answer does not fit the buffer of 12288 bytes: is what is asked for smaller possible?",
  InputTooLarge: "At most 512 bytes of nonce and of user data, and 1024 of public key, fit into a document",
  InternalError: "The module itself failed: does it help to ask again, or to restart the enclave?",
};

function decodeAnswer(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, {
      maxDepth: MAX_DEPTH,
      preferMap: true,
      ignoreGlobalTags: true,
      rejectDuplicateKeys: true,
      rejectFloats: true,
      rejectUndefined: true,
      rejectBigInts: true,
    });
  } catch {
    throw malformed();
  }
}

function unsigned16(value: unknown): number {
  if (Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0xffff) return Number(value);
  throw malformed();
}

function refused(operation: NsmOperation, reason: string): AttestationError {
  const nsmCode = (Object.keys(REASONS) as NsmErrorCode[]).find((code) => code === reason);
  const shown = nsmCode ?? "an unknown error";
  return new AttestationError("REFUSED", `Cannot ask the NSM for ${operation}: it answered ${shown}`, {
    hint: nsmCode === undefined ? "Is the module newer than this library?" : REASONS[nsmCode],
    nsmCode,
  });
}

function malformed(): AttestationError {
  return new AttestationError("ANSWER", "Cannot read the NSM's answer: not the CBOR it should be", {
    hint: "Is what answers really a Nitro Secure Module?",
  });
}
