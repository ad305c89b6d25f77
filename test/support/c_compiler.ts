import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** The C compiler. */
export const CC = process.env["CC"] ?? "cc";

/** Tells whether this machine has a C compiler. */
export function hasCompiler(): boolean {
  try {
    execFileSync(CC, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/**
 * Compiles a shared library.
 *
 * @param source The library, in C
 * @param path Path of the result
 */
export function compileLibrary(source: string, path: string): void {
  writeFileSync(`${path}.c`, source);
  execFileSync(CC, ["-shared", "-fPIC", "-w", "-o", path, `${path}.c`], {
    stdio: ["ignore", "ignore", "pipe"],
  });
}

/**
 * Tells whether the compiler finds a header.
 *
 * @param header Such as `openssl/evp.h`
 */
export function hasHeader(header: string): boolean {
  try {
    checkSource(`#include <${header}>`);
    return true;
  } catch {
    return false;
  }
}

/**
 * Checks a C program without making anything of it.
 *
 * @param source The program
 * @param flags Further flags
 * @throws With the compiler's own words, when it does not compile
 */
export function checkSource(source: string, flags: readonly string[] = []): void {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-"));
  try {
    const file = join(folder, "check.c");
    writeFileSync(file, source);
    execFileSync(CC, ["-std=gnu11", "-fsyntax-only", "-Werror", ...flags, file], {
      stdio: ["ignore", "ignore", "pipe"],
    });
  } catch (error) {
    throw new Error((error as { stderr?: Uint8Array }).stderr?.toString() ?? String(error));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
