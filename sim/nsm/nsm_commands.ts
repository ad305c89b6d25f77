import { createHash, randomBytes } from "node:crypto";
import type { NsmErrorCode } from "../../lib/core/attestation_error.ts";

/** The error names of a Nitro Secure Module. */
export type NsmErrorName = NsmErrorCode;

/** A request that the module refuses. */
export class NsmRefusal extends Error {
  /** Name of the error in the answer. */
  readonly errorName: NsmErrorName;

  /** @param errorName Name of the error in the answer */
  constructor(errorName: NsmErrorName) {
    super(`The module refused: ${errorName}`);
    this.errorName = errorName;
  }
}

/** Fields that an enclave asks to have signed. */
export interface AttestationRequest {
  /** The enclave's public key. */
  readonly publicKey: Uint8Array | null;
  /** Anything. */
  readonly userData: Uint8Array | null;
  /** The asker's nonce. */
  readonly nonce: Uint8Array | null;
}

/** State that the commands work on. */
export interface NsmState {
  /** `i-…-enc…`. */
  readonly moduleId: string;
  /** 32 registers of SHA-384. */
  readonly pcrs: PcrBank;
  /** Makes a signed document. */
  attest(request: AttestationRequest): Promise<Uint8Array>;
}

/** The arguments of a command, as decoded from CBOR. */
export type NsmArguments = ReadonlyMap<unknown, unknown>;

/** One command: from its arguments to the value of the answer; undefined answers with the bare name. */
export type NsmCommand = (state: NsmState, args: NsmArguments) => unknown;

/** The platform configuration registers. */
export class PcrBank {
  readonly #values: Uint8Array[];
  readonly #locked: boolean[];

  /**
   * @param initial Values by index, 48 bytes each; the others start as zeros
   */
  constructor(initial: ReadonlyMap<number, Uint8Array>) {
    this.#values = Array.from({ length: MAX_PCRS }, (_, i) => initial.get(i) ?? new Uint8Array(PCR_BYTES));
    this.#locked = Array.from({ length: MAX_PCRS }, (_, i) => i < BOOT_LOCKED_PCRS);
  }

  /** The indexes that can no longer change. */
  get locked(): readonly number[] {
    return this.#locked.flatMap((locked, i) => locked ? [i] : []);
  }

  /** The value of a register and whether it can no longer change. */
  describe(index: number): { lock: boolean; data: Uint8Array } {
    const data = this.#values[index];
    if (data === undefined) throw new NsmRefusal("InvalidIndex");
    return { lock: this.#locked[index] === true, data };
  }

  /** Replaces a register by the SHA-384 of itself and `data`. */
  extend(index: number, data: Uint8Array): Uint8Array {
    const extended = createHash("sha384").update(this.#unlocked(index)).update(data).digest();
    return this.#values[index] = new Uint8Array(extended);
  }

  /** Locks one register. */
  lock(index: number): void {
    this.#unlocked(index);
    this.#locked[index] = true;
  }

  /** Locks the registers below `count`. */
  lockBelow(count: number): void {
    if (count > MAX_PCRS) throw new NsmRefusal("InvalidIndex");
    this.#locked.fill(true, 0, count);
  }

  #unlocked(index: number): Uint8Array {
    const { lock, data } = this.describe(index);
    if (lock) throw new NsmRefusal("ReadOnlyIndex");
    return data;
  }
}

/** Registers of a module. */
export const MAX_PCRS = 32;
/** Registers that are locked when the enclave starts, and so stand in every document. */
export const BOOT_LOCKED_PCRS = 16;
/** Bytes of a register: SHA-384. */
export const PCR_BYTES = 48;
const RANDOM_LENGTH = 256;
const MAX_ATTESTED_PUBLIC_KEY_BYTES = 1024;
const MAX_DATA_LENGTH = 512;

/** The commands that are sent as a bare name. */
export const BARE_COMMANDS: Readonly<Record<string, NsmCommand>> = {
  DescribeNSM: ({ moduleId, pcrs }) => ({
    version_major: 1,
    version_minor: 0,
    version_patch: 0,
    module_id: moduleId,
    max_pcrs: MAX_PCRS,
    locked_pcrs: pcrs.locked,
    digest: "SHA384",
  }),
  GetRandom: () => ({ random: new Uint8Array(randomBytes(RANDOM_LENGTH)) }),
};

/** The commands that are sent as a map of their name to their arguments. */
export const COMMANDS: Readonly<Record<string, NsmCommand>> = {
  DescribePCR: ({ pcrs }, args) => pcrs.describe(number(args, "index")),
  ExtendPCR: ({ pcrs }, args) => ({ data: pcrs.extend(number(args, "index"), bytes(args, "data")) }),
  LockPCR: ({ pcrs }, args) => pcrs.lock(number(args, "index")),
  LockPCRs: ({ pcrs }, args) => pcrs.lockBelow(number(args, "range")),
  Attestation: async (state, args) => ({
    document: await state.attest({
      publicKey: optional(args, "public_key", MAX_ATTESTED_PUBLIC_KEY_BYTES),
      userData: optional(args, "user_data", MAX_DATA_LENGTH),
      nonce: optional(args, "nonce", MAX_DATA_LENGTH),
    }),
  }),
};

function number(args: NsmArguments, name: string): number {
  const value = args.get(name);
  if (Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0xffff) return Number(value);
  throw new NsmRefusal("InvalidOperation");
}

function bytes(args: NsmArguments, name: string): Uint8Array {
  const value = args.get(name);
  if (value instanceof Uint8Array) return value;
  throw new NsmRefusal("InvalidOperation");
}

function optional(args: NsmArguments, name: string, maxLength: number): Uint8Array | null {
  const value = args.get(name);
  if (value === null || value === undefined) return null;
  const given = bytes(args, name);
  if (given.length > maxLength) throw new NsmRefusal("InputTooLarge");
  return given;
}
