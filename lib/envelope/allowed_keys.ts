import { checkFields } from "../core/checks.ts";
import { MAX_CIPHERTEXT_BYTES } from "../kms/operations/decrypt.ts";
import { MAX_KEY_ID_LENGTH } from "../kms/operations/request_fields.ts";
import { EnvelopeError } from "./envelope_error.ts";
import { isKeyArn } from "./key_client.ts";
import { type EncryptedDataKey, KMS_PROVIDER_ID } from "./message_header.ts";

/** Keys of some accounts, for messages that name their key themselves. */
export interface KeyFilter {
  /** Partition of AWS that the keys are in: `aws`, `aws-cn`, `aws-us-gov`, … */
  readonly partition: string;
  /** Ids of the accounts that the keys are in, 1 to 100 of 12 digits each. */
  readonly accounts: readonly string[];
  /**
   * Region of the client. Keys of other regions are then refused, and of a multi-region key the replica in this region
   * is asked. Default: each key is asked for as the message names it.
   */
  readonly region?: string | undefined;
}

/** Keys that may have encrypted a data key: one ARN, any, or those that a filter passes. */
export type AllowedKeys = string | KeyFilter;

/** Word that takes the key that a message names. */
const ANY_KEY = "any";

const KEY_ARN = /^arn:([\w-]+):kms:([\w-]+):(\w+):key\/([\w-]+)$/;
const MULTI_REGION = "mrk-";
const MAX_ACCOUNTS = 100;

/**
 * Checks the keys that a caller allows.
 *
 * @param value Value that the caller gave
 * @returns The value, copied and frozen
 * @throws {TypeError} When it is no ARN of a key, not `"any"`, and no filter
 */
export function checkAllowedKeys(value: unknown): AllowedKeys {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return checkFilter(value as KeyFilter);
  }
  if (typeof value === "string" && (value === ANY_KEY || isKeyArn(value))) return value;
  throw new TypeError(
    `keyId must be the ARN of the key, as messages name it, "${ANY_KEY}", or a filter of partition and accounts`,
  );
}

function checkFilter(given: KeyFilter): KeyFilter {
  const { partition, accounts, region } = checkFields("filter of keys", given, [
    "partition",
    "accounts",
    "region",
  ]);
  if (!isName(partition)) throw new TypeError("keyId.partition must be the name of a partition, such as aws");
  if (region !== undefined && !isName(region)) {
    throw new TypeError("keyId.region must be the name of a region");
  }
  const isList = Array.isArray(accounts) && accounts.length > 0 && accounts.length <= MAX_ACCOUNTS;
  if (!isList || !accounts.every((account) => typeof account === "string" && /^\d{12}$/.test(account))) {
    throw new TypeError(`keyId.accounts must be 1 to ${MAX_ACCOUNTS} account ids of 12 digits`);
  }
  return Object.freeze({ partition, accounts: Object.freeze([...accounts]), region });
}

function isName(value: unknown): value is string {
  return typeof value === "string" && /^[a-z0-9-]{1,40}$/.test(value);
}

/** Data key to have decrypted, and the key id to ask for. */
export interface Candidate {
  /** ARN of the key, in the client's region as far as that is known. */
  readonly keyId: string;
  /** Encrypted data key. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
}

/**
 * Picks the data keys of a message that are under an allowed key. A replica of a multi-region key stands for its
 * primary, and the other way round.
 *
 * @param dataKeys Data keys of the message
 * @param allowed The allowed keys
 * @returns The data keys to try, in order, at least one
 * @throws {EnvelopeError} `KEY`, which says why there is none
 */
export function allowedDataKeys(
  dataKeys: readonly EncryptedDataKey[],
  allowed: AllowedKeys,
): readonly Candidate[] {
  const candidates: Candidate[] = [];
  const reasons = new Set<string>();
  for (const dataKey of dataKeys) {
    const answer = judge(dataKey, allowed);
    if (typeof answer === "string") reasons.add(answer);
    else if (isTaken(answer)) candidates.push(answer);
    else reasons.add("no KMS key");
  }
  if (candidates.length > 0) return candidates;
  throw otherKey(allowed, [...reasons]);
}

/** Tells whether KMS takes as much: the writer decides about lengths, and the client would call them its caller's fault. */
function isTaken({ keyId, ciphertext }: Candidate): boolean {
  return keyId.length <= MAX_KEY_ID_LENGTH && ciphertext.length > 0 &&
    ciphertext.length <= MAX_CIPHERTEXT_BYTES;
}

/** Decides about one data key: what to ask KMS for, or what is wrong with it. */
function judge(
  { providerId, providerInfo, ciphertext }: EncryptedDataKey,
  allowed: AllowedKeys,
): Candidate | string {
  const arn = providerId === KMS_PROVIDER_ID ? KEY_ARN.exec(providerInfo) : null;
  if (arn === null) return "no KMS key";
  const [, partition = "", region = "", account = "", id = ""] = arn;
  if (typeof allowed === "string") {
    if (allowed === ANY_KEY || allowed === providerInfo) return { keyId: providerInfo, ciphertext };
    return isSameMultiRegionKey(providerInfo, allowed) ? { keyId: allowed, ciphertext } : "another key";
  }
  if (partition !== allowed.partition) return "a key of another partition";
  if (!allowed.accounts.includes(account)) return "a key of another account";
  if (allowed.region === undefined || allowed.region === region) return { keyId: providerInfo, ciphertext };
  if (!id.startsWith(MULTI_REGION)) return "a key of another region";
  return { keyId: `arn:${partition}:kms:${allowed.region}:${account}:key/${id}`, ciphertext };
}

/** Tells whether two ARNs differ in nothing but the region of a multi-region key. */
function isSameMultiRegionKey(one: string, other: string): boolean {
  const [left, right] = [KEY_ARN.exec(one), KEY_ARN.exec(other)];
  if (left === null || right === null) return false;
  const isSame = left[1] === right[1] && left[3] === right[3] && left[4] === right[4];
  return isSame && left[4]?.startsWith(MULTI_REGION) === true;
}

function otherKey(allowed: AllowedKeys, reasons: readonly string[]): EnvelopeError {
  if (typeof allowed === "object") {
    const what = `none of its data keys is under an allowed key, but under ${reasons.join(", ")}`;
    return refusal(what, "Do partition, accounts and region of keyId name where the writer's keys are?");
  }
  if (allowed === ANY_KEY) {
    const what = "none of its data keys is encrypted under a KMS key";
    return refusal(what, "Was it encrypted with a keyring other than KMS's?");
  }
  const what = "none of its data keys is encrypted under the expected key";
  return refusal(what, "Is keyId the full ARN of the key, in the right region?");
}

function refusal(what: string, hint: string): EnvelopeError {
  return new EnvelopeError("KEY", `Cannot decrypt message: ${what}`, { hint });
}
