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
  "lib/channel",
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
  "lib/channel": ["lib/attestation", "lib/wire", "lib/transport", "lib/core"],
  "lib/kms": ["lib/nsm", "lib/transport", "lib/aws", "lib/native", "lib/core"],
  "lib/envelope": ["lib/kms/operations", "lib/native", "lib/core"],
  "mod.ts": LIBRARY,
  enclave: LIBRARY,
  server: ["enclave", ...LIBRARY],
  aws_sdk: ["enclave", ...LIBRARY],
  parent: ["lib/channel", "lib/attestation", "lib/aws", "lib/wire", "lib/transport", "lib/core"],
  operator: ["lib/kms", "lib/aws", "lib/attestation", "lib/wire", "lib/core"],
  deploy: ["operator", "lib/attestation", "lib/aws", "lib/core"],
  sim: ["lib/core", "lib/transport", "lib/nsm", "lib/attestation", "lib/wire", "lib/aws/region.ts"],
  // The simulator from one file only, as a test below says.
  cli: LIBRARY.concat("enclave", "server", "parent", "operator", "deploy", "sim/mod.ts"),
  // By the names of the entries only.
  examples: [],
  tools: LIBRARY.concat("enclave", "server", "deploy/bundle"),
  site: ["deploy", "lib/attestation", "lib/core", "tools/entries.ts"],
  bench: ["*"],
  test: ["*"],
};

/** Files that put a laptop enclave together, and may choose the simulator beside the public API. */
const ENTRY_POINTS: readonly string[] = [
  "sim/flow/application.ts",
  "sim/flow/flow.ts",
  "sim/flow/story.ts",
  "sim/flow/world.ts",
  "sim/demo.ts",
  "sim/demo_story.ts",
  "sim/run.ts",
  "sim/serve.ts",
];

