/**
 * A program with as few rights as possible: decrypts what its first argument says, and prints the length.
 *
 * @module
 */
import process from "node:process";
import { kmsDecrypt, type KmsDecryptOptions } from "../../mod.ts";

const options = JSON.parse(process.argv[2] ?? "{}") as KmsDecryptOptions;
try {
  using plaintext = await kmsDecrypt(options);
  console.log(`decrypted ${plaintext.length}`);
} catch (error) {
  console.log(`${error} (${(error as { hint?: string }).hint})`);
}
