import { loadSdk } from "../native/sdk_library.ts";

/**
 * Looks for aws-nitro-enclaves-sdk-c, as the engines `sdk` and `auto` do, without initialising it. It stays loaded.
 *
 * @param path Absolute path of the library, or nothing for the usual places
 * @returns Path of the library
 * @throws {LibraryLoadError} Names every path tried, and why it would not do
 */
export function findSdkLibrary(path?: string): string {
  return loadSdk(path).path ?? "";
}
