import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { decodeBase64, encodeBase64 } from "../../lib/core/encoding.ts";

/** An input, and what comes of it. */
export interface KnownInput {
  readonly verdict: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** `corpus` leads to all the code that is known to be reached; `regressions` once broke a rule. */
export type Collection = "corpus" | "regressions";

/**
 * @param collection Which
 * @param target The name of the target
 * @returns Its inputs, in order; none if there is no file
 */
export function readInputs(collection: Collection, target: string): readonly KnownInput[] {
  const path = pathOf(collection, target);
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8").split("\n").filter((line) => line !== "").map((line) => {
    const { verdict, base64 } = JSON.parse(line) as { verdict: string; base64: string };
    return { verdict, bytes: decodeBase64(base64) };
  });
}

/**
 * Replaces a file, a line of JSON for each input.
 *
 * @param collection Which
 * @param target The name of the target
 * @param inputs In order
 */
export function writeInputs(collection: Collection, target: string, inputs: readonly KnownInput[]): void {
  const lines = inputs.map(({ verdict, bytes }) =>
    `${JSON.stringify({ verdict, base64: encodeBase64(bytes) })}\n`
  );
  mkdirSync(fileURLToPath(new URL(`./${collection}/`, import.meta.url)), { recursive: true });
  writeFileSync(pathOf(collection, target), lines.join(""));
}

function pathOf(collection: Collection, target: string): string {
  return fileURLToPath(new URL(`./${collection}/${target}.jsonl`, import.meta.url));
}
