/** Check of a setting's value: the expectation, for messages, and what is read. */
export interface SettingKind<T> {
  /** Expectation, such as `a whole number from 1 to 7`. */
  readonly expected: string;
  /**
   * Reads a value.
   *
   * @param value Value of the file, or text of a variable
   * @param isText Whether it is the text of a variable
   * @returns undefined when it is malformed
   */
  read(value: unknown, isText: boolean): T | undefined;
}

/** Accepts text that a pattern fits, 1 to 4096 characters without control characters. */
export function text(expected = "text", pattern: RegExp = /^[^\p{Cc}]{1,4096}$/u): SettingKind<string> {
  return { expected, read: (value) => typeof value === "string" && pattern.test(value) ? value : undefined };
}

/** Accepts an absolute path. */
export function path(): SettingKind<string> {
  return text("an absolute path", /^\/[^\p{Cc}]{0,4095}$/u);
}

/** Accepts a whole number; a variable has it in decimal digits. */
export function wholeNumber(min: number, max: number): SettingKind<number> {
  return {
    expected: `a whole number from ${min} to ${max}`,
    read(value, isText) {
      const number = isText ? (/^\d{1,10}$/.test(String(value)) ? Number(value) : NaN) : value;
      return Number.isInteger(number) && (number as number) >= min && (number as number) <= max
        ? number as number
        : undefined;
    },
  };
}

/** Accepts one of some words. */
export function oneOf<const T extends string>(...words: readonly T[]): SettingKind<T> {
  return { expected: `one of ${words.join(", ")}`, read: (value) => words.find((word) => word === value) };
}

/** Accepts true or false; a variable may have 1 or 0 instead. */
export function onOrOff(): SettingKind<boolean> {
  return {
    expected: "true or false",
    read(value, isText) {
      if (!isText) return typeof value === "boolean" ? value : undefined;
      return { true: true, 1: true, false: false, 0: false }[String(value)];
    },
  };
}

/** Accepts a list of ports; a variable has commas between them. */
export function ports(): SettingKind<readonly number[]> {
  const port = wholeNumber(1, 0xffff_fffe);
  return {
    expected: "vsock ports, each once",
    read(value, isText) {
      const list: unknown = isText ? String(value).split(",").map((part) => part.trim()) : value;
      if (!Array.isArray(list) || list.length === 0 || list.length > 64) return undefined;
      const read = list.map((part) => port.read(part, isText));
      const found = read.filter((part) => part !== undefined);
      return new Set(found).size === list.length ? found : undefined;
    },
  };
}

/** Accepts a list of words, which only the file can have. */
export function words(): SettingKind<readonly string[]> {
  const word = text();
  return {
    expected: "a list of texts",
    read(value, isText) {
      if (isText || !Array.isArray(value) || value.length === 0 || value.length > 256) return undefined;
      const read = value.map((part) => word.read(part, false));
      return read.includes(undefined) ? undefined : read as string[];
    },
  };
}

/** Fields of an object, each with its kind, and whether it must be there. */
export type FieldKinds<T> = { readonly [Name in keyof T]-?: readonly [SettingKind<T[Name]>, "must" | "may"] };

/** Accepts an object with such fields and no others, which only the file can have. */
export function object<T extends object>(kinds: FieldKinds<T>): SettingKind<T> {
  const names = Object.keys(kinds) as (keyof T & string)[];
  const described = names.map((name) =>
    `${name}${kinds[name][1] === "must" ? "" : "?"}: ${kinds[name][0].expected}`
  );
  return {
    expected: `an object of ${described.join("; ")}`,
    read(value, isText) {
      if (isText || typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
      const given = value as Readonly<Record<string, unknown>>;
      if (Object.keys(given).some((name) => !Object.hasOwn(kinds, name))) return undefined;
      const read: Partial<Record<keyof T, unknown>> = {};
      for (const name of names) {
        const [kind, presence] = kinds[name];
        const found = Object.hasOwn(given, name) ? kind.read(given[name], false) : undefined;
        if (found === undefined && (presence === "must" || Object.hasOwn(given, name))) return undefined;
        if (found !== undefined) read[name] = found;
      }
      return read as T;
    },
  };
}

/** Accepts a list of such values, at most 64, which only the file can have. */
export function listOf<T>(kind: SettingKind<T>): SettingKind<readonly T[]> {
  return {
    expected: `a list, each entry ${kind.expected}`,
    read(value, isText) {
      if (isText || !Array.isArray(value) || value.length > 64) return undefined;
      const read = value.map((entry) => kind.read(entry, false));
      return read.includes(undefined) ? undefined : read as T[];
    },
  };
}
