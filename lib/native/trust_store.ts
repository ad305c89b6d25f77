import type { Pointer } from "../../ffi/symbols.ts";
import { Descriptor } from "./descriptor.ts";
import { cString, libc, readCString } from "./libc.ts";

const VARIABLE = "SSL_CERT_FILE";

/**
 * The certificate authorities that C libraries trust, for as long as it lives: a file in memory, named by
 * `SSL_CERT_FILE`. The variable belongs to the whole process, so only one may live at a time.
 *
 * Corresponds to `setenv`, and to what AWS-LC and s2n read.
 */
export class TrustStore implements Disposable {
  readonly #file: Descriptor;
  readonly #before: string | undefined;

  /**
   * @param pem Certificates, PEM, at least one
   * @throws {SystemCallError} When the kernel has no memory for the file
   */
  constructor(pem: string) {
    this.#file = Descriptor.memoryFile("certificates", new TextEncoder().encode(pem));
    this.#before = readVariable();
    libc().call.setenv(cString(VARIABLE), cString(`/proc/self/fd/${this.#file.fd}`), 1);
  }

  /** Puts the variable back, and closes the file. */
  [Symbol.dispose](): void {
    using _file = this.#file;
    if (this.#before === undefined) libc().call.unsetenv(cString(VARIABLE));
    else libc().call.setenv(cString(VARIABLE), cString(this.#before), 1);
  }
}

function readVariable(): string | undefined {
  const value: Pointer<"c_char"> | null = libc().call.getenv(cString(VARIABLE));
  return value === null ? undefined : readCString(value);
}
