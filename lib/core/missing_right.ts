/** Flags of Node.js, by the permission that its error names. */
const NODE_FLAGS: Readonly<Record<string, string>> = {
  FileSystemRead: "--allow-fs-read",
  FileSystemWrite: "--allow-fs-write",
  Net: "--allow-net",
  WorkerThreads: "--allow-worker",
  ChildProcess: "--allow-child-process",
  Addon: "--allow-addons",
  FFI: "--allow-ffi",
};

/**
 * Finds the permission of the runtime that an operation failed for, if it failed for one.
 *
 * @param error The thrown error
 * @param resource Resource that the flag names, such as `127.0.0.1:8000`
 * @returns The flag to run with; undefined when the operation failed for another reason
 */
export function missingRight(error: unknown, resource?: string): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const value = resource === undefined ? "" : `=${resource}`;
  if (error.name === "NotCapable") {
    const [flag = "the permission it names"] = /--[a-z][a-z-]+/.exec(error.message) ?? [];
    return `Deno lacks a permission: run it with ${flag}${flag.startsWith("--") ? value : ""}`;
  }
  const { code, permission } = error as { readonly code?: unknown; readonly permission?: unknown };
  if (code !== "ERR_ACCESS_DENIED") return undefined;
  const flag = NODE_FLAGS[String(permission)];
  return `Node.js runs with --permission: it needs ${flag ?? "one more --allow flag"}`;
}
