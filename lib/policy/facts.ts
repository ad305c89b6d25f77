import { checkFields, checkInteger, checkRecord, checkWellFormed } from "../core/checks.ts";
import { pcrHex, type PcrsByIndex, type PcrValue, readPcrs } from "../core/pcrs.ts";
import { type CiphertextDigest, digestCiphertext } from "../core/request_facts.ts";
import { checkAction } from "./actions.ts";

/** What the operator may assign to a caller; numbers are whole. */
export type AttributeValue = string | number | boolean | readonly string[];

/** Who asks: the peer of the connection, and what the operator says of it. Nothing here is the caller's word. */
export interface Caller {
  /** The peer's CID, 0 to 2^32-1; on the parent, every process has CID 3. */
  readonly cid: number;
  /** What the operator assigned to it. */
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}

/** Names of all {@link FactParts}, in the order in which messages list them. */
export const FACT_PARTS: readonly string[] = [
  "action",
  "caller",
  "keyId",
  "region",
  "encryptionContext",
  "ciphertext",
  "pcrs",
  "time",
  "recentCount",
];

/** The parts that facts are made of. */
export interface FactParts {
  /** Name of the action, a word such as `Decrypt`. The policy must have been loaded for it, or it denies. */
  readonly action: string;
  /** Who asks. */
  readonly caller: Caller;
  /** Key id, ARN or alias that goes to KMS; undefined when none does. */
  readonly keyId?: string | undefined;
  /** The region that the request goes to. */
  readonly region: string;
  /** What goes to KMS as encryption context. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
  /**
   * The very bytes that go to KMS, or their digest where they were hashed before; undefined when the operation has
   * none.
   */
  readonly ciphertext?: Uint8Array | CiphertextDigest | undefined;
  /** The enclave's PCRs by index 0 to 15, as a document's `pcrs` has them. A frozen object is looked at once. */
  readonly pcrs?: PcrsByIndex<PcrValue> | undefined;
  /** Seconds since 1970. */
  readonly time: number;
  /**
   * The caller's requests in the window, with this one. The server adds those it refused on the same connection:
   * they count for no other connection, for all callers may have one CID.
   */
  readonly recentCount: number;
}

/**
 * What policies judge. {@link makeFacts} is the only way to make it; policies refuse any other object.
 * As JSON, in this order of fields, it is also what a plug-in reads.
 */
export interface PolicyFacts {
  /** Who asks. */
  readonly principal: Caller;
  /** Name of the action. */
  readonly action: string;
  /** With which key. */
  readonly resource: {
    /** As it goes to KMS: key id, ARN or alias; empty when none does. */
    readonly key: string;
    /** The region that the request goes to. */
    readonly region: string;
  };
  /** The circumstances. */
  readonly context: {
    /** Empty when there is none. */
    readonly encryptionContext: Readonly<Record<string, string>>;
    /** In bytes; 0 when there is none. */
    readonly ciphertextLength: number;
    /** Of the ciphertext, 64 hex digits; empty when there is none. */
    readonly ciphertextSha256: string;
    /** The enclave's PCRs in hex, by `pcr0` to `pcr15`. */
    readonly pcrs: Readonly<Record<string, string>>;
    /** Seconds since 1970. */
    readonly time: number;
    /** The caller's requests in the window, with this one and those refused on the same connection. */
    readonly recentCount: number;
  };
}

/** What facts may come to, serialised, in bytes. */
export const MAX_FACTS_BYTES = 65_536;

/** Every facts object there is, with its serialisation: made once, and proof of where the object comes from. */
const serialised = new WeakMap<PolicyFacts, Uint8Array>();

/**
 * Builds what policies judge, from parts that the host knows or has checked. Nothing is kept of the objects
 * it is given; the result is frozen, and already serialised.
 *
 * @param parts The parts; the ciphertext is the very memory that goes to KMS afterwards
 * @returns The facts
 * @throws {TypeError} When a part is missing, unknown or of a wrong type
 * @throws {RangeError} When a number is out of range, or all together are over 64 KiB
 * @example
 * ```ts
 * import { makeFacts } from "enclave-kms/policy";
 *
 * const facts = makeFacts({
 *   action: "Decrypt",
 *   caller: { cid: 7, attributes: { tenant: "red" } },
 *   keyId: "alias/tenants",
 *   region: "eu-central-1",
 *   encryptionContext: { tenant: "red" },
 *   ciphertext: new Uint8Array([1, 2, 3]),
 *   time: 1_800_000_000,
 *   recentCount: 1,
 * });
 * facts.context.ciphertextLength; // 3
 * ```
 */
