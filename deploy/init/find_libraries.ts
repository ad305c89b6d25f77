import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { ImageError } from "../../lib/core/errors.ts";
import { fileSource } from "../eif/file_source.ts";
import type { Architecture } from "../eif/format.ts";
import { type ElfFile, readElf } from "./read_elf.ts";

/** Library that a program needs. */
export interface FoundLibrary {
  /** Path in the image, without a leading slash: where the program's loader looks. */
  readonly path: string;
  /** Path of the file here. */
  readonly from: string;
}

/** Folders that the loaders of Debian's and Amazon's glibc, and of musl, look through without a cache. */
const FOLDERS: Readonly<Record<Architecture, readonly string[]>> = {
  x86_64: ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib"],
  aarch64: ["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib"],
};

/** File name of a loader: `ld-linux-x86-64.so.2`, `ld-musl-x86_64.so.1`, `ld64.so.1`. */
const LOADER = /^ld[-.\d]/;

/** Most libraries of one program. */
const MAX_LIBRARIES = 512;

/**
 * Finds the libraries of a program, those of the libraries as well, and its loader. It reads the headers, as the loader
 * does, and runs nothing. `RPATH`, `RUNPATH` and the loader's cache are not looked at: an image has no cache.
 *
 * @param program Header of the program
 * @param more Names of libraries that it opens while it runs
 * @param root Folder that stands for `/`, such as an unpacked file system of another processor
 * @returns Libraries and loader, sorted by path
 * @throws {ImageError} When one is not there, is no ELF or for another processor, or the loader's name is that of none
 */
export async function findLibraries(
  { architecture, interpreter, needed }: ElfFile,
  more: readonly string[],
  root: string,
): Promise<FoundLibrary[]> {
  const loader = interpreter === undefined ? [] : [await findLoader(interpreter, architecture, root)];
  const found = new Map<string, FoundLibrary>();
  const names = [...needed, ...more];
  for (const name of names) {
    // The loader is a library as well, under its own name.
    if (found.has(name) || interpreter?.endsWith(`/${name}`)) continue;
    if (found.size >= MAX_LIBRARIES) throw missing(`the libraries of ${name}`, "there are too many");
    const library = locate(name, FOLDERS[architecture], architecture, root);
    found.set(name, library);
    names.push(...(await readLibrary(name, library, architecture)).needed);
  }
  return [...loader, ...found.values()].sort((a, b) => a.path < b.path ? -1 : 1);
}

/** Finds the loader that a program names: a hostile program may name any file of this machine. */
async function findLoader(
  interpreter: string,
  architecture: Architecture,
  root: string,
): Promise<FoundLibrary> {
  if (!LOADER.test(basename(interpreter))) throw missing(interpreter, "it is the name of no loader");
  const loader = locate(interpreter.slice(1), [""], architecture, root);
  await readLibrary(interpreter, loader, architecture);
  return loader;
}

async function readLibrary(
  name: string,
  { from }: FoundLibrary,
  architecture: Architecture,
): Promise<ElfFile> {
  await using source = await fileSource(from);
  const elf = await readElf(source, from);
  if (elf.architecture !== architecture) throw missing(name, `${from} is for ${elf.architecture}`);
  return elf;
}

/**
 * Tells whether a library is where the loader looks for it.
 *
 * @param name Name of the library
 * @param architecture Processor that it is for
 * @param root Folder that stands for `/`
 */
export function hasLibrary(name: string, architecture: Architecture, root: string): boolean {
  return placeOf(name, FOLDERS[architecture], root) !== undefined;
}

function placeOf(name: string, folders: readonly string[], root: string): string | undefined {
  return folders.map((folder) => join(folder, name)).find((one) => existsSync(join(root, one)));
}

function locate(
  name: string,
  folders: readonly string[],
  architecture: Architecture,
  root: string,
): FoundLibrary {
  const path = placeOf(name, folders, root);
  if (path !== undefined) return { path, from: join(root, path) };
  throw missing(
    name,
    `it is in none of ${folders.map((folder) => `/${folder}`).join(", ")} for ${architecture}`,
  );
}

function missing(name: string, why: string): ImageError {
  return new ImageError(`Cannot find ${name}: ${why}`, {
    hint: "Install it, or name the folder of a file system that has it with --root",
  });
}
