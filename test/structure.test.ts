import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "#test";
import { readEntries } from "../tools/entries.ts";
import { measureFunctions } from "./support/functions.ts";
import { ROOT, sourceFiles } from "./support/source_files.ts";

/** Tests of what is measured, and what measures in a guest. */
const MEASURES = /^test\/(bench\/|documents\.test\.ts$|vsock\/scenarios\/attack\.ts$)/;

/** Rooms that the public API and applications may import: the library but its handles. */
const LIBRARY: readonly string[] = [
  "lib/core",
  "lib/transport",
  "lib/nsm",
  "lib/attestation",
  "lib/aws",
  "lib/policy",
  "lib/wire",
  "lib/kms",
  "lib/envelope",
];

/**
 * Which rooms a room may import, besides itself: the table of the architecture. A path with a file or folder
 * below a room lets in that part alone. The order is the floors': nothing imports a room that stands below it
 * here.
 */
const EDGES: Readonly<Record<string, readonly string[]>> = {
  ffi: [],
  "lib/core": [],
  "lib/native": ["ffi", "lib/core"],
  "lib/transport": ["lib/native", "lib/core"],
  "lib/nsm": ["lib/native", "lib/core"],
  "lib/attestation": ["lib/core"],
  "lib/aws": ["lib/native", "lib/core"],
  "lib/policy": ["lib/core"],
  "lib/wire": ["lib/core"],
  "lib/kms": ["lib/nsm", "lib/transport", "lib/aws", "lib/native", "lib/core"],
  "lib/envelope": ["lib/kms/operations", "lib/native", "lib/core"],
  "mod.ts": LIBRARY,
  enclave: LIBRARY,
  server: ["enclave", ...LIBRARY],
  sim: ["lib/core", "lib/transport", "lib/nsm", "lib/attestation", "lib/wire", "lib/aws/region.ts"],
  cli: ["enclave", "server", ...LIBRARY],
  // By the names of the entries only.
  examples: [],
  tools: ["server", ...LIBRARY],
  bench: ["*"],
  test: ["*"],
};

/** Files that put a laptop enclave together, and may choose the simulator beside the public API. */
const ENTRY_POINTS: readonly string[] = ["sim/demo.ts", "sim/demo_story.ts", "sim/serve.ts"];

/** Packages, by the rooms that may import them. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  koffi: ["ffi", "test"],
  "@aws-sdk/client-kms": ["bench"],
  "@hono/node-server": ["enclave"],
  "@cedar-policy/cedar-wasm": ["lib/policy", "bench"],
  cbor2: ["lib/nsm", "lib/attestation", "sim", "test", "bench"],
  esbuild: ["tools", "test", "bench"],
  hono: ["enclave", "server", "examples", "test"],
  hpke: ["lib/attestation"],
  pino: ["enclave"],
  valibot: ["enclave", "server", "tools", "test"],
  "@valibot/to-json-schema": ["tools"],
};

const PRODUCT = /^(?:mod\.ts$|(?:ffi|lib|enclave|server|cli|sim)\/)/;

interface Import {
  readonly from: string;
  readonly to: string;
  /** Whether it is there when the program runs, and loads the file at once. */
  readonly isValue?: boolean;
}

const files = sourceFiles();
const imports = files.flatMap(importsOf);