/** Packages, by the rooms that may import them. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "age-encryption": ["enclave", "operator", "test"],
  "@noble/curves": ["examples", "test"],
  aws4fetch: ["parent", "test"],
  "@grpc/grpc-js": ["test", "bench"],
  koffi: ["ffi", "test"],
  marked: ["site"],
  "@aws-sdk/client-kms": ["examples", "test", "bench"],
  "@aws-sdk/client-s3": ["examples", "test"],
  "@aws-sdk/client-secrets-manager": ["examples", "test"],
  "@aws-sdk/credential-providers": ["parent", "test"],
  "@hono/node-server": ["bench"],
  "@cedar-policy/cedar-wasm": ["lib/policy", "bench"],
  cbor2: ["sim", "test", "bench"],
  esbuild: ["deploy", "tools", "site", "test", "bench"],
  hono: ["enclave", "server", "examples", "test", "bench"],
  hpke: ["lib/attestation", "lib/wire", "test"],
  jose: ["enclave", "examples", "test", "bench"],
  pino: ["enclave"],
  "shamir-secret-sharing": ["lib/wire", "test"],
  valibot: ["enclave", "server", "tools", "test"],
  "@valibot/to-json-schema": ["tools", "test"],
};

const PRODUCT = /^(?:mod\.ts$|(?:ffi|lib|enclave|server|aws_sdk|parent|operator|deploy|cli|sim)\/)/;

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
        ["aws_sdk/mod.ts", "lib/native/libc.ts"],
        ["aws_sdk/mod.ts", "npm:@aws-sdk/client-kms"],
        ...["lib/kms/kms_client.ts", "lib/nsm/mod.ts", "lib/policy/mod.ts", "lib/native/libc.ts"].map((to) =>
          ["parent/kms_proxy.ts", to] as const
        ),
        ["parent/kms_proxy.ts", "lib/envelope/mod.ts"],
        ["parent/kms_proxy.ts", "enclave/ingress.ts"],
        ["parent/kms_proxy.ts", "server/app.ts"],
        ["enclave/ingress.ts", "parent/kms_proxy.ts"],
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

  test("neither the library nor the server reaches the simulator", () => {
    for (
      const source of [...readEntries().map((entry) => entry.source), "server/main.ts", "cli/kms_program.ts"]
    ) {
      if (["sim/mod.ts", "cli/main.ts"].includes(source)) continue;
      assert.deepEqual(reachableFrom(source).filter((file) => file.startsWith("sim/")), [], source);
    }
    assert.ok(reachableFrom("sim/serve.ts").includes("sim/mod.ts"), "it would be found");
  });

  test("the command line loads the simulator from one file, when a command asks for it", () => {
    const edges = imports.filter(({ from, to }) => from.startsWith("cli/") && to.startsWith("sim/"));
    const loading = edges.filter(({ from }) => !/^import type [^;]*"[./]+sim\/mod\.ts";/m.test(read(from)));
    assert.deepEqual([...new Set(loading.map(({ from }) => from))], ["cli/load_simulator.ts"]);
    assert.deepEqual(edges.filter(({ isValue }) => isValue), []);
    assert.ok(!loadedBy("cli/main.ts").includes("sim/mod.ts"));
  });

  test("the simulator loads no native code, which other systems than Linux would not have", () => {
    const native = (source: string) =>
      reachableFrom(source).filter((file) => /^(?:ffi|lib\/native)\//.test(file));
    assert.deepEqual(native("sim/mod.ts"), []);
    assert.ok(native("lib/transport/mod.ts").length > 0, "it would be found");
  });

  test("the parent's half reaches nothing that opens what KMS answers, and nothing of the enclave", () => {
    const never = /^(?:lib\/(?:kms|nsm|policy|envelope)|enclave|server|sim|cli)\//;
    const found = (source: string) => reachableFrom(source).filter((file) => never.test(file));
    const parents = files.filter((file) => file.startsWith("parent/"));
    assert.ok(parents.length > 5);
    for (const source of parents) assert.deepEqual(found(source), [], source);
    const direct = imports.filter(({ from, to }) =>
      from.startsWith("parent/") && /^(?:ffi|lib\/native)\//.test(to)
    );
    assert.deepEqual(direct, []);
    assert.ok(found("enclave/ingress.ts").length > 0, "it would be found");
  });

  test("a call to KMS on the command line loads no part of the product that it does not need, and no package", () => {
    const needed = /^(?:cli|ffi|lib\/(?:aws|core|kms|native|nsm|transport))\//;
    const found = (source: string) => reachableFrom(source).filter((file) => !needed.test(file));
    assert.deepEqual(found("cli/kms_program.ts"), []);
    const commands = reachableFrom("cli/kms_program.ts").filter((file) => file.startsWith("cli/commands/"));
    const expected = ["decrypt", "genkey", "genrandom"].map((name) => `cli/commands/${name}.ts`);
    assert.deepEqual(commands.toSorted(), expected);
    assert.ok(found("cli/program.ts").some((file) => file.startsWith("lib/policy/")), "it would be found");
  });

  test("what reads images and key policies runs in browsers", () => {
    const ofNode = (source: string) => loadedBy(source).filter((file) => /\bnode:/.test(imported(file)));
    assert.deepEqual(ofNode("deploy/mod.ts"), []);
    assert.ok(ofNode("deploy/node/mod.ts").includes("deploy/eif/write_image.ts"), "it would be found");
  });

  test("no source of the product imports the public API in one piece", () => {
    const importers = imports.filter(({ to }) => to === "mod.ts").map(({ from }) => from)
      .filter((file) => !/^(bench|test)\//.test(file) && !ENTRY_POINTS.includes(file));
    assert.deepEqual(importers, []);
  });

  test("lib/ has rooms only", () => {
    assert.deepEqual(files.filter((file) => /^lib\/[^/]+$/.test(file)), []);
  });

  // Deno 2.9.5 closes each of them twice, and so what another thread has opened in between.
  test("unix sockets of node:net stay in the files that Deno does not run", () => {
    const ofNode = ["lib/core/connect_unix_node.ts", "lib/transport/accept_socket.ts"];
    const opening = files.filter((name) =>
      /^(?:lib|enclave|server|aws_sdk|parent|operator|sim|cli)\//.test(name)
    )
      .filter((name) =>
        /\b(?:connect|createConnection|listen)\(\{ path|server\.listen\(path|\bsocketPath:(?! string)/.test(
          read(name),
        )
      );
    assert.deepEqual(opening.sort(), ofNode);
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

/** Collects the files that an entry loads at once. */
function loadedBy(entry: string): string[] {
  const found = new Set([entry]);
  for (const file of found) {
    for (const { to } of imports.filter(({ from, isValue }) => from === file && isValue)) {
      if (!to.startsWith("npm:")) found.add(to);
    }
  }
  return [...found];
}

/** Lists the specifiers of a file's imports, one a line. */
function imported(file: string): string {
  return [...read(file).matchAll(/\b(?:from|import\()\s*"([^"]+)"/g)].map(([, specifier]) => specifier).join(
    "\n",
  );
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
