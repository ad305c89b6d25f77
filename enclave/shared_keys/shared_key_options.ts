import { checkTimeout } from "../../lib/core/call_options.ts";
import { checkFields, checkInteger, checkOneOf } from "../../lib/core/checks.ts";
import { MAX_TIMEOUT_MS } from "../../lib/core/deadline.ts";
import { checkBytes, checkEncryptionContext, checkKeyId } from "../../lib/kms/operations/request_fields.ts";
import { checkStore, type SharedKeyStore } from "./store.ts";

/** Kinds of shared keys, the default first. */
export const SHARED_KEY_SPECS: readonly SharedKeySpec[] = [
  "AES_256",
  "ECC_NIST_P256",
  "ECC_NIST_P384",
  "ECC_NIST_EDWARDS25519",
  "RSA_2048",
  "RSA_3072",
  "RSA_4096",
];

/** Greatest version of a shared key. */
export const MAX_VERSION = 999_999_999;

/** Kind of a shared key: a data key of 32 bytes, or a key pair. */
export type SharedKeySpec =
  | "AES_256"
  | "ECC_NIST_P256"
  | "ECC_NIST_P384"
  | "ECC_NIST_EDWARDS25519"
  | "RSA_2048"
  | "RSA_3072"
  | "RSA_4096";

/** Version of a shared key that is known beforehand. */
export interface SharedKeyPin {
  /** Version that is pinned. Later ones must follow it, record by record. */
  readonly version: number;
  /** Check value of the version, 32 hex digits; see `SharedKeyVersion.checkValue`. This or `publicKey` must be given. */
  readonly checkValue?: string | undefined;
  /** Public key of a pair, SPKI DER. */
  readonly publicKey?: Uint8Array | undefined;
}

/** Shared key to load, or to make. `name`, `keyId` and `store` must be given; the rest has defaults. */
export interface SharedKeyOptions {
  /** Name of the key, which its records have: 1 to 64 letters, digits, `.`, `_` and `-`. */
  readonly name: string;
  /** Symmetric key of KMS: key ARN or key id. Its policy decides which images have the shared key. */
  readonly keyId: string;
  /** Store of the records, which every enclave with this key reads. */
  readonly store: SharedKeyStore;
  /**
   * Names and values that KMS binds the key to, beside those of the record (`enclave-kms-…`). Every enclave with this
   * key must give the same. Default: none.
   */
  readonly encryptionContext?: Readonly<Record<string, string>> | undefined;
  /** Kind of key. Sealed HTTP and signatures need a data key. Default: `AES_256`. */
  readonly spec?: SharedKeySpec | undefined;
  /**
   * Least version. A store that has none that is as new is refused; it cannot present an older state. With 1 the key is
   * made if there is none. Default: 1, or that of `pin`.
   */
  readonly minVersion?: number | undefined;
  /** Version that is known. The key is never made then. Default: none. */
  readonly pin?: SharedKeyPin | undefined;
  /**
   * PCR0 of the images whose keys are taken beside those of this image itself, 96 hex digits each. Default: every image
   * that KMS let make one.
   */
  readonly images?: readonly string[] | undefined;
  /** Milliseconds after which a new version is made, 1000 to 2^53 - 1. Default: only `rotate()` makes one. */
  readonly rotateMs?: number | undefined;
  /** Milliseconds between two looks for a new version, 10 to 2147483647. Default: 60000. */
  readonly refreshMs?: number | undefined;
  /**
   * Milliseconds from the making of a new version until it is used, so that all enclaves have it by then, from
   * `refreshMs`. Default: twice `refreshMs`.
   */
  readonly settleMs?: number | undefined;
  /**
   * Milliseconds for which a version still opens after the next one is used; then it is wiped. It should be longer than
   * callers trust a document (`maxAgeMs` of `sealedFetch`). Default: 900000, a quarter of an hour.
   */
  readonly overlapMs?: number | undefined;
  /** Milliseconds for one step: a call of the store or of KMS. Default: 10000. */
  readonly timeoutMs?: number | undefined;
  /**
   * Milliseconds for the start, which tries again while there are no credentials, or the store or KMS fails. Default:
   * 120000.
   */
  readonly startTimeoutMs?: number | undefined;
  /** Called with what went wrong when a new version was looked for or made: the key stays as it is. Default: nothing. */
  readonly onFailure?: ((error: unknown) => void) | undefined;
}

/** Options that have defaults. */
type Filled =
  | ("encryptionContext" | "spec" | "minVersion")
  | ("refreshMs" | "settleMs" | "overlapMs" | "timeoutMs" | "startTimeoutMs");

