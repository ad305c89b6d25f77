/**
 * `npm run test:package`: builds the npm package, packs it, installs it in an empty folder and uses it there
 * as its users do, on every runtime it supports; then asks Deno what it would publish. One line per check.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { compileInstrument, supervise } from "../../sim/instruments.ts";
import { bundle } from "../../tools/bundle.ts";
import { readEntries } from "../../tools/entries.ts";
import { check, failures, NPM_FLAGS, run, type Runtime, seconds, Skip } from "./check.ts";
import { checkProjects } from "./projects.ts";
import { checkToolchains, installToolchains } from "./toolchains.ts";
import { surviveClosedOutput } from "../support/closed_output.ts";

surviveClosedOutput();

const DIST = "build/npm";
const CONSUMER = "test/package/consumer";
const OLDEST_NODE = "test/package/node22";
const PLAINTEXT = "attack at dawn";

/** Most that an install of the core may come to: the package with all its entries, cbor2, hpke, koffi and what they need. */
const MAX_CORE_PACKAGES = 7;
const MAX_CORE_BYTES = 10_000_000;
/** Parts of types that are computed, what has no use outside, and types of hono: nobody must name them. */
const COMPUTED_TYPES =
  /references private type '(?:NativeErrorCode|ServiceErrorCode|DryRunName|Requested|KEY_FAMILIES|Family|SpecOf|OperationOf|OperationName|ROUTE_NAMES|RequestLog|StreamAgent|AnsweredBy|PARENT_STAGES|SettingName|ValueOf|STATUS|FailedBy|Hono|Schema|Context|MiddlewareHandler|TypedResponse|ToSchema)'/;

/** Without the server, whose parts are types of its application base. */
const PUBLIC_ENTRIES = readEntries().filter(({ name }) => !["cli", "server"].includes(name))
  .map(({ source }) => source);

