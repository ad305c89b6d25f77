import { checkFields, checkInteger, checkRecord, checkWellFormed } from "../core/checks.ts";
import { LAST_KNOWN_PCR, pcrHex, type PcrsByIndex, type PcrValue, readPcrs } from "../core/pcrs.ts";
import { type CiphertextDigest, digestCiphertext } from "../core/request_facts.ts";
import { checkAction } from "./actions.ts";
import { type Attributes, checkAttributes } from "./attributes.ts";
import {
  type CallerPrincipal,
  type CertificatePrincipal,
  checkCid,
  checkPrincipal,
  type ParentPrincipal,
  type Principal,
  type TokenPrincipal,
} from "./principal.ts";

/** Caller: the peer of the connection, with the operator's attributes. The peer itself gave none of it. */
export interface Caller {
  /** CID of the peer, 0 to 2^32-1; on the parent, every process has CID 3. */
  readonly cid: number;
  /** Attributes that the operator assigned to it. */
  readonly attributes: Attributes;
}

/** Caller of one of the four types, with the operator's attributes, which only a CID or a certificate may have. */
export type KnownCaller = Principal & { readonly attributes?: Attributes | undefined };

/** Principal as policies judge it: who calls, with the operator's attributes or the token's claims. */
export type JudgedPrincipal =
  | CallerPrincipal & { readonly attributes: Attributes }
  | TokenPrincipal
  | CertificatePrincipal & { readonly attributes: Attributes }
  | ParentPrincipal;

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

/** Parts that facts are made of. */
export interface FactParts {
  /** Name of the action, a word such as `Decrypt`. The policy must have been loaded for it, or it denies. */
  readonly action: string;
  /** Caller of the request: a principal with its `type`, or the peer of a connection by its CID alone. */
  readonly caller: Caller | KnownCaller;
  /** Key id, ARN or alias that goes to KMS; undefined when the request names no key. */
  readonly keyId?: string | undefined;
  /** Region that the request goes to. */
  readonly region: string;
  /** Encryption context that goes to KMS. */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
  /**
   * Ciphertext: the very bytes that go to KMS, or their digest where they were hashed before; undefined when the
   * operation has none.
   */
  readonly ciphertext?: Uint8Array | CiphertextDigest | undefined;
  /** PCRs of the enclave by index 0 to 16, as in a document's `pcrs`. A frozen object is read once. */
  readonly pcrs?: PcrsByIndex<PcrValue> | undefined;
  /** Time of the request, in seconds since 1970. */
  readonly time: number;
  /**
   * Number of the caller's requests in the window, with this one. The server adds those that it refused on the same
   * connection: they count for no other connection, since all callers may have one CID.
   */
  readonly recentCount: number;
}

/**
 * Facts that policies judge. {@link makeFacts} is the only way to make them; policies refuse any other object.
 * A plug-in reads them as JSON, in this order of fields.
 */
export interface PolicyFacts {
  /** Caller of the request. */
  readonly principal: JudgedPrincipal;
  /** Name of the action. */
  readonly action: string;
  /** Key that the request names. */
  readonly resource: {
    /** Key id, ARN or alias that goes to KMS; empty when the request names no key. */
    readonly key: string;
    /** Region that the request goes to. */
    readonly region: string;
  };
  /** Circumstances of the request. */
  readonly context: {
    /** Encryption context; empty when there is none. */
    readonly encryptionContext: Readonly<Record<string, string>>;
    /** Length of the ciphertext in bytes; 0 when there is none. */
    readonly ciphertextLength: number;
    /** SHA-256 of the ciphertext, 64 hex digits; empty when there is none. */
    readonly ciphertextSha256: string;
    /** PCRs of the enclave in hex, by `pcr0` to `pcr16`. */
    readonly pcrs: Readonly<Record<string, string>>;
    /** Time of the request, in seconds since 1970. */
    readonly time: number;
    /** Number of the caller's requests in the window, with this one and those refused on the same connection. */
    readonly recentCount: number;
  };
}

/** Most bytes of serialised facts. */
export const MAX_FACTS_BYTES = 65_536;

/** Serialisation of each facts object: made once, and proof that makeFacts() made the object. */
const serialised = new WeakMap<PolicyFacts, Uint8Array>();

/**
 * Builds the facts that policies judge from parts that the host knows or has checked. The given objects are not kept;
 * the result is frozen, and already serialised.
 *
 * @param parts Parts; the ciphertext is the very memory that goes to KMS afterwards
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
 * Returns the facts as plug-ins read them.
 *
 * @param facts Facts of {@link makeFacts}
 * @returns JSON in UTF-8, at most 64 KiB; these bytes must not be written to
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
 * @param caller Caller. Default: a process of the parent, by its CID
 * @returns The facts
 */
export function canaryFacts(action: string, caller: Principal = CANARY_CALLERS[0]): PolicyFacts {
  return makeFacts({
    action,
    caller,
    region: "us-east-1",
    encryptionContext: { canary: "canary" },
    ciphertext: new Uint8Array(1),
    time: 1_800_000_000,
    recentCount: 1,
  });
}

/** Plain callers, one of each type: a policy must be able to decide for each of them. */
export const CANARY_CALLERS: readonly [Principal, ...Principal[]] = [
  { type: "Caller", cid: 3 },
  { type: "Token", issuer: "https://canary.invalid", subject: "canary", claims: {} },
  { type: "Certificate", sha256: "ca".repeat(32) },
  { type: "Parent" },
];

/**
 * Describes the request of {@link canaryFacts}, for messages.
 *
 * @param action Name of the action
 * @param caller Caller
 * @returns Words such as "a plain Decrypt of a Token"
 */
export function describeCanary(action: string, { type }: Principal): string {
  return type === "Caller" ? `a plain ${action}` : `a plain ${action} of a ${type}`;
}

function checkCaller(given: Caller | KnownCaller): JudgedPrincipal {
  if (typeof given === "object" && given !== null && Object.hasOwn(given, "type")) {
    const { attributes, ...principal } = checkFields("caller", given, KNOWN_CALLER_FIELDS);
    return checkKnown(checkPrincipal({ ...principal }), attributes);
  }
  const { cid, attributes } = checkFields("caller", given as Caller, ["cid", "attributes"]);
  return { type: "Caller", cid: checkCid(cid), attributes: checkAttributes("attributes", attributes) };
}

function checkKnown(principal: Principal, attributes: unknown): JudgedPrincipal {
  if (principal.type === "Caller" || principal.type === "Certificate") {
    return { ...principal, attributes: checkAttributes("attributes", attributes ?? {}) };
  }
  if (attributes === undefined) return principal;
  throw new TypeError(`caller.attributes are for a CID or a certificate, not for a ${principal.type}`);
}

const KNOWN_CALLER_FIELDS: readonly string[] = [
  "type",
  "cid",
  "issuer",
  "subject",
  "claims",
  "sha256",
  "attributes",
];

/** Results for frozen PCRs: a server has the same ones for every request. */
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
  const number = checkInteger("pcrs", index, { min: 0, max: LAST_KNOWN_PCR });
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
