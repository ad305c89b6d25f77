/**
 * Kinds of settings, for the table of a `SettingsReader`.
 *
 * @module
 */
import * as v from "valibot";
import { type Endpoint, parseEndpoint } from "../lib/core/endpoint.ts";
import { ANY_CID } from "../lib/transport/listen.ts";
import type { JsonObject } from "./json.ts";
import type { Setting } from "./settings.ts";

/** Range of a number, and its default. */
export interface NumberRange {
  /** Least value. */
  readonly min: number;
  /** Greatest value. */
  readonly max: number;
  /** Value where none is set. */
  readonly default: number;
}

const UNIX = "unix:.{1,107}";
const HOST = "(?:[^\\s:]{1,253}|\\[[0-9a-fA-F:]+\\])";
const TCP = `[tT][cC][pP]:${HOST}:\\d{1,5}`;
const VSOCK_PORT = "vsock:\\d{1,10}";

/** Patterns of JSON Schema for the texts of endpoints. They leave out the ranges of CIDs and ports. */
export const ENDPOINT_PATTERNS = {
  /** Endpoint to connect to. */
  connect: `^(?:${VSOCK_PORT}:\\d{1,10}|${TCP}|${UNIX})$`,
  /** Endpoint to connect to, or `off`. */
  connectOrOff: `^(?:${VSOCK_PORT}:\\d{1,10}|${TCP}|${UNIX}|off)$`,
  /** Endpoint to listen on, or `off`. */
  listen: `^(?:${VSOCK_PORT}|${TCP}|${UNIX}|off)$`,
  /** Endpoint that only the parent reaches, or `off`. */
  control: `^(?:${VSOCK_PORT}|${UNIX}|off)$`,
  /** Host name or address. */
  host: `^${HOST}$`,
} as const;

/**
 * Makes a setting of a whole number.
 *
 * @param range Range of the number, and its default
 */
export function wholeNumber({ min, max, default: standard }: NumberRange): Setting<number> {
  const schema = v.optional(wholeNumberCheck(min, max), standard);
  const jsonSchema = { type: "integer", minimum: min, maximum: max, default: standard };
  return { schema, jsonSchema, isNumber: true };
}

/**
 * Makes the check of a whole number.
 *
 * @param min Least value
 * @param max Greatest value
 */
export function wholeNumberCheck(min: number, max: number): v.GenericSchema<unknown, number> {
  const inRange = (value: unknown) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max;
  const schema = v.custom<number>(inRange, `a whole number from ${min} to ${max}`);
  return schema as unknown as v.GenericSchema<unknown, number>;
}

/**
 * Makes a setting of a text that a check turns into a value.
 *
 * @param expected Words for what is expected
 * @param read The check: returns the value, or undefined, or throws
 * @param json Keywords of JSON Schema that every right text fits, such as `pattern`. Default: none
 */
export function text<T>(
  expected: string,
  read: (value: string) => T | undefined,
  json: JsonObject = {},
): Setting<T | undefined> {
  const jsonSchema = { type: "string", ...json, description: expected };
  return { schema: v.optional(checked(expected, read)), jsonSchema };
}

/**
 * Makes a setting of a text that a check turns into a value, with a default.
 *
 * @param expected Words for what is expected
 * @param read The check: returns the value, or undefined, or throws
 * @param standard Text where none is set
 * @param json Keywords of JSON Schema that every right text fits, such as `pattern`. Default: none
 */
export function textOr<T>(
  expected: string,
  read: (value: string) => T | undefined,
  standard: string,
  json: JsonObject = {},
): Setting<T> {
  const schema = v.optional(checked(expected, read), standard) as v.GenericSchema<unknown, T>;
  return { schema, jsonSchema: { type: "string", ...json, default: standard, description: expected } };
}

/**
 * Makes a setting of one word out of several.
 *
 * @param words Words to choose from
 * @param standard Word where none is set
 */
export function oneOf<const Word extends string>(
  words: readonly Word[],
  standard: NoInfer<Word>,
): Setting<Word> {
  const schema = v.optional(v.picklist(words), standard) as unknown as v.GenericSchema<unknown, Word>;
  return { schema, jsonSchema: { type: "string", enum: [...words], default: standard } };
}

/** Makes a switch, which `1` and `true` turn on, and nothing else does. */
export function onlySwitch(): Setting<boolean> {
  const isOn = (value: unknown) => value === true || value === "1" || value === "true";
  const jsonSchema = { default: false, description: "1 or true turns it on; every other value is off" };
  return { schema: v.pipe(v.optional(v.unknown()), v.transform(isOn)), jsonSchema };
}

/** Makes a setting of an absolute path. */
export function absolutePath(): Setting<string | undefined> {
  return text("an absolute path", (value) => value.startsWith("/") ? value : undefined, { pattern: "^/" });
}

/** Makes a setting of an absolute path, or `off`. */
export function absolutePathOrOff(): Setting<string | undefined> {
  const read = (value: string) => value === "off" || value.startsWith("/") ? value : undefined;
  return text("an absolute path or off", read, { pattern: "^(?:/|off$)" });
}

/**
 * Makes a setting of an endpoint to listen on.
 *
 * @param standard Text where none is set
 * @returns The setting; its value is null for `off`
 */
export function listenEndpoint(standard: string): Setting<Endpoint | null> {
  return textOr("vsock:<port>, tcp:<host>:<port>, unix:<path> or off", readListen, standard, {
    pattern: ENDPOINT_PATTERNS.listen,
  });
}

/**
 * Makes a setting of an endpoint to connect to.
 *
 * @param standard Text where none is set
 * @returns The setting; its value is null for `off`
 */
export function connectEndpoint(standard: string): Setting<Endpoint | null> {
  const expected = "vsock:<cid>:<port>, tcp:<host>:<port>, unix:<path> or off";
  return textOr(expected, (value) => value === "off" ? null : parseEndpoint(value), standard, {
    pattern: ENDPOINT_PATTERNS.connectOrOff,
  });
}

/**
 * Makes a setting of an endpoint that only the parent reaches: TCP has no peers.
 *
 * @returns The setting; its value is null for `off`, and undefined where none is set
 */
export function controlEndpoint(): Setting<Endpoint | null | undefined> {
  const read = (value: string) => {
    const endpoint = readListen(value);
    return endpoint?.transport === "tcp" ? undefined : endpoint;
  };
  return text("vsock:<port>, unix:<path> or off", read, { pattern: ENDPOINT_PATTERNS.control });
}

function readListen(value: string): Endpoint | null | undefined {
  if (value === "off") return null;
  return parseEndpoint(value.replace(/^vsock:/, `vsock:${ANY_CID}:`), 0);
}

function checked<T>(expected: string, read: (value: string) => T | undefined): v.GenericSchema<unknown, T> {
  const succeeds = (value: unknown) => {
    try {
      return typeof value === "string" && read(value) !== undefined;
    } catch {
      return false;
    }
  };
  const schema = v.pipe(v.custom<string>(succeeds, expected), v.transform(read));
  return schema as unknown as v.GenericSchema<unknown, T>;
}
