import { existsSync, lstatSync, mkdirSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";

/**
 * Lets Node.js keep compiled code in the user's own cache folder, where the next start finds it. Code found there is
 * run, so a folder that anyone but the user and root could write to or put another in the place of is not used, and
 * nothing is made there: in the home of somebody else, for one, under root's privileges.
 *
 * Without such a folder, or on Deno, which keeps compiled code itself, nothing happens. `NODE_COMPILE_CACHE` and
 * `NODE_DISABLE_COMPILE_CACHE` are obeyed.
 */
export function keepCompiledCode(): void {
  if ("Deno" in globalThis) return;
  try {
    const folder = ownFolder();
    if (folder !== undefined) process.getBuiltinModule("node:module").enableCompileCache?.(folder);
  } catch {
    // A home that is not there, or read-only, or forbidden: the start is slower, and that is all.
  }
}

function ownFolder(): string | undefined {
  const { HOME, XDG_CACHE_HOME } = process.env;
  const base = absolute(XDG_CACHE_HOME) ?? absolute(HOME && `${HOME}/.cache`);
  const user = process.getuid?.();
  if (base === undefined || user === undefined) return undefined;
  const folder = `${base}/enclave-kms/compiled`;
  if (!isSafe(nearest(folder), user)) return undefined;
  // Node.js makes a folder in there by the umask, whatever that is.
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (!isSafe(folder, user)) return undefined;
  const path = realpathSync(folder);
  const { uid, mode } = lstatSync(path);
  return uid === user && (mode & OPEN_TO_OTHERS) === 0 ? path : undefined;
}

function absolute(path: string | undefined): string | undefined {
  return path?.startsWith("/") ? path : undefined;
}

/** Finds the folder nearest to a path that is there. */
function nearest(path: string): string {
  return existsSync(path) || path === "/" ? path : nearest(dirname(path));
}

/** Tells whether nobody but a user and root can change where a path leads, by links or without. */
function isSafe(path: string, user: number): boolean {
  return [path, realpathSync(path)].every((one) => areOwn(one, user));
}

/** Tells whether a path and all folders above it belong to a user or root, and nobody else may rename what is in them. */
function areOwn(path: string, user: number): boolean {
  const status = lstatSync(path);
  const isClosed = (status.mode & WRITABLE_BY_OTHERS) === 0 || (status.mode & STICKY) !== 0;
  if (!(status.uid === user || status.uid === 0) || !(isClosed || status.isSymbolicLink())) return false;
  return path === "/" || areOwn(dirname(path), user);
}

/** Bits of a mode that let the group, or anyone, write. */
const WRITABLE_BY_OTHERS = 0o022;

/** Bit of a folder in which each may rename only what is theirs, such as `/tmp`. */
const STICKY = 0o1000;

/** Bits of a mode that let the group, or anyone, do anything. */
const OPEN_TO_OTHERS = 0o077;