const started = performance.now();
const work = mkdtempSync(join(tmpdir(), "enclave-kms-package-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));

const app = join(work, "app");
/** Without the optional packages. */
const coreApp = join(work, "core-app");
const denoApp = join(work, "deno-app");
const sockets = join(work, "sockets");
let tarball = "";

await checkBuild();
await checkInstalled();
const places = { work, app, tarball };
const oldest = await oldestNode();
await checkRuntimes(oldest, await installToolchains(places));
await checkToolchains(places);
await checkProjects(places, oldest === undefined ? [nodeRuntime()] : [nodeRuntime(), oldest]);
await checkDenoPackage();
console.log(`\npackage: ${failures === 0 ? "all right" : `${failures} failed`} (${seconds(started)} s)`);
process.exitCode = failures === 0 ? 0 : 1;

async function checkBuild(): Promise<void> {
  await check("npm run build", async () => summary(await run(process.execPath, ["tools/build.ts"])));
  await check("a second build is the same, byte for byte", async () => {
    const again = join(work, "again");
    await run(process.execPath, ["tools/build.ts", again]);
    const files = listFiles(DIST);
    assert.deepEqual(listFiles(again), files);
    for (const file of files) {
      assert.deepEqual(readFileSync(join(again, file)), readFileSync(join(DIST, file)), file);
    }
    return `${files.length} files`;
  });
  await check("the build refuses a library that holds more than it should", async () => {
    const build = (entry: string, source: string) =>
      bundle("deno", join(work, "refused"), { [entry]: source });
    await assert.rejects(build("mod", "sim/mod.ts"), /deno\/mod\.js must not hold .*sim\/simulator\.ts/);
    await assert.rejects(
      build("mod", "ffi/loader_koffi.ts"),
      /deno\/mod\.js must not hold .*ffi\/loader_koffi\.ts/,
    );
    await assert.rejects(
      build("attestation", "lib/nsm/nsm_client.ts"),
      /deno\/attestation\.js must not hold .*lib\/native\/nsm_device\.ts/,
    );
    await assert.rejects(build("attestation", "lib/core/encoding.ts"), /must not hold .*node:buffer/);
    await assert.rejects(
      build("sim", "sim/instruments.ts"),
      /deno\/sim\.js must not hold sim\/instruments\.ts/,
    );
  });
  await check("npm pack", async () => {
    const packed = await run("npm", ["pack", `./${DIST}`, "--pack-destination", work, "--loglevel=error"]);
    tarball = join(work, packed.trim());
    return `${(readFileSync(tarball).length / 1024).toFixed(1)} KiB`;
  });
  await check("publint", async () => void await run("publint", ["run", tarball, "--strict"]));
  await check("attw", async () => void await run("attw", [tarball, "--profile", "esm-only", "--no-emoji"]));
}

async function checkInstalled(): Promise<void> {
  await check("npm install in an empty folder", async () => {
    mkdirSync(app);
    writeJson(join(app, "package.json"), { name: "app", private: true, type: "module" });
    await run("npm", ["install", tarball, ...NPM_FLAGS], app);
    cpSync(CONSUMER, app, { recursive: true });
    cpSync(app, coreApp, { recursive: true, verbatimSymlinks: true });
    const { packages, bytes } = installed(join(app, "node_modules"));
    assert.ok(
      packages <= MAX_CORE_PACKAGES && bytes <= MAX_CORE_BYTES,
      `${packages} packages, ${bytes} bytes`,
    );
    return `${packages} packages, ${(bytes / 1e6).toFixed(1)} MB`;
  });
  await check("npm install of the optional packages", async () => {
    await run("npm", ["install", ...optionalPackages(), ...NPM_FLAGS], app);
    const { packages, bytes } = installed(join(app, "node_modules"));
    return `${packages} packages, ${(bytes / 1e6).toFixed(1)} MB`;
  });
  for (const [module, moduleResolution] of [["nodenext", "nodenext"], ["esnext", "bundler"]]) {
    await check(`types, moduleResolution ${moduleResolution}, libraries checked`, async () => {
      const compilerOptions = typeOptions(module, moduleResolution);
      writeJson(join(app, "tsconfig.json"), { compilerOptions, include: ["*.mts"] });
      await run("tsc", ["-p", app]);
      // Entries with streams of Node.js or an application of Hono's; their packages are not checked.
      const withNode = { ...compilerOptions, types: ["node"], skipLibCheck: true };
      writeJson(join(app, "node/tsconfig.json"), { compilerOptions: withNode });
      await run("tsc", ["-p", join(app, "node")]);
    });
  }
}

async function checkRuntimes(oldest: Runtime | undefined, others: readonly Runtime[]): Promise<void> {
  mkdirSync(sockets);
  const supervisor = await compileInstrument("nsm-supervisor");
  const double = await compileInstrument("sdk-double");
  for (const runtime of [nodeRuntime(), oldest, ...others, denoRuntime()]) {
    if (runtime === undefined) continue;
    await check(`${runtime.name}: the example policy`, () => consume(runtime, "policy.mjs"));
    await check(`${runtime.name}: the other entries`, () => consume(runtime, "doors.mjs"));
    await check(`${runtime.name}: the core alone`, () => {
      return consume({ ...runtime, folder: coreApp }, "core.mjs");
    });
    await check(`${runtime.name}: attestation`, () => consume(runtime, "attestation.mjs"));
    await check(`${runtime.name}: the command line`, () => consume(runtime, "cli.mjs"));
    // Deno's require() does not look at the condition `deno`, and takes the files for Node.js.
    if (runtime.folder === app) {
      await check(`${runtime.name}: require() from CommonJS`, () => consume(runtime, "required.cjs"));
    }
    await check(`${runtime.name}: engine direct`, () => consume(runtime, "decrypt.mjs", "direct"));
    for (const engine of ["sdk", "sdk-client"]) {
      await check(`${runtime.name}: engine ${engine}`, () => {
        if (!supervisor || !double) throw new Skip("no C compiler");
        return consume(runtime, "decrypt.mjs", engine, double, sockets);
      });
    }
  }
  const withoutKoffi = { ...nodeRuntime(), folder: denoRuntime().folder };
  await check(
    `${withoutKoffi.name} without koffi: engine direct, which calls no C here`,
    () => consume(withoutKoffi, "decrypt.mjs", "direct"),
  );
  for (const runtime of [nodeRuntime(), denoRuntime()]) {
    await check(`${runtime.name}: TypeScript with using`, async () => {
      const [program = "", ...args] = runtime.command;
      assert.match(await run(program, [...args, "typed.mts"], runtime.folder), new RegExp(PLAINTEXT));
    });
  }
  await check("Deno: types", async () => void await run("deno", ["check", "--quiet", "typed.mts"], denoApp));
}

async function checkDenoPackage(): Promise<void> {
  await check("deno publish --dry-run", async () => {
    const output = await run("deno", ["publish", "--dry-run", "--allow-dirty", "--allow-slow-types"]);
    const files = output.match(/^ +file:.*$/gm) ?? [];
    assert.deepEqual(files.filter((file) => /koffi|_node\.ts|instruments|demo|\.[ch] /.test(file)), []);
    return `${files.length} files`;
  });
  await check(
    "slow types are the routes of the server and the settings of the parent only, inferred from their tables",
    async () => {
      const refusal: unknown = await run("deno", ["publish", "--dry-run", "--allow-dirty"]).catch((error) =>
        error
      );
      const places = String(refusal).match(/(?<=--> )\S+/g) ?? [];
      assert.ok(places.length > 0, String(refusal));
      assert.deepEqual(
        places.filter((place) =>
          !/\/(?:server\/(?:app|kms_routes)|parent\/settings\/setting_table)\.ts:/.test(place)
        ),
        [],
      );
    },
  );
  await check("deno doc --lint", async () => {
    const complaints: unknown = await run("deno", ["doc", "--lint", ...PUBLIC_ENTRIES]).catch((error) =>
      error
    );
    const errors = String(complaints).match(/error\[.*/g) ?? [];
    assert.deepEqual(errors.filter((line) => !COMPUTED_TYPES.test(line)), []);
  });
}

function nodeRuntime(): Runtime {
  return { name: `Node ${process.version.slice(1)}`, command: [process.execPath], folder: app };
}

/** Installs the oldest Node.js that `engines` in package.json allows, by a lock file. */
async function oldestNode(): Promise<Runtime | undefined> {
  const folder = join(work, "node22");
  const binary = join(folder, `node_modules/node-${process.platform}-${process.arch}/bin/node`);
  let version = "22";
  await check("Node 22: install", async () => {
    cpSync(OLDEST_NODE, folder, { recursive: true });
    try {
      await run("npm", ["ci", "--ignore-scripts", ...NPM_FLAGS], folder);
      version = (await run(binary, ["--version"])).trim().slice(1);
    } catch (error) {
      throw new Skip(`no Node 22 for this machine: ${(error as Error).message.split("\n", 1)[0]}`);
    }
  });
  return existsSync(binary) ? { name: `Node ${version}`, command: [binary], folder: app } : undefined;
}

/** Makes a folder without koffi for Deno, whose files must not ask for it. */
function denoRuntime(): Runtime {
  if (!existsSync(denoApp)) {
    cpSync(app, denoApp, { recursive: true, verbatimSymlinks: true });
    for (const name of ["koffi", "@koromix"]) {
      rmSync(join(denoApp, "node_modules", name), { recursive: true, force: true });
    }
    writeJson(join(denoApp, "deno.json"), { nodeModulesDir: "manual" });
  }
  return { name: "Deno without koffi", command: ["deno", "run", "--quiet", "-A"], folder: denoApp };
}

/** Runs one of the consumer's scripts; with a place for sockets, there is a /dev/nsm. */
async function consume({ command, folder }: Runtime, script: string, ...args: string[]): Promise<void> {
  const line = [...command, script, ...args];
  const [program = "", ...rest] = args.includes(sockets) ? supervise(line, sockets) : line;
  assert.equal((await run(program, rest, folder)).trim(), PLAINTEXT);
}

/** Makes a user's own settings, without the types of Node.js. */
function typeOptions(module: string | undefined, moduleResolution: string | undefined) {
  return {
    module,
    moduleResolution,
    target: "es2022",
    lib: ["es2022", "dom"],
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmit: true,
  };
}

/** Counts what is installed in a folder, without links and the lock file of npm. */
function installed(modules: string): { packages: number; bytes: number } {
  const { packages } = JSON.parse(readFileSync(join(modules, ".package-lock.json"), "utf8")) as {
    packages: Record<string, unknown>;
  };
  const bytes = listFiles(modules).reduce((sum, file) => sum + statSync(join(modules, file)).size, 0);
  return { packages: Object.keys(packages).length, bytes };
}

/** Optional packages at the versions that are tested, and the types of Node.js. */
function optionalPackages(): string[] {
  const { peerDependencies, devDependencies } = JSON.parse(readFileSync("package.json", "utf8")) as {
    peerDependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  };
  return [...Object.keys(peerDependencies), "@types/node"].map((name) => `${name}@${devDependencies[name]}`);
}

function summary(output: string): string {
  return `\n${output.trimEnd().replace(/^/gm, "        ")}\n     `;
}

function listFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

function writeJson(path: string, value: unknown): void {
  writeFileSync(path, JSON.stringify(value, null, 2));
}
