import { AttestationError, type NsmErrorCode } from "../core/errors.ts";
import { cborEntries, type CborItem, cborText, readCbor } from "../core/cbor.ts";

/** Members of each operation's answer; none where the answer is the bare name of the operation. */
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

/** Operation of a module. */
export type NsmOperation = keyof typeof MEMBERS;

/** Members of an answer, each read as its required type. */
export class NsmAnswer<Operation extends NsmOperation> {
  readonly #members: ReadonlyMap<string, CborItem>;

  private constructor(members: ReadonlyMap<string, CborItem>) {
    this.#members = members;
  }

  /**
   * Reads an answer: CBOR without duplicate keys and with nothing after it, a map with the operation's name
   * alone and its members, or the bare name where it has none. Unknown members are ignored, as in AWS's
   * own library: a newer module may send some.
   *
   * @param operation Operation that was asked for
   * @param bytes Answer of the module
   * @throws {AttestationError} `ERR_ATTESTATION_REFUSED` with the module's reason, or `ERR_ATTESTATION_ANSWER`
   */
  static read<Operation extends NsmOperation>(operation: Operation, bytes: Uint8Array): NsmAnswer<Operation> {
    const answer = readAnswer(bytes);
    const expected: readonly string[] = MEMBERS[operation];
    if (expected.length === 0 && cborText(answer) === operation) return new NsmAnswer(new Map());
    const parts = members(answer);
    if (parts.size !== 1) throw malformed();
    const reason = cborText(parts.get("Error"));
    if (reason !== undefined) throw refused(operation, reason);
    const found = members(parts.get(operation));
    if (expected.length === 0 || !expected.every((name) => found.has(name))) throw malformed();
    return new NsmAnswer(found);
  }

  /** Copies a byte string that is not empty. */
  bytes(name: MemberOf<Operation>): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#view(name));
  }

  /** Takes a byte string that is not empty, and leaves zeros in the answer: the copy is the only one. */
  take(name: MemberOf<Operation>): Uint8Array<ArrayBuffer> {
    const view = this.#view(name);
    const copy = Uint8Array.from(view);
    view.fill(0);
    return copy;
  }

  /** Reads a text that is not empty. */
  text(name: MemberOf<Operation>): string {
    const value = cborText(this.#members.get(name));
    if (value !== undefined && value !== "") return value;
    throw malformed();
  }

  /** Reads true or false. */
  boolean(name: MemberOf<Operation>): boolean {
    const item = this.#members.get(name);
    const value = item?.type === "simple" ? BOOLEANS.get(item.argument) : undefined;
    if (value !== undefined) return value;
    throw malformed();
  }

  /** Reads an unsigned number of 16 bits. */
  number(name: MemberOf<Operation>): number {
    return unsigned16(this.#members.get(name));
  }

  /** Reads a set of unsigned numbers of 16 bits, in ascending order. */
  numbers(name: MemberOf<Operation>): number[] {
    const list = this.#members.get(name);
    if (list?.type !== "array") throw malformed();
    const numbers = new Set(list.items.map(unsigned16));
    if (numbers.size !== list.items.length) throw malformed();
    return [...numbers].sort((a, b) => a - b);
  }

  /** Reads one of some words. */
  oneOf<Word extends string>(name: MemberOf<Operation>, words: readonly Word[]): Word {
    const value = cborText(this.#members.get(name));
    const found = words.find((word) => word === value);
    if (found !== undefined) return found;
    throw malformed();
  }

  #view(name: MemberOf<Operation>): Uint8Array {
    const item = this.#members.get(name);
    if (item?.type !== "bytes" || item.isIndefinite || item.content.length === 0) throw malformed();
    return item.content;
  }
}

type MemberOf<Operation extends NsmOperation> = (typeof MEMBERS)[Operation][number];

/** Booleans by their simple values in CBOR. */
const BOOLEANS: ReadonlyMap<number, boolean> = new Map([[20, false], [21, true]]);

/** Likeliest cause of each refusal of the module. */
const REASONS: Readonly<Record<NsmErrorCode, string>> = {
  InvalidArgument: "Does a field of the request exceed this module's limits?",
  InvalidIndex: "Registers are 0 to 31: does this module have the one that was asked for?",
  InvalidResponse: "Does another program in this enclave use the module without its driver?",
  ReadOnlyIndex: "The register is locked. PCR0 to PCR15 are locked when the enclave starts; use another",
  InvalidOperation: "Does this module support the operation? An older one may not",
  BufferTooSmall:
    "The answer does not fit into the buffer of 12288 bytes: ask for a document with less in it",
  InputTooLarge: "A document has room for 512 bytes of nonce, 512 of user data and 1024 of public key",
  InternalError: "The module failed: try again, or restart the enclave",
};

function readAnswer(bytes: Uint8Array): CborItem {
  const item = readCbor(bytes);
  if (item === undefined) throw malformed();
  return item;
}

/** Reads the values of a map by name. */
function members(map: CborItem | undefined): ReadonlyMap<string, CborItem> {
  if (map?.type !== "map") throw malformed();
  const found = new Map<string, CborItem>();
  for (const [key, value] of cborEntries(map)) {
    const name = cborText(key);
    if (name === undefined || found.has(name)) throw malformed();
    found.set(name, value);
  }
  return found;
}

function unsigned16(item: CborItem | undefined): number {
  if (item?.type === "unsigned" && item.argument <= 0xffff) return item.argument;
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
  return new AttestationError("ANSWER", "Cannot read the NSM's answer: it is not the expected CBOR", {
    hint: "Is something other than a Nitro Secure Module answering?",
  });
}
