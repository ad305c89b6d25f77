import { readdirSync, readFileSync, statSync } from "node:fs";
import type { Pointer } from "../../ffi/symbols.ts";
import { CertificateError } from "../core/errors.ts";
import { isGranted } from "./deno_rights.ts";
import { Descriptor } from "./descriptor.ts";
import { cString, libc, readCString } from "./libc.ts";

const VARIABLE = "SSL_CERT_FILE";

/**
 * Certificate authorities that C libraries trust while it lives: a file in memory, named by `SSL_CERT_FILE`. The
 * variable belongs to the whole process, so only one may live at a time.
 *
 * Corresponds to `setenv`; AWS-LC and s2n read the variable.
 */
export class TrustStore implements Disposable {
  readonly #file: Descriptor;
  readonly #before: string | undefined;

  /**
   * Puts certificates into force.
   *
   * @param pem Certificates, PEM, at least one
   * @throws {SystemCallError} When the kernel has no memory for the file
   */
  constructor(pem: string) {
    this.#file = Descriptor.memoryFile("certificates", new TextEncoder().encode(pem));
    this.#before = readVariable(VARIABLE);
    libc().call.setenv(cString(VARIABLE), cString(`/proc/self/fd/${this.#file.fd}`), 1);
  }

  /** Restores the variable, and closes the file. */
  [Symbol.dispose](): void {
    using _file = this.#file;
    if (this.#before === undefined) libc().call.unsetenv(cString(VARIABLE));
    else libc().call.setenv(cString(VARIABLE), cString(this.#before), 1);
  }
}

/** Places in which C libraries look for certificate authorities. */
export interface TrustPlaces {
  /** File that `SSL_CERT_FILE` names, if it is set. */
  readonly namedFile: string | undefined;
  /** Other files. One that exists is enough. */
  readonly files: readonly string[];
  /** Folders with a file for each certificate. One that is not empty is enough. */
  readonly folders: readonly string[];
}

/**
 * Checks that C libraries find certificate authorities: without them they try for half a minute, and do not say why
 * they fail. A place that Deno must not read counts as present.
 *
 * @param places Places to look in. Default: those of AWS-LC and aws-c-io
 * @throws {CertificateError} When there are none, or `SSL_CERT_FILE` names a file without any
 */
export function checkSystemTrust(places: TrustPlaces = systemPlaces()): void {
  const { namedFile, files, folders } = places;
  if (namedFile !== undefined) {
    const problem = problemOf(namedFile);
    if (problem !== undefined) throw noAuthorities(`${VARIABLE} names ${namedFile}, which ${problem}`);
  } else if (!files.some(isThere) && !folders.some(hasEntries)) {
    throw noAuthorities(`no CA bundle at ${files.join(", ")}`);
  }
}

/** Lists the places of aws-c-io and of AWS-LC. */
function systemPlaces(): TrustPlaces {
  const folder = readVariable("SSL_CERT_DIR") || undefined;
  return {
    // Images set a variable to nothing to unset it.
    namedFile: readVariable(VARIABLE) || undefined,
    files: [
      "/etc/ssl/certs/ca-certificates.crt",
      "/etc/pki/tls/certs/ca-bundle.crt",
      "/etc/ssl/ca-bundle.pem",
      "/etc/pki/tls/cacert.pem",
      "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
      "/etc/ssl/cert.pem",
    ],
    folders: ["/etc/ssl/certs", "/etc/pki/tls/certs", ...(folder === undefined ? [] : [folder])],
  };
}

function problemOf(path: string): string | undefined {
  if (!isGranted({ name: "read", path })) return undefined;
  try {
    const text = readFileSync(path, "latin1");
    return /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/.test(text) ? undefined : "holds no certificate";
  } catch (error) {
    const code = error instanceof Error && "code" in error ? ` (${error.code})` : "";
    return `cannot be read${code}`;
  }
}

function isThere(path: string): boolean {
  if (!isGranted({ name: "read", path })) return true;
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

function hasEntries(path: string): boolean {
  if (!isGranted({ name: "read", path })) return true;
  try {
    return readdirSync(path).length > 0;
  } catch {
    return false;
  }
}

function noAuthorities(reason: string): CertificateError {
  return new CertificateError(`Cannot trust KMS: the C client has no certificate authorities: ${reason}`, {
    hint: "Put a CA bundle into the image, name it in SSL_CERT_FILE, or give trustedCertificates",
  });
}

function readVariable(name: string): string | undefined {
  const value: Pointer<"c_char"> | null = libc().call.getenv(cString(name));
  return value === null ? undefined : readCString(value);
}