/** Options after every check. */
export type CheckedSharedKeyOptions =
  & SharedKeyOptions
  & { readonly [Name in Filled]-?: NonNullable<SharedKeyOptions[Name]> }
  & {
    /** Whether the first version may be made. */
    readonly mayMake: boolean;
  };

const FIELDS: readonly (keyof SharedKeyOptions)[] = [
  ...["name", "keyId", "store", "encryptionContext", "spec", "minVersion", "pin", "images"] as const,
  ...["rotateMs", "refreshMs", "settleMs", "overlapMs", "timeoutMs", "startTimeoutMs", "onFailure"] as const,
];

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const PCR0 = /^[0-9a-f]{96}$/;
const MAX_PUBLIC_KEY_BYTES = 1024;
const CHECK_VALUE = /^[0-9a-f]{32}$/;

/**
 * Checks the options of `sharedKey()`.
 *
 * @param options Options as they were given
 * @returns The options, with their defaults
 * @throws {TypeError} When one is unknown, missing or of a wrong type
 * @throws {RangeError} When one is out of range
 */
export function checkSharedKeyOptions(options: SharedKeyOptions): CheckedSharedKeyOptions {
  const given = checkFields("options of sharedKey", options, FIELDS);
  const { onFailure } = given;
  if (onFailure !== undefined && typeof onFailure !== "function") {
    throw new TypeError("onFailure must be a function");
  }
  const pin = given.pin === undefined ? undefined : checkPin(given.pin);
  const least = checkInteger("minVersion", given.minVersion, { min: 1, max: MAX_VERSION, default: 1 });
  const milliseconds = (name: "refreshMs" | "settleMs" | "overlapMs", min: number, fallback: number) =>
    checkInteger(name, given[name], { min, max: MAX_TIMEOUT_MS, default: fallback });
  const refreshMs = milliseconds("refreshMs", 10, 60_000);
  return {
    name: checkName(given.name),
    keyId: checkKeyId(given.keyId),
    store: checkStore(given.store),
    encryptionContext: checkContext(given.encryptionContext),
    spec: checkOneOf("spec", given.spec, SHARED_KEY_SPECS) ?? "AES_256",
    minVersion: Math.max(least, pin?.version ?? 1),
    mayMake: least === 1 && pin === undefined,
    pin,
    images: given.images === undefined ? undefined : checkImages(given.images),
    rotateMs: given.rotateMs === undefined
      ? undefined
      : checkInteger("rotateMs", given.rotateMs, { min: 1000, max: Number.MAX_SAFE_INTEGER }),
    refreshMs,
    settleMs: milliseconds("settleMs", refreshMs, Math.min(2 * refreshMs, MAX_TIMEOUT_MS)),
    overlapMs: milliseconds("overlapMs", 0, 900_000),
    timeoutMs: checkTimeout(given.timeoutMs, 10_000),
    startTimeoutMs: checkTimeout(given.startTimeoutMs, 120_000),
    onFailure,
  };
}

function checkName(name: unknown): string {
  if (typeof name === "string" && NAME.test(name)) return name;
  throw new TypeError("name must have 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first");
}

function checkContext(given: unknown): Readonly<Record<string, string>> {
  const context = checkEncryptionContext(given as Record<string, string> | undefined) ?? {};
  const own = Object.keys(context).find((name) => name.startsWith("enclave-kms-"));
  if (own === undefined) return context;
  throw new TypeError(
    "encryptionContext must have no names that begin with enclave-kms-: the record has them",
  );
}

function checkPin(pin: SharedKeyPin): SharedKeyPin {
  const { version, checkValue, publicKey } = checkFields("pin", pin, ["version", "checkValue", "publicKey"]);
  if ((checkValue === undefined) === (publicKey === undefined)) {
    throw new TypeError("pin must have one of checkValue and publicKey, and not both");
  }
  if (checkValue !== undefined && !(typeof checkValue === "string" && CHECK_VALUE.test(checkValue))) {
    throw new TypeError("pin.checkValue must be 32 lowercase hex digits");
  }
  return {
    version: checkInteger("pin.version", version, { min: 1, max: MAX_VERSION }),
    checkValue,
    publicKey: publicKey === undefined
      ? undefined
      : checkBytes("pin.publicKey", publicKey, MAX_PUBLIC_KEY_BYTES),
  };
}

/** An empty list would read as no list. */
function checkImages(images: readonly string[]): readonly string[] {
  if (!Array.isArray(images) || images.length === 0 || !images.every((pcr0) => PCR0.test(pcr0))) {
    throw new TypeError("images must be a list of PCR0s, 96 lowercase hex digits each, and not empty");
  }
  return [...images];
}
