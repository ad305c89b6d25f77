import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";

/** Folders that may hold `aws/…`; the one that was named comes first. */
function includeFolders(): readonly string[] {
  const named = process.env["ENCLAVE_KMS_SDK_HEADERS"] || undefined;
  const library = process.env["ENCLAVE_KMS_SDK_LIBRARY"] || undefined;
  return [
    ...(named === undefined ? [] : [named]),
    // lib/libaws-nitro-enclaves-sdk-c.so, installed with its headers below the same prefix.
    ...(library === undefined ? [] : [join(dirname(library), "../include")]),
    "/usr/local/include",
    "/usr/include",
  ];
}

/**
 * Finds installed headers of the C SDK or of the libraries it is built on.
 *
 * @param header Such as `aws/common/byte_buf.h`
 * @returns The folder for `-I`; undefined when no folder has it
 */
export function findHeader(header: string): string | undefined {
  return includeFolders().find((folder) => existsSync(join(folder, header)));
}

/**
 * @param header The one that {@link findHeader} did not find
 * @param isWithoutCompiler Whether there is no C compiler either
 * @returns The reason of a skip, for the name of the test
 */
export function whyWithoutHeader(header: string, isWithoutCompiler: boolean): string {
  if (isWithoutCompiler) return " (skipped: no C compiler)";
  return ` (skipped: no ${header} in ENCLAVE_KMS_SDK_HEADERS, beside the library, or in /usr/include)`;
}
