/**
 * Rules for the entry points: how many names `.` has, and which names two entries may share.
 *
 * @module
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { readEntries } from "../../tools/entries.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/**
 * The most names that `.` may export: 70, and those of the base that applications stand on and of the operations that it
 * brought, each of which has its request and its result.
 */
const MAX_NAMES = 85;

interface Declaration {
  readonly kind: string;
  readonly def?: unknown;
  readonly jsDoc?: { readonly doc?: string };
}

interface ModuleDoc {
  readonly module_doc?: { readonly doc?: string };
  readonly symbols: readonly { readonly name: string; readonly declarations: readonly Declaration[] }[];
}

/** Exports of one entry: each name with its declarations. */
type Exports = ReadonlyMap<string, readonly Declaration[]>;

const entries = readEntries().filter(({ name }) => name !== "cli");
const nodes = documentation(entries.map(({ source }) => source));
const exportsOf = resolveReferences(
  new Map(entries.map(({ specifier, source }) => [specifier, moduleOf(source)])),
);

describe("the entry points", () => {
  test(`"." exports at most ${MAX_NAMES} names`, () => {
    const count = exportsOf.get(".")?.size ?? 0;
    assert.ok(count > 40 && count <= MAX_NAMES, `${count} names`);
  });

  test("share no names but errors, and types that the signatures of each need", () => {
    assert.deepEqual(needlesslyShared(exportsOf), []);
  });

  test("a needlessly shared name would be found", () => {
    const constant: Declaration = { kind: "variable", jsDoc: { doc: "A constant." } };
    const type: Declaration = { kind: "interface", def: {} };
    const user: Declaration = { kind: "function", def: { typeName: "Needed" } };
    const planted = new Map<string, Exports>([
      [".", new Map([["A", [constant]], ["Needed", [type]], ["Spare", [type]], ["use", [user]]])],
      ["./b", new Map([["A", [constant]], ["Needed", [type]], ["Spare", [type]], ["useToo", [user]]])],
    ]);
    assert.deepEqual(needlesslyShared(planted), [". A", "./b A", ". Spare", "./b Spare"]);
  });

  test("say what they are for, and every name of theirs does", () => {
    for (const { specifier, source } of entries) {
      assert.ok((nodes.get(source)?.module_doc?.doc ?? "").length > 80, `${specifier} has no introduction`);
      for (const [name, declarations] of exportsOf.get(specifier) ?? []) {
        assert.ok(declarations.some(({ jsDoc }) => jsDoc?.doc), `${specifier} ${name} has no doc comment`);
      }
    }
  });
});

/** @returns The doc of each source, by its path */
function documentation(sources: readonly string[]): ReadonlyMap<string, ModuleDoc> {
  const json = execFileSync("deno", ["doc", "--quiet", "--json", ...sources], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 64 << 20,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const { nodes } = JSON.parse(json) as { nodes: Record<string, ModuleDoc> };
  return new Map(Object.entries(nodes).map(([url, doc]) => [fileURLToPath(url).slice(ROOT.length), doc]));
}

function moduleOf(source: string): Exports {
  const doc = nodes.get(source);
  assert.ok(doc, `deno doc says nothing of ${source}`);
  return new Map(doc.symbols.map(({ name, declarations }) => [name, declarations]));
}

/** Puts the declarations in the place of references to another entry that has them. */
function resolveReferences(modules: ReadonlyMap<string, Exports>): ReadonlyMap<string, Exports> {
  const isReference = ({ kind }: Declaration) => kind === "reference";
  const resolve = (name: string, own: readonly Declaration[]) => {
    if (!own.some(isReference)) return own;
    const others = [...modules.values()].map((other) => other.get(name) ?? []);
    return others.find((found) => found.some((one) => !isReference(one))) ?? own;
  };
  return new Map([...modules].map(([specifier, names]) => [
    specifier,
    new Map([...names].map(([name, own]) => [name, resolve(name, own)])),
  ]));
}

function needlesslyShared(modules: ReadonlyMap<string, Exports>): string[] {
  const names = new Set([...modules.values()].flatMap((entry) => [...entry.keys()]));
  return [...names].flatMap((name) => {
    const sharing = [...modules].filter(([, entry]) => entry.has(name));
    if (sharing.length < 2 || name.endsWith("Error")) return [];
    return sharing.filter(([, entry]) => !isNeeded(name, entry)).map(([specifier]) => `${specifier} ${name}`);
  });
}

/** Tells whether a name is a type that another signature of this entry uses. */
function isNeeded(name: string, entry: Exports): boolean {
  if (!entry.get(name)?.every(({ kind }) => /^(interface|typeAlias|class)$/.test(kind))) return false;
  const uses = new RegExp(`"(?:typeName|extends|repr)":"${name}"`);
  return [...entry].some(([other, declarations]) =>
    other !== name && uses.test(JSON.stringify(declarations))
  );
}
