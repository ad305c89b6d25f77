/** What the setting `callers` is expected to be. */
export const CALLERS = "attributes by CID: texts, whole numbers, booleans and lists of texts";

/**
 * Checks the setting as a whole. Not with v.record(), which drops names such as "constructor": an attribute that is
 * lost may be what forbids.
 *
 * @param value From the configuration's JSON
 */
export function isCallers(value: unknown): boolean {
  return isObject(value) &&
    Object.entries(value).every(([cid, attributes]) =>
      isCid(cid) && isObject(attributes) && Object.values(attributes).every(isAttribute)
    );
}

/** As the server looks it up: `007` would never be found. */
function isCid(text: string): boolean {
  return /^(?:0|[1-9]\d{0,9})$/.test(text) && Number(text) <= 0xffff_ffff;
}

function isAttribute(value: unknown): boolean {
  if (Array.isArray(value)) return value.every((item) => typeof item === "string");
  return typeof value === "string" || typeof value === "boolean" || Number.isSafeInteger(value);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
