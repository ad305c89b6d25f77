/** The routes, which encrypt and decrypt fields with what is loaded. */
import type { Context } from "hono";
import { enclaveApp, type EnclaveEnv, gate, requireChannel } from "enclave-kms/enclave";
import type { DataKeys } from "./data_keys.ts";
import { type Apply, type Json, mapFields, ROOT, unfit } from "./fields.ts";
import type { Schema, Schemas } from "./schemas.ts";

/** Data keys and schemas, as they were loaded last. */
export interface Loaded {
  readonly keys: DataKeys;
  /** Schemas, once they are there. */
  schemas: Schemas | undefined;
}

/** Actions that the policy is asked about, with the name of the schema as the encryption context. */
export const ACTIONS = ["EncryptFields", "DecryptFields"] as const;

/** Longest body that the application base takes: what is encrypted must come back. */
const MAX_BYTES = 65_536;

/** Makes the routes. Neither the parent nor a bridge may read what goes through them. */
// deno-lint-ignore explicit-module-boundary-types -- the client gets its types from what is inferred here
export function createApp(loaded: Loaded) {
  const isPrivate = requireChannel("sealed", "tls");
  const facts = (c: Context<EnclaveEnv>) => ({ encryptionContext: { schema: schemaName(c) } });
  return enclaveApp()
    .post("/v1/encrypt", isPrivate, gate("EncryptFields", facts), (c) => answer(c, loaded, encrypting))
    .post("/v1/decrypt", isPrivate, gate("DecryptFields", facts), (c) => answer(c, loaded, decrypting));
}

/** Routes with their types: `hc<App>("https://enclave")`. */
export type App = ReturnType<typeof createApp>;

async function answer(
  c: Context<EnclaveEnv>,
  loaded: Loaded,
  make: (keys: DataKeys, schema: string) => Apply,
) {
  const { keys, schemas } = loaded;
  if (!keys.isLoaded || schemas === undefined) {
    return c.json({ code: "ERR_NOT_READY" as const }, 503, { "retry-after": "1" });
  }
  const schema: Schema | undefined = schemas.get(schemaName(c));
  if (schema === undefined) return c.json({ code: "ERR_SCHEMA_UNKNOWN" as const }, 404);
  const value = readJson(await c.req.arrayBuffer());
  return c.json(mapFields(value, schema, make(keys, schemaName(c))) as Record<string, unknown>, 200);
}

/** Encrypts a field with its type, so that a number comes back as one. */
function encrypting(keys: DataKeys, schema: string): Apply {
  let length = 0;
  return (value, place, types) => {
    if (types.length > 0 && !types.some((type) => isOfType(value, type))) {
      throw unfit(place, `a value of type ${types.join(" or ")}`);
    }
    const encrypted = keys.encrypt(JSON.stringify(value), contextOf(schema, place.path));
    length += encrypted.length;
    if (length > MAX_BYTES) {
      throw unfit(ROOT, `fields of less than ${MAX_BYTES} bytes when they are encrypted`);
    }
    return encrypted;
  };
}

function decrypting(keys: DataKeys, schema: string): Apply {
  return (value, place) => {
    const text = typeof value === "string" ? keys.decrypt(value, contextOf(schema, place.path)) : undefined;
    if (text === undefined) {
      throw unfit(place, "a value encrypted here for this field, by a key that is there");
    }
    return JSON.parse(text) as Json;
  };
}

/** Binds a value to its schema and field: in the place of another field's it does not decrypt. */
function contextOf(schema: string, path: readonly (string | 0)[]): string {
  return JSON.stringify([schema, ...path]);
}

function schemaName(c: Context<EnclaveEnv>): string {
  return c.req.header("x-schema-name") ?? "";
}

function readJson(bytes: ArrayBuffer): Json {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as Json;
  } catch {
    throw unfit(ROOT, "JSON in UTF-8");
  }
}

function isOfType(value: Json, type: string): boolean {
  if (type === "array") return Array.isArray(value);
  if (type === "object") return typeof value === "object" && !Array.isArray(value);
  const kind: string = typeof value;
  return type === "integer" ? Number.isInteger(value) : kind === type;
}
