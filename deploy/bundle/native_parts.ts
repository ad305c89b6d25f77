import { copyFileSync, existsSync, lstatSync, mkdirSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { ImageError } from "../../lib/core/errors.ts";
import { type BundleArchitecture, packageFolderOf } from "./bundle_files.ts";

/** Processor of an architecture, as Node.js and koffi name it. */
const PROCESSORS: Readonly<Record<BundleArchitecture, string>> = { x86_64: "x64", arm64: "arm64" };

/** Files of koffi's package besides its modules, which are CommonJS; the rest is sources of C, and what builds them. */
const KOFFI_FILES = ["package.json", "LICENSE.txt"];

/** File of Cedar, which the library looks for beside itself. */
const CEDAR_WASM = "cedar_wasm_bg.wasm";

/**
 * Copies koffi and its addons into the `node_modules` of a bundle, where the library finds it: koffi looks for the addon
 * below its own folder, in `build/koffi/<system>_<processor>`.
 *
 * @param from A file of the library, from where koffi is found
 * @param bundle Folder of the bundle
 * @param architectures Processors that the bundle is for
 * @returns Folder of koffi's package
 * @throws {ImageError} When koffi is not installed, or its addon for an architecture is not
 */
export function copyKoffi(
  from: string,
  bundle: string,
  architectures: readonly BundleArchitecture[],
): string {
  const koffi = folderOf(from, "koffi");
  if (koffi === undefined) {
    throw new ImageError("Cannot bundle: koffi is not installed, by which Node.js calls C", {
      hint: "npm install koffi, or bundle for --runtime deno",
    });
  }
  const target = join(bundle, "node_modules/koffi");
  const modules = readdirSync(koffi, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".cjs") && path !== "cnoke.cjs" && !path.includes("node_modules"));
  for (const file of [...KOFFI_FILES, ...modules]) copyInto(join(koffi, file), join(target, file));
  for (const architecture of architectures) {
    const name = `@koromix/koffi-linux-${PROCESSORS[architecture]}`;
    const addons = folderOf(join(koffi, "package.json"), name);
    if (addons === undefined) {
      throw new ImageError(`Cannot bundle for ${architecture}: ${name} is not installed`, {
        hint: `npm install --cpu=${PROCESSORS[architecture]} --os=linux, beside the packages of this machine`,
      });
    }
    for (const triplet of readdirSync(addons).filter((entry) => /^(?:linux|musl)_/.test(entry))) {
      copyInto(join(addons, triplet, "koffi.node"), join(target, "build/koffi", triplet, "koffi.node"));
    }
  }
  return koffi;
}

/**
 * Copies Cedar's module beside a bundle.
 *
 * @param from A file of the library, from where Cedar's package is found
 * @param bundle Folder of the bundle
 * @returns Folder of Cedar's package; undefined when it is not installed
 */
export function copyCedar(from: string, bundle: string): string | undefined {
  const cedar = folderOf(from, "@cedar-policy/cedar-wasm");
  if (cedar === undefined) return undefined;
  copyInto(join(cedar, "nodejs", CEDAR_WASM), join(bundle, CEDAR_WASM));
  return cedar;
}

/** Finds a package as Node.js does, whether its `exports` let its package.json out or not. */
function folderOf(from: string, name: string): string | undefined {
  const paths = createRequire(from).resolve.paths(name) ?? [];
  const folder = paths.map((path) => join(path, name)).find((path) => existsSync(join(path, "package.json")));
  return folder && packageFolderOf(join(folder, "package.json"));
}

function copyInto(from: string, to: string): void {
  // A link of a package would bring a file of this machine along.
  if (!lstatSync(from).isFile()) {
    throw new ImageError(`Cannot bundle ${from}: it is no file`, { hint: "Install that package again" });
  }
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}
