/**
 * Kinds of settings, for the table of a `SettingsReader`.
 *
 * @module
 */
import * as v from "valibot";
import { type Endpoint, parseEndpoint } from "../lib/core/endpoint.ts";
import { ANY_CID } from "../lib/transport/listen.ts";
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

/**
 * Makes a setting of a whole number.
 *
 * @param range Range of the number, and its default
 */
export function wholeNumber({ min, max, default: standard }: NumberRange): Setting<number> {
  const text = `a whole number from ${min} to ${max}`;
  const inRange = (value: unknown) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max;
  return { schema: v.optional(v.custom<number>(inRange, text), standard), isNumber: true };
}

/**
 * Makes a setting of a text that a check turns into a value.
 *
 * @param expected Words for what is expected
 * @param read The check: returns the value, or undefined, or throws
 */
export function text<T>(expected: string, read: (value: string) => T | undefined): Setting<T | undefined> {
  return { schema: v.optional(checked(expected, read)) };
}

/**
 * Makes a setting of a text that a check turns into a value, with a default.
 *
 * @param expected Words for what is expected
 * @param read The check: returns the value, or undefined, or throws
 * @param standard Text where none is set
 */
export function textOr<T>(
  expected: string,
  read: (value: string) => T | undefined,
  standard: string,
): Setting<T> {
  return { schema: v.optional(checked(expected, read), standard) as v.GenericSchema<unknown, T> };
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
  return { schema: v.optional(v.picklist(words), standard) as unknown as v.GenericSchema<unknown, Word> };
}

/** Makes a setting of an absolute path. */
export function absolutePath(): Setting<string | undefined> {
  return text("an absolute path", (value) => value.startsWith("/") ? value : undefined);
}

/**
 * Makes a setting of an endpoint to listen on.
 *
 * @param standard Text where none is set
 * @returns The setting; its value is null for `off`
 */
export function listenEndpoint(standard: string): Setting<Endpoint | null> {
  return textOr("vsock:<port>, tcp:<host>:<port>, unix:<path> or off", readListen, standard);
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
