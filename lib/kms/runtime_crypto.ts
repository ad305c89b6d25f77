import process from "node:process";
import type { EngineName } from "./engine.ts";
import {
  chooseLibcrypto,
  findKeyPairLibcrypto,
  findLibcrypto,
  type LibcryptoSearch,
} from "../native/libcrypto.ts";

/** Library that does cryptography. */
export interface RuntimeCrypto {
  /**
   * `openssl`: OpenSSL 3, in memory that is wiped. `node:crypto`: the runtime's own, where there is no OpenSSL 3, or it
   * may not be used. `sdk`: what the C SDK was linked with, AWS-LC.
   */
  readonly provider: "openssl" | "node:crypto" | "sdk";
  /** Version of OpenSSL, such as `3.5.8`; of Node.js or Deno where the provider is `node:crypto`; empty for `sdk`. */
  readonly version: string;
  /**
   * `node` for what Node.js brings along or is linked with, and `deno` for Deno's own; otherwise the path of
   * `libcrypto.so.3`, or `sdk`.
   */
  readonly origin: string;
  /** Reason why OpenSSL is not used; undefined when it is. */
  readonly reason?: string | undefined;
  /** Advice on having OpenSSL used; undefined when it is. */
  readonly hint?: string | undefined;
}

/**
 * Tells which library does the cryptography.
 *
 * @param libcryptoPath Absolute path of libcrypto, or `off`. Default: what the process uses
 */
export function runtimeCrypto(libcryptoPath?: string): RuntimeCrypto {
  return describeSearch(findLibcrypto({ path: libcryptoPath }));
}

function describeSearch({ libcrypto, reason, hint }: LibcryptoSearch): RuntimeCrypto {
  if (libcrypto !== undefined) {
    const { version, origin } = libcrypto;
    return { provider: "openssl", version, origin };
  }
  const { deno, node } = process.versions as Readonly<Record<string, string | undefined>>;
  const [origin, version = ""] = deno === undefined ? ["node", node] : ["deno", deno];
  return { provider: "node:crypto", version, origin, reason, hint };
}

/**
 * Tells which library has a client's key pair.
 *
 * @param engine Engine of the client
 * @param libcryptoPath Absolute path of libcrypto, or `off`, if the client was given one. Default: what the process
 *   uses
 */
export function keyPairCrypto(engine: EngineName, libcryptoPath: string | undefined): RuntimeCrypto {
  if (engine !== "direct") return { provider: "sdk", version: "", origin: "sdk" };
  return describeSearch(findKeyPairLibcrypto({ path: libcryptoPath }));
}

/**
 * Sets the library that does the cryptography of this process, before anything asks for it.
 *
 * @param libcryptoPath Absolute path of libcrypto, or `off`; undefined for the variable, then the usual places
 */
export function chooseRuntimeCrypto(libcryptoPath: string | undefined): void {
  chooseLibcrypto(libcryptoPath);
}

/** Describes the library of this process in a few words, such as `OpenSSL 3.5.8 of Node.js`, and why it is no OpenSSL. */
export function describeCrypto(): string {
  const { provider, version, origin, reason } = runtimeCrypto();
  const owner = { node: "Node.js", deno: "Deno" }[origin];
  if (provider === "node:crypto") return `node:crypto of ${owner} ${version}: ${reason}`;
  return `OpenSSL ${version}${owner === undefined ? `, ${origin}` : ` of ${owner}`}`;
}
