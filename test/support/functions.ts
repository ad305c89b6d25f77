import { join } from "node:path";
import { type Node, type SourceFile, SyntaxKind } from "typescript/unstable/ast";
import { API } from "typescript/unstable/sync";
import { ROOT } from "./source_files.ts";

/** Function, method or constructor of a source file. */
export interface SourceFunction {
  /** Path from the repository's root. */
  readonly file: string;
  /** Name; `(anonymous)` when it has none. */
  readonly name: string;
  /** Number of lines from its first to its last, both included. */
  readonly lines: number;
}

const FUNCTIONS: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.FunctionDeclaration,
  SyntaxKind.FunctionExpression,
  SyntaxKind.ArrowFunction,
  SyntaxKind.MethodDeclaration,
  SyntaxKind.Constructor,
  SyntaxKind.GetAccessor,
  SyntaxKind.SetAccessor,
]);

/**
 * Measures every function in some files of the project. Starts the compiler as a child process; Node only.
 *
 * @param files Paths from the repository's root
 * @returns The functions
 * @throws {Error} When tsconfig.json leaves a file out
 */
export function measureFunctions(files: readonly string[]): SourceFunction[] {
  const compiler = new API({ cwd: ROOT });
  try {
    const snapshot = compiler.updateSnapshot({ openProjects: [join(ROOT, "tsconfig.json")] });
    const [project] = snapshot.getProjects();
    return files.flatMap((file) => {
      const source = project?.program.getSourceFile(join(ROOT, file));
      if (source === undefined) throw new Error(`${file} is not in tsconfig.json`);
      return functionsIn(source, file);
    });
  } finally {
    compiler.close();
  }
}

function functionsIn(source: SourceFile, file: string): SourceFunction[] {
  const found: SourceFunction[] = [];
  const visit = (node: Node): undefined => {
    if (FUNCTIONS.has(node.kind)) {
      const lines = source.text.slice(node.getStart(source), node.end).split("\n").length;
      found.push({ file, name: nameOf(node), lines });
    }
    node.forEachChild(visit);
  };
  visit(source);
  return found;
}

function nameOf(node: Node): string {
  if (node.kind === SyntaxKind.Constructor) return "constructor";
  const { name } = node as { name?: { text?: string } };
  return name?.text ?? "(anonymous)";
}
