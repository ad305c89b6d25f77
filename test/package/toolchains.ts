import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { build } from "esbuild";
import { bundleApplication } from "../../deploy/bundle/bundle_application.ts";
import { check, NPM_FLAGS, run, type Runtime, Skip } from "./check.ts";

/** Tools and runtimes by a lock file, installed outside the repository. */
const TOOLCHAINS = "test/package/toolchains";

const CONSUMER = "test/package/consumer";
const PLAINTEXT = "attack at dawn\n";

/** Packages that bundles leave outside by default: koffi has native code, and Cedar is a file. */
const BESIDE_BUNDLES: readonly string[] = ["koffi", "@koromix", "@cedar-policy"];

/** Folders of the checks. */
export interface Places {
  /** A temporary folder. */
  readonly work: string;
  /** Folder in which npm has installed the package. */
  readonly app: string;
  /** The packed package. */
  readonly tarball: string;
}

/**
 * Installs the tools and runtimes of others.
 *
 * @returns The runtimes that there are for this machine
 */
export async function installToolchains({ work, app }: Places): Promise<Runtime[]> {
  const folder = toolchainsIn(work);
  await check("other people's tools: install", async () => {
    cpSync(TOOLCHAINS, folder, { recursive: true });
    await run("npm", ["ci", "--ignore-scripts", ...NPM_FLAGS], folder);
  });
  const bun = process.arch === "arm64" ? "bun-linux-aarch64" : "bun-linux-x64-baseline";
  const runtimes: Runtime[] = [];
  for (
    const [name, path] of [
      ["Node", `node-${process.platform}-${process.arch}/bin/node`],
      ["Bun", `@oven/${bun}/bin/bun`],
    ] as const
  ) {
    await check(`${name}: its version`, async () => {
      const binary = join(folder, "node_modules", path);
      if (!existsSync(binary)) throw new Skip(`there is no ${path} for this machine`);
      const version = (await run(binary, ["--version"])).trim().replace("v", "");
      runtimes.push({ name: `${name} ${version}`, command: [binary], folder: app });
      return version;
    });
  }
  return runtimes;
}

/**
 * Bundles, tests and installs a program that decrypts with the packed package, as users of these tools do.
 */
export async function checkToolchains(places: Places): Promise<void> {
  await checkBundlers(places);
  await check("Jest, with --experimental-vm-modules", async () => {
    const jest = join(toolchainsIn(places.work), "node_modules/jest/bin/jest.js");
    const flags = ["--rootDir", places.app, "--testMatch", "**/decrypt.jest.mjs", "--transform", "{}"];
    await run(process.execPath, ["--experimental-vm-modules", jest, ...flags], places.app);
  });
  await checkPnpm(places);
}

async function checkBundlers({ work, app }: Places): Promise<void> {
  const bundled = folderForBundles(work, app);
  const runHere = async (file: string) =>
    assert.equal(await run(process.execPath, [join(bundled, file)], bundled), PLAINTEXT);
  for (const [format, file] of [["esm", "esbuild.mjs"], ["cjs", "esbuild.cjs"]] as const) {
    await check(`esbuild, format ${format}`, async () => {
      await build({
        entryPoints: [join(app, "program.mjs")],
        outfile: join(bundled, file),
        bundle: true,
        platform: "node",
        target: "node22",
        format,
        // Of a CommonJS bundle esbuild says that import.meta is empty: the package sees to that.
        logLevel: "error",
      });
      await runHere(file);
    });
  }
  await check("enclave-kms bundle", async () => {
    const options = { runtime: "node", architectures: ["x86_64"] } as const;
    await bundleApplication({
      ...options,
      entry: join(app, "program.mjs"),
      output: join(work, "own-bundle"),
    });
    assert.equal(await run(process.execPath, [join(work, "own-bundle/app.js")], work), PLAINTEXT);
  });
  await check("ncc", async () => {
    const ncc = join(toolchainsIn(work), "node_modules/@vercel/ncc/dist/ncc/cli.js");
    await run(process.execPath, [ncc, "build", "program.mjs", "-o", join(bundled, "ncc")], app);
    await runHere("ncc/index.mjs");
  });
  await check("webpack, no warnings", async () => {
    await run(process.execPath, [join(toolchainsIn(work), "webpack.mjs"), app, bundled]);
    await runHere("webpack.cjs");
  });
}

async function checkPnpm({ work, tarball }: Places): Promise<void> {
  const pnpm = join(toolchainsIn(work), "node_modules/.bin/pnpm");
  const install = async (name: string, settings: string, ...flags: string[]) => {
    const folder = join(work, name);
    mkdirSync(folder);
    writeFileSync(join(folder, "package.json"), '{ "name": "app", "private": true, "type": "module" }');
    writeFileSync(join(folder, "pnpm-workspace.yaml"), settings);
    // Optional, and the program has a policy in Cedar.
    const cedar = `@cedar-policy/cedar-wasm@${version("@cedar-policy/cedar-wasm")}`;
    const added = run(
      pnpm,
      ["add", tarball, cedar, "--store-dir", join(work, "pnpm-store"), ...flags],
      folder,
    );
    const failure: unknown = await added.then(() => undefined, (error) => error);
    cpSync(join(CONSUMER, "program.mjs"), join(folder, "program.mjs"));
    assert.equal(await run(process.execPath, ["program.mjs"], folder), PLAINTEXT);
    return failure;
  };
  await check("pnpm, which runs no install scripts", async () => {
    assert.equal(await install("pnpm-refused", "allowBuilds:\n  koffi: false\n"), undefined);
    assert.equal(await install("pnpm-ignored", "{}\n", "--ignore-scripts"), undefined);
    assert.match(String(await install("pnpm-unasked", "{}\n")), /Ignored build scripts: koffi/);
  });
}

/**
 * Makes a folder with the packages that bundles leave outside, and without this package, which is in them.
 */
function folderForBundles(work: string, app: string): string {
  const folder = join(work, "bundled");
  for (const name of readdirSync(join(app, "node_modules"))) {
    if (!BESIDE_BUNDLES.includes(name)) continue;
    cpSync(join(app, "node_modules", name), join(folder, "node_modules", name), { recursive: true });
  }
  return folder;
}

/** Version of an optional package, as package.json has it. */
function version(name: string): string {
  const { peerDependencies } = JSON.parse(readFileSync("package.json", "utf8")) as {
    peerDependencies: Record<string, string>;
  };
  return peerDependencies[name] ?? "";
}

function toolchainsIn(work: string): string {
  return join(work, "toolchains");
}
