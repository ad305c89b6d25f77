/**
 * Another implementation of COSE (RFC 9052): @ldclabs/cose-ts. Its modules import one another as bundlers alone
 * resolve them, so that esbuild has to put them together first.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { buildSync } from "esbuild";
import type { ECDSAKey } from "@ldclabs/cose-ts/ecdsa";
import type { Ed25519Key } from "@ldclabs/cose-ts/ed25519";
import type { Header } from "@ldclabs/cose-ts/header";
import type { Sign1Message } from "@ldclabs/cose-ts/sign1";
import { ROOT } from "./source_files.ts";

/** Classes of the library that tests use. */
export interface CoseOracle {
  readonly Sign1Message: typeof Sign1Message;
  readonly ECDSAKey: typeof ECDSAKey;
  readonly Ed25519Key: typeof Ed25519Key;
  readonly Header: typeof Header;
}

const SOURCE = ["sign1", "ecdsa", "ed25519", "header"]
  .map((name) => `export * from "@ldclabs/cose-ts/${name}";`).join("\n");

/** @returns The library */
export async function loadCoseOracle(): Promise<CoseOracle> {
  const { outputFiles: [output] } = buildSync({
    stdin: { contents: SOURCE, resolveDir: ROOT },
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    write: false,
  });
  const script = Buffer.from(output!.contents).toString("base64");
  return await import(`data:text/javascript;base64,${script}`) as CoseOracle;
}
