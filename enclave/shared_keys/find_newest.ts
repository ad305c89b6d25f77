import { equalBytes } from "../../lib/core/bytes.ts";
import { SharedKeyError } from "../../lib/core/errors.ts";
import type { KeyRecords } from "./key_records.ts";
import type { ReadRecord } from "./record.ts";
import type { SharedKeyPin } from "./shared_key_options.ts";

/**
 * Finds the newest record of a key, in a number of steps that grows with the logarithm of the versions: from the least
 * version on, none may be missing.
 *
 * @param records Records of the key
 * @param least Least version
 * @returns The newest record that the store gives; undefined when there is none of the least version
 */
export async function findNewest(
  records: Pick<KeyRecords, "read">,
  least: number,
): Promise<ReadRecord | undefined> {
  let newest = await records.read(least);
  if (newest === undefined) return undefined;
  let missing = Infinity;
  for (let step = 1; missing - newest.version > 1;) {
    const version: number = missing === Infinity
      ? newest.version + step
      : newest.version + Math.floor((missing - newest.version) / 2);
    const found = await records.read(version);
    if (found === undefined) missing = version;
    else newest = found;
    step *= 2;
  }
  return newest;
}

/**
 * Goes back from the newest record to a pinned one, and compares that.
 *
 * @param records Records of the key
 * @param newest Newest record, which KMS has opened
 * @param pin Pinned version
 * @throws {SharedKeyError} `ERR_SHARED_KEY_CHAIN` when a record on the way is missing, or another one;
 *   `ERR_SHARED_KEY_PIN` when the pinned version is another key
 */
export async function checkPinned(
  records: KeyRecords,
  newest: ReadRecord,
  { version, checkValue, publicKey }: SharedKeyPin,
): Promise<void> {
  let record = newest;
  while (record.version > version) {
    const before = await records.read(record.version - 1);
    if (before === undefined) throw noWayBack(record);
    records.checkFollows(record, before);
    record = before;
  }
  using pinned = await records.open(record);
  const isPinned = publicKey === undefined
    ? pinned.checkValue === checkValue
    : pinned.publicKey !== undefined && equalBytes(pinned.publicKey, publicKey);
  if (isPinned) return;
  throw new SharedKeyError(
    "PIN",
    `Cannot take shared key ${record.name}: version ${version} is another key`,
    {
      hint: "Was the store emptied, so that a new key was made under the old name?",
    },
  );
}

function noWayBack({ name, version }: ReadRecord): SharedKeyError {
  return new SharedKeyError(
    "CHAIN",
    `Cannot take shared key ${name}: the record of version ${version - 1} is missing`,
    { hint: "Were records deleted that are newer than the pinned one? Pin a later version first" },
  );
}
