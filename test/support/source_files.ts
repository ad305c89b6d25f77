import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** Root of the repository. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

/** Folders with TypeScript of ours. */
const ROOMS: readonly string[] = [
  "ffi",
  "lib",
  "enclave",
  "aws_sdk",
  "server",
  "parent",
  "operator",
  "deploy",
  "cli",
  "sim",
  "examples",
  "bench",
  "test",
  "tools",
  "site",
];

/** Folders that other tests make and remove meanwhile, or that hold what others wrote. */
const NOT_OURS = /(?:^|\/)(?:node_modules|build)(?:\/|$)/;

/**
 * Lists the TypeScript files of every room.
 *
 * @returns Paths from the repository's root, mod.ts first
 */
export function sourceFiles(): string[] {
  const inRooms = ROOMS.flatMap((room) =>
    readdirSync(join(ROOT, room), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
      .filter((path) => !NOT_OURS.test(path))
  );
  return ["mod.ts", ...inRooms];
}
