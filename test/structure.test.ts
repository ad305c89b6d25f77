import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Tests of what is measured, and what measures in a guest. */
const MEASURES = /^test\/(bench\/|vsock\/scenarios\/attack\.ts$)/;

/** Which rooms a room may import, besides itself; ARCHITECTURE's table. `leaf` is a file directly in lib/. */
const EDGES: Readonly<Record<string, readonly string[]>> = {
  mod: ["leaf", "engine", "attestation", "envelope"],
  ffi: [],
  native: ["ffi", "leaf:errors.ts"],
  attestation: ["native", "leaf"],
  policy: ["leaf"],
  envelope: ["leaf"],
  vsock: ["native", "leaf"],
  engine: ["native", "attestation", "leaf"],
  leaf: ["native", "engine", "attestation", "vsock", "policy"],
  server: ["mod", "leaf", "policy", "vsock", "attestation"],
  cli: ["mod", "leaf", "policy", "vsock", "attestation", "server"],
  sim: ["leaf", "attestation", "vsock"],
  tools: ["leaf"],
  bench: ["*"],
  test: ["*"],
};

/** Files that put a laptop enclave together, and may choose the simulator beside the public API. */
const ENTRY_POINTS: readonly string[] = ["sim/demo.ts", "sim/demo_story.ts", "sim/serve.ts"];

/** Packages, by the rooms that may import them. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  koffi: ["ffi", "test"],
  "@aws-sdk/client-kms": ["bench"],
  "@cedar-policy/cedar-wasm": ["policy", "bench"],
  cbor2: ["attestation", "sim", "test", "bench"],
  esbuild: ["tools", "test", "bench"],
  hono: ["server", "test"],
  hpke: ["attestation"],
  pino: ["server"],
  valibot: ["server"],
};

interface Import {
  readonly from: string;
  readonly to: string;
}

const files = sourceFiles(ROOT);
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

  test("no room imports what ARCHITECTURE does not let it", () => {
    const wrong = imports.filter((edge) => !isAllowed(edge)).map(({ from, to }) => `${from} -> ${to}`);
    assert.deepEqual(wrong, []);
  });

  test("a wrong edge would be found", () => {
    for (
      const [from, to] of [
        ["lib/kms/https/https_engine.ts", "ffi/layouts.ts"],
        ["lib/native/libc.ts", "lib/core/secret_bytes.ts"],
        ["lib/kms/kms_client.ts", "sim/mod.ts"],
        ["ffi/layouts.ts", "lib/core/errors.ts"],
        ["server/app.ts", "sim/mod.ts"],
        ["sim/nsm/nsm.ts", "mod.ts"],
        ["test/sim/nsm/nsm.test.ts", "bench/run.ts"],
        ["lib/native/libc.ts", "npm:koffi"],
      ] as const
    ) assert.equal(isAllowed({ from, to }), false, `${from} -> ${to}`);
  });

  test("pointers stay in ffi/ and lib/native/", () => {
    for (const file of files.filter((name) => !/^(ffi|lib\/native|test)\//.test(name))) {
      assert.doesNotMatch(read(file), /\.pointer\b|\bPointer</, file);
    }
  });

  test("no file of the library is over 300 lines, and none says any", () => {
    for (const file of files.filter((name) => /^(mod\.ts|ffi\/|lib\/|server\/|cli\/|sim\/)/.test(name))) {
      const source = read(file);
      assert.ok(source.split("\n").length <= 301, `${file} is too long`);
      assert.doesNotMatch(source, /:\s*any\b|<any>|as any\b/, file);
    }
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

function isAllowed({ from, to }: Import): boolean {
  const room = roomOf(from);
  if (to.startsWith("npm:")) return PACKAGES[to.slice(4)]?.includes(room) ?? room === "test";
  const target = roomOf(to);
  if (target === "bench" && MEASURES.test(from)) return true;
  if (target === "test" || target === "bench") return room === target || room === "bench";
  if (room === target || ENTRY_POINTS.includes(from)) return true;
  const allowed = EDGES[room] ?? [];
  return allowed.includes("*") || allowed.includes(target) ||
    (target === "leaf" && allowed.includes(`leaf:${relative("lib", to)}`));
}

function roomOf(file: string): string {
  const [top = "", second = "", third] = file.split("/");
  if (top === "mod.ts") return "mod";
  if (top !== "lib") return top;
  return third === undefined ? "leaf" : second;
}

function importsOf(file: string): Import[] {
  const specifiers = read(file).matchAll(
    /^(?:import|export)\b(?:[^;"'`=]*\bfrom)? *"([^"]+)";|\bimport\("([^"]+)"\)|new URL\("(\.[^"]+\.ts)"/gm,
  );
  return [...specifiers].flatMap(([, imported, dynamic, url]) => {
    const specifier = imported ?? dynamic ?? url ?? "";
    if (specifier.startsWith("node:") || specifier === "#test" || specifier.includes("enclave-kms")) {
      return [];
    }
    if (specifier.startsWith("#")) return perRuntime(specifier).map((to) => ({ from: file, to }));
    if (!specifier.startsWith(".")) {
      return [{ from: file, to: `npm:${specifier.replace(/^(@[^/]+\/[^/]+|[^@/]+).*/, "$1")}` }];
    }
    return [{ from: file, to: join(dirname(file), specifier) }];
  });
}

/** The files that a `#name` of package.json stands for, one for each runtime. */
function perRuntime(name: string): string[] {
  const { imports } = JSON.parse(read("package.json")) as { imports: Record<string, Record<string, string>> };
  return Object.values(imports[name] ?? {}).map((path) => join(path));
}

/** Only the rooms: other tests make and remove folders beside them meanwhile. */
function sourceFiles(root: string): string[] {
  const inRooms = ["ffi", "lib", "enclave", "server", "cli", "sim", "bench", "test", "tools"].flatMap((room) =>
    readdirSync(join(root, room), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)))
  );
  return ["mod.ts", ...inRooms];
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}