export function makeFacts(parts: FactParts): PolicyFacts {
  const given = checkFields("parts of the facts", parts, FACT_PARTS);
  const { keyId = "", encryptionContext = {}, pcrs = {} } = given;
  const facts: PolicyFacts = deepFreeze({
    principal: checkCaller(given.caller),
    action: checkAction("action", given.action),
    resource: { key: checkString("keyId", keyId), region: checkString("region", given.region) },
    context: {
      encryptionContext: mapRecord(
        "encryptionContext",
        encryptionContext,
        (value) => checkString("encryptionContext", value),
      ),
      ...describeCiphertext(given.ciphertext),
      pcrs: checkPcrs(pcrs),
      time: checkInteger("time", given.time, { min: 0, max: Number.MAX_SAFE_INTEGER }),
      recentCount: checkInteger("recentCount", given.recentCount, { min: 0, max: Number.MAX_SAFE_INTEGER }),
    },
  });
  const bytes = new TextEncoder().encode(JSON.stringify(facts));
  if (bytes.length > MAX_FACTS_BYTES) {
    throw new RangeError(
      `The request's facts come to ${bytes.length} bytes, and may have ${MAX_FACTS_BYTES}`,
    );
  }
  serialised.set(facts, bytes);
  return facts;
}

/**
 * The facts as plug-ins read them.
 *
 * @param facts What {@link makeFacts} made
 * @returns Them as JSON in UTF-8, at most 64 KiB; nobody may write to these bytes
 * @throws {TypeError} When the host did not make them
 */
export function serialisedFacts(facts: PolicyFacts): Uint8Array {
  const bytes = serialised.get(facts);
  if (bytes === undefined) throw new TypeError("These facts were not made by makeFacts()");
  return bytes;
}

/**
 * Makes the facts of a plain request, which every policy must be able to decide, one way or the other.
 *
 * @param action Name of the action
 * @param cid CID of the caller. Default: the parent's
 * @returns The facts
 */
export function canaryFacts(action: string, cid = 3): PolicyFacts {
  return makeFacts({
    action,
    caller: { cid, attributes: {} },
    region: "us-east-1",
    encryptionContext: { canary: "canary" },
    ciphertext: new Uint8Array(1),
    time: 1_800_000_000,
    recentCount: 1,
  });
}

function checkCaller(given: unknown): Caller {
  const { cid, attributes } = checkFields("caller", given as Record<string, unknown>, ["cid", "attributes"]);
  return {
    cid: checkInteger("cid", cid, { min: 0, max: 0xffff_ffff }),
    attributes: mapRecord("attributes", attributes, checkAttribute),
  };
}

function checkAttribute(value: unknown): AttributeValue {
  if (typeof value === "boolean") return value;
  if (typeof value === "string") return checkString("attributes", value);
  if (Array.isArray(value)) return value.map((item) => checkString("attributes", item));
  return checkInteger("attributes", value, { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });
}

/** What frozen PCRs came to: a server has the same ones for every request, and there are 16 to check. */
const checkedPcrs = new WeakMap<object, Readonly<Record<string, string>>>();

function checkPcrs(pcrs: NonNullable<FactParts["pcrs"]>): Readonly<Record<string, string>> {
  const known = checkedPcrs.get(pcrs);
  if (known !== undefined) return known;
  const checked = Object.fromEntries(readPcrs("pcrs", pcrs).map(checkPcr));
  // A frozen Map can change all the same.
  if (!(pcrs instanceof Map) && Object.isFrozen(pcrs)) checkedPcrs.set(pcrs, checked);
  return checked;
}

function checkPcr([index, value]: readonly [number, unknown]): [name: string, hex: string] {
  const number = checkInteger("pcrs", index, { min: 0, max: 15 });
  return [`pcr${number}`, pcrHex(`pcrs[${number}]`, value)];
}

function describeCiphertext(ciphertext: Uint8Array | CiphertextDigest | undefined) {
  if (ciphertext === undefined) return { ciphertextLength: 0, ciphertextSha256: "" };
  const { sha256, length } = ciphertext instanceof Uint8Array
    ? digestCiphertext(ciphertext)
    : checkDigest(ciphertext);
  return { ciphertextLength: length, ciphertextSha256: sha256 };
}

function checkDigest(given: CiphertextDigest): CiphertextDigest {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new TypeError("ciphertext must be a Uint8Array, or its digest");
  }
  const { sha256, length } = checkFields("ciphertext digest", given, ["sha256", "length"]);
  if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) {
    throw new TypeError("ciphertext.sha256 must be 64 lowercase hex digits");
  }
  return {
    sha256,
    length: checkInteger("ciphertext.length", length, { min: 0, max: Number.MAX_SAFE_INTEGER }),
  };
}

function checkString(field: string, value: unknown): string {
  if (typeof value !== "string") throw new TypeError(`${field} must be a string`);
  return checkWellFormed(field, value);
}

function mapRecord<T>(field: string, record: unknown, check: (value: unknown) => T): Record<string, T> {
  return Object.fromEntries(
    checkRecord(field, record).map(([name, value]) => [checkString("names", name), check(value)]),
  );
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) if (typeof inner === "object") deepFreeze(inner);
  return Object.freeze(value);
}
