import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** The public types start here. */
const ENTRIES = ["mod.d.ts", "lib/attestation/mod.d.ts", "sim/mod.d.ts", "lib/policy/mod.d.ts"];

/** For projects whose `lib` is older than `using`. */
const DISPOSABLE = `/// <reference lib="esnext.disposable" />\n`;

const SPECIFIER = /((?:\bfrom|^import)\s+|\bimport\()"([^"]+)"/gm;

/**
 * Writes the declarations of the public items, and of what they are made of, with specifiers that resolve
 * outside this project.
 *
 * @param outdir Where to
 * @returns How many files
 * @throws {Error} When a public type needs another package's types
 */
export function emitDeclarations(outdir: string): number {
  const work = mkdtempSync(join(tmpdir(), "enclave-kms-types-"));
  try {
    execFileSync("tsc", ["-p", "tools/tsconfig.types.json", "--outDir", work], { stdio: "inherit" });
    const written = new Set<string>();
    for (const entry of ENTRIES) copyWithImports(work, outdir, entry, written);
    return written.size;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function copyWithImports(from: string, to: string, file: string, written: Set<string>): void {
  if (written.has(file)) return;
  written.add(file);
  const source = readFileSync(join(from, file), "utf8");
  const code = outsideComments(
    source,
    (text) =>
      text.replace(SPECIFIER, (_, keyword: string, specifier: string) => {
        if (!/^\..*\.ts$/.test(specifier)) {
          throw new Error(`${file}: public types must not need ${specifier}`);
        }
        const target = join(dirname(file), specifier).replace(/\.ts$/, ".d.ts");
        copyWithImports(from, to, target, written);
        return `${keyword}"${specifier.replace(/\.ts$/, ".js")}"`;
      }),
  );
  mkdirSync(dirname(join(to, file)), { recursive: true });
  writeFileSync(join(to, file), ENTRIES.includes(file) ? DISPOSABLE + code : code);
}

/** Examples in comments import the package by its name, and stay as they are. */
function outsideComments(source: string, replace: (code: string) => string): string {
  return source.split(/(\/\*[\s\S]*?\*\/)/).map((part) => part.startsWith("/*") ? part : replace(part)).join(
    "",
  );
}