describe("structure", () => {
  test("the walk sees the sources", () => {
    assert.ok(files.length > 20, `${files.length} files`);
    assert.ok(imports.some(({ from, to }) => from === "mod.ts" && to.startsWith("lib/")));
  });

  test("what bundles hold asks for its own URL as a CommonJS bundle survives: by ownUrl(), or after __filename", () => {
    const asking = files.filter((file) => /^(mod\.ts|lib|ffi|server|cli)/.test(file)).flatMap((file) => {
      const uses = readFileSync(join(ROOT, file), "utf8").match(/.*\bimport\.meta\b.*/g) ?? [];
      return uses.filter((line) =>
        !/ownUrl\(import\.meta\.url\)|\? __filename : import\.meta\.url|^ *(\/?\*|\/\/)/.test(line)
      ).map((line) => `${file}: ${line}`);
    });
    assert.deepEqual(asking, []);
  });

  test("no room imports what the table does not let it", () => {
    const wrong = imports.filter((edge) => !isAllowed(edge)).map(({ from, to }) => `${from} -> ${to}`);
    assert.deepEqual(wrong, []);
  });

  test("a wrong edge would be found", () => {
    for (
      const [from, to] of [
        ["lib/kms/https/https_engine.ts", "ffi/layouts.ts"],
        ["lib/native/libc.ts", "lib/aws/region.ts"],
        ["lib/kms/kms_client.ts", "sim/mod.ts"],
        ["lib/kms/kms_client.ts", "lib/policy/mod.ts"],
        ["lib/envelope/encrypt_stream.ts", "lib/kms/kms_client.ts"],
        ["lib/attestation/verify.ts", "lib/nsm/nsm_client.ts"],
        ["ffi/layouts.ts", "lib/core/errors.ts"],
        ["enclave/gate.ts", "server/app.ts"],
        ["enclave/gate.ts", "lib/native/libc.ts"],
        ["server/app.ts", "sim/mod.ts"],
        ["server/app.ts", "mod.ts"],
        ["cli/main.ts", "mod.ts"],
        ["sim/nsm/nsm.ts", "mod.ts"],
        ["sim/simulator.ts", "lib/aws/sigv4.ts"],
        ["test/sim/nsm/nsm.test.ts", "bench/run.ts"],
        ["lib/native/libc.ts", "npm:koffi"],
        ["server/app.ts", "npm:pino"],
      ] as const
    ) assert.equal(isAllowed({ from, to }), false, `${from} -> ${to}`);
  });

  test("every room is in the table, and no row of it is without a room", () => {
    assert.deepEqual([...new Set(files.map(roomOf))].filter((room) => EDGES[room] === undefined), []);
    assert.deepEqual(Object.keys(EDGES).filter((room) => !files.some((file) => roomOf(file) === room)), []);
  });

  test("rooms do not import one another in a circle", () => {
    const order = Object.keys(EDGES);
    for (const [room, allowed] of Object.entries(EDGES)) {
      for (const name of allowed.filter((name) => name !== "*")) {
        const below = order.indexOf(
          order.find((known) => name === known || name.startsWith(`${known}/`)) ?? "",
        );
        assert.ok(below >= 0 && below < order.indexOf(room), `${room} -> ${name}`);
      }
    }
  });

  test("files that run do not import one another in a circle", () => {
    assert.deepEqual(circlesOf(imports.filter(({ isValue }) => isValue)), []);
    const planted = [{ from: "a", to: "b" }, { from: "b", to: "c" }, { from: "c", to: "a" }];
    assert.deepEqual(circlesOf(planted).map((circle) => circle.toSorted()), [["a", "b", "c"]]);
  });

  test("nor do types, and files that start one another", () => {
    assert.deepEqual(circlesOf(imports), []);
  });

  test("neither the library nor the server or the command line reaches the simulator", () => {
    for (const source of [...readEntries().map((entry) => entry.source), "server/main.ts"]) {
      if (source === "sim/mod.ts") continue;
      assert.deepEqual(reachableFrom(source).filter((file) => file.startsWith("sim/")), [], source);
    }
    assert.ok(reachableFrom("sim/serve.ts").includes("sim/mod.ts"), "it would be found");
  });

  test("no source of the product imports the public API in one piece", () => {
    const importers = imports.filter(({ to }) => to === "mod.ts").map(({ from }) => from)
      .filter((file) => !/^(bench|test)\//.test(file) && !ENTRY_POINTS.includes(file));
    assert.deepEqual(importers, []);
  });

  test("lib/ has rooms only", () => {
    assert.deepEqual(files.filter((file) => /^lib\/[^/]+$/.test(file)), []);
  });

  test("pointers stay in ffi/ and lib/native/", () => {
    for (const file of files.filter((name) => !/^(ffi|lib\/native|test)\//.test(name))) {
      assert.doesNotMatch(read(file), /\.pointer\b|\bPointer</, file);
    }
  });

  test("no file of the product is over 300 lines, and none says any", () => {
    for (const file of files.filter((name) => PRODUCT.test(name))) {
      const source = read(file);
      assert.ok(source.split("\n").length <= 301, `${file} is too long`);
      assert.doesNotMatch(source, /:\s*any\b|<any>|as any\b/, file);
    }
  });

  // TypeScript's API speaks to the compiler over pipes that Deno cannot read at once; the sources are the same.
  test.skipIf("Deno" in globalThis)("no function of the product is over 40 lines", () => {
    // tsconfig.json leaves out what Deno alone can check.
    const product = files.filter((name) => PRODUCT.test(name) && !name.endsWith("_deno.ts"));
    const functions = measureFunctions(product);
    assert.ok(functions.length > 1000, `${functions.length} functions`);
    const long = functions.filter(({ lines }) => lines > 40).map(({ file, name }) => `${file} ${name}`);
    assert.deepEqual(long, []);
    const [body] = measureFunctions(["test/structure.test.ts"]);
    assert.ok(body !== undefined && body.lines > 40, "a long one would be found");
  });

  test("the tests that the documents name are there", () => {
    for (const document of ["README.md", "SECURITY.md"]) {
      const named = [...read(document).matchAll(/`(test\/[\w./-]+)`/g)].map(([, path = ""]) => path);
      assert.ok(named.length > 5, document);
      for (const path of named) assert.ok(existsSync(join(ROOT, path)), `${document}: ${path}`);
    }
  });

  test("every lint rule that is switched off has a reason beside it", () => {
    for (const file of files) {
      for (const [line] of read(file).matchAll(/^.*(?:deno-lint-ignore|@ts-(?:ignore|expect-error)).*$/gm)) {
        if (file === "test/structure.test.ts") continue;
        assert.match(line, /(?:ignore|error)[^:]*(?:--|:) .+/, `${file}: ${line.trim()}`);
      }
    }
  });
});

/** Collects the files that an entry loads, at once or later. */
function reachableFrom(entry: string): string[] {
  const found = new Set([entry]);
  for (const file of found) {
    for (const { to } of imports.filter(({ from }) => from === file)) {
      if (!to.startsWith("npm:")) found.add(to);
    }
  }
  return [...found];
}

function isAllowed({ from, to }: Import): boolean {
  const room = roomOf(from);
  const allowed = EDGES[room] ?? [];
  if (to.startsWith("npm:")) return PACKAGES[to.slice(4)]?.includes(room) ?? room === "test";
  const target = roomOf(to);
  if (target === "bench" && MEASURES.test(from)) return true;
  if (target === "test" || target === "bench") return room === target || room === "bench";
  if (room === target || ENTRY_POINTS.includes(from) || allowed.includes("*")) return true;
  return allowed.some((name) => target === name || to === name || to.startsWith(`${name}/`));
}

/** Names the room of a file: `mod.ts`, a folder, or a folder of the library. */
function roomOf(file: string): string {
  const [top = "", second = ""] = file.split("/");
  return top === "lib" && file.split("/").length > 2 ? `lib/${second}` : top;
}

/** Groups of files each of which leads to each other one, by Tarjan's algorithm. */
function circlesOf(edges: readonly Import[]): string[][] {
  const targets = Map.groupBy(edges, ({ from }) => from);
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const circles: string[][] = [];
  const visit = (file: string): void => {
    const number = order.size;
    order.set(file, number);
    lowest.set(file, number);
    stack.push(file);
    for (const { to } of targets.get(file) ?? []) {
      if (!order.has(to)) visit(to);
      else if (!stack.includes(to)) continue;
      lowest.set(file, Math.min(lowest.get(file) ?? 0, lowest.get(to) ?? 0));
    }
    if (lowest.get(file) !== number) return;
    const circle = stack.splice(stack.indexOf(file));
    if (circle.length > 1) circles.push(circle);
  };
  for (const file of targets.keys()) if (!order.has(file)) visit(file);
  return circles;
}

function importsOf(file: string): Import[] {
  const specifiers = read(file).matchAll(
    /^(?:(?:import|export)( type)?\b([^;"'`=]*\bfrom)? *"([^"]+)";)|\bimport\("([^"]+)"\)|new URL\("(\.[^"]+\.ts)"/gm,
  );
  return [...specifiers].flatMap(([, type, names, imported, dynamic, url]) => {
    const specifier = imported ?? dynamic ?? url ?? "";
    if (specifier.startsWith("node:") || specifier === "#test" || specifier.includes("enclave-kms")) {
      return [];
    }
    const isValue = imported !== undefined && type === undefined && !isOfTypes(names);
    if (specifier.startsWith("#")) return perRuntime(specifier).map((to) => ({ from: file, to, isValue }));
    if (!specifier.startsWith(".")) {
      return [{ from: file, to: `npm:${specifier.replace(/^(@[^/]+\/[^/]+|[^@/]+).*/, "$1")}`, isValue }];
    }
    return [{ from: file, to: join(dirname(file), specifier), isValue }];
  });
}

/** Tells whether every name between the braces is that of a type. */
function isOfTypes(names: string | undefined): boolean {
  const listed = /\{([^}]*)\}/.exec(names ?? "")?.[1]?.split(",").map((name) => name.trim()).filter(Boolean);
  return listed !== undefined && listed.every((name) => name.startsWith("type "));
}

/** Finds the files behind a `#name` of package.json, one for each runtime. */
function perRuntime(name: string): string[] {
  const { imports } = JSON.parse(read("package.json")) as { imports: Record<string, Record<string, string>> };
  return Object.values(imports[name] ?? {}).map((path) => join(path));
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}
