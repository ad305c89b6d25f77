import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { readEntries } from "./entries.ts";

/** Entries that have public types. The command line has none. */
const ENTRIES = readEntries().filter(({ name }) => name !== "cli");

/** Modules of Node.js whose types a public type of the entries below may need: @types/node has them. */
const OF_NODE: readonly string[] = [
  "node:crypto",
  "node:http",
  "node:https",
  "node:net",
  "node:stream",
  "node:tls",
];

/** Modules whose types a public type of the base may need. */
const OF_BASE: readonly string[] = [...OF_NODE, "hono", "hono/types", "hpke", "pino", "valibot"];

/** The same by entry. Users of these entries have them installed. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  aws: OF_NODE,
  "channel/node": OF_NODE,
  enclave: OF_BASE,
  operator: OF_NODE,
  parent: OF_NODE,
  server: [...OF_BASE, "hono/hono-base", "hono/utils/types"],
  vsock: OF_NODE,
};

/** For projects whose `lib` is older than `using`. */
const DISPOSABLE = `/// <reference lib="esnext.disposable" />\n`;

const SPECIFIER = /((?:\bfrom|^import)\s+|\bimport\()"([^"]+)"/gm;

/**
 * Writes the declarations of the public items and of the types that they use, with specifiers that resolve
 * outside this project.
 *
 * @param outdir Folder for the declarations
 * @returns Number of files
 * @throws {Error} When a public type needs another package's types
 */
export function emitDeclarations(outdir: string): number {
  const work = mkdtempSync(join(tmpdir(), "enclave-kms-types-"));
  try {
    execFileSync("tsc", ["-p", "tools/tsconfig.types.json", "--outDir", work], { stdio: "inherit" });
    const written = new Set<string>();
    for (const { name, source } of ENTRIES) {
      const walk: Walk = { from: work, to: outdir, allowed: ALLOWED[name] ?? [], seen: new Set() };
      copyWithImports(walk, declarationOf(source));
      for (const file of walk.seen) written.add(file);
    }
    for (const { source } of ENTRIES) prepend(join(outdir, declarationOf(source)), DISPOSABLE);
    return written.size;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Declarations behind one entry. */
interface Walk {
  readonly from: string;
  readonly to: string;
  /** Foreign modules that the types of this entry may need. */
  readonly allowed: readonly string[];
  readonly seen: Set<string>;
}

function copyWithImports(walk: Walk, file: string): void {
  if (walk.seen.has(file)) return;
  walk.seen.add(file);
  const source = readFileSync(join(walk.from, file), "utf8");
  const code = outsideComments(
    source,
    (text) =>
      text.replace(SPECIFIER, (whole, keyword: string, specifier: string) => {
        if (walk.allowed.includes(specifier)) return whole;
        if (!/^\..*\.ts$/.test(specifier)) {
          throw new Error(`${file}: public types must not need ${specifier}`);
        }
        copyWithImports(walk, declarationOf(join(dirname(file), specifier)));
        return `${keyword}"${specifier.replace(/\.ts$/, ".js")}"`;
      }),
  );
  mkdirSync(dirname(join(walk.to, file)), { recursive: true });
  writeFileSync(join(walk.to, file), code);
}

function declarationOf(source: string): string {
  return source.replace(/\.ts$/, ".d.ts");
}

function prepend(file: string, text: string): void {
  writeFileSync(file, text + readFileSync(file, "utf8"));
}

/** Examples in comments import the package by its name, and stay as they are. */
function outsideComments(source: string, replace: (code: string) => string): string {
  return source.split(/(\/\*[\s\S]*?\*\/)/).map((part) => part.startsWith("/*") ? part : replace(part)).join(
    "",
  );
}
