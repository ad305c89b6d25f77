import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";

const NAME = /AWS-LC (?:FIPS )?\d+\.\d+\.\d+/;
const LIBCRYPTO = /^libcrypto\b.*\.so\b/;

/**
 * Names the cryptographic library that a C SDK is over: its RSA decides how fast the SDK is.
 *
 * @param library The C SDK's library, or its double
 * @returns `AWS-LC` and its version, from the library itself or from a libcrypto beside it; `OpenSSL` for the double
 */
export async function nameOfSdkCrypto(library: string): Promise<string> {
  if (library.includes("double")) return "OpenSSL";
  const folder = dirname(library);
  const beside = (await readdir(folder)).filter((name) => LIBCRYPTO.test(name)).map((name) =>
    join(folder, name)
  );
  for (const file of [library, ...beside]) {
    const name = NAME.exec(await readFile(file, "latin1"))?.[0];
    if (name !== undefined) return name;
  }
  return "an AWS-LC that does not say its version";
}
