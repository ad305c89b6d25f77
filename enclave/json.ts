/** JSON object. */
export type JsonObject = { [name: string]: JsonValue };

/** JSON value. */
export type JsonValue = string | number | boolean | JsonValue[] | JsonObject;
