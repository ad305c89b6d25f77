/** Words for the expected form of the setting `callers`. */
export const CALLERS = "attributes by CID: texts, whole numbers, booleans and lists of texts";

/**
 * Checks the setting as a whole. v.record() would drop names such as "constructor", and a policy may forbid by an
 * attribute that was lost.
 *
 * @param value Value from the configuration's JSON
 */
export function isCallers(value: unknown): boolean {
  return isObject(value) &&
    Object.entries(value).every(([cid, attributes]) =>
      isCid(cid) && isObject(attributes) && Object.values(attributes).every(isAttribute)
    );
}

/** Tells a CID in the form that it is looked up by: `007` would never be found. */
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
