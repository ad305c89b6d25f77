import { ImageError } from "../../lib/core/errors.ts";

/** Functions of esbuild that are used. */
export type Esbuild = Pick<typeof import("esbuild"), "build" | "stop">;

/**
 * Imports esbuild, which is an optional peer: only whoever bundles needs it.
 *
 * @param load Imports it. Default: by its name
 * @returns Its functions
 * @throws {ImageError} When it is not installed
 */
export async function loadEsbuild(load: () => Promise<Esbuild> = () => import("esbuild")): Promise<Esbuild> {
  try {
    return await load();
  } catch (cause) {
    throw new ImageError("Cannot bundle: esbuild is not installed", {
      hint: "npm install --save-dev esbuild@0.28, beside enclave-kms",
      cause,
    });
  }
}
