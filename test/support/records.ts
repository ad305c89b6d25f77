import { runInNewContext } from "node:vm";

/** Makes an object in another realm: its prototype is not this realm's `Object.prototype`. */
export function fromOtherRealm(expression: string): unknown {
  return runInNewContext(expression);
}

class Context {
  readonly tenant = "a";
}

/**
 * Values that are no plain object of texts. Each holds a pair that the usual ways to read a record leave out
 * or misread.
 */
export const NO_RECORDS: readonly (readonly [name: string, value: unknown])[] = [
  ["null", null],
  ["a text", "tenant=a"],
  ["a function", Object.assign(() => {}, { tenant: "a" })],
  ["a Map", new Map([["tenant", "a"]])],
  ["a Map of another realm", fromOtherRealm('new Map([["tenant", "a"]])')],
  ["a Set", new Set(["tenant"])],
  ["Headers", new Headers({ tenant: "a" })],
  ["URLSearchParams", new URLSearchParams({ tenant: "a" })],
  ["FormData", new FormData()],
  ["an array", ["tenant", "a"]],
  ["a list of pairs", [["tenant", "a"]]],
  ["bytes", new Uint8Array(1)],
  ["a date", new Date()],
  ["an error", new Error("tenant")],
  ["an instance of a class", new Context()],
  ["pairs on a prototype", Object.create({ tenant: "a" })],
  [
    "pairs on a prototype without one",
    Object.create(Object.create(null, { tenant: { value: "a" } }) as object),
  ],
  ["a pair under a symbol", { [Symbol("tenant")]: "a" }],
  ["a hidden pair", Object.defineProperty({}, "tenant", { value: "a" })],
  ["arguments", argumentsOf("a")],
  ["a Map behind a proxy", new Proxy(new Map([["tenant", "a"]]), {})],
  ["a promise", Promise.resolve({ tenant: "a" })],
];

function argumentsOf(..._: readonly string[]): unknown {
  return (function () {
    return arguments;
  })();
}
