import { readFileSync } from "node:fs";
import process from "node:process";

/** View of the process and the kernel for an examination. */
export interface Machine {
  /** Runtime, such as `{ name: "node", version: "24.21.0" }`. */
  readonly runtime: { readonly name: "node" | "deno"; readonly version: string };
  /** Platform, such as `linux`. */
  readonly platform: string;
  /**
   * Tells whether Deno, or Node under --permission, allows something.
   *
   * @param name `ffi`, `net`, `env` on Deno; `addon`, `net` on Node
   * @param detail `host:port`, or the name of a variable
   * @returns undefined when the runtime cannot say
   */
  allows(name: "ffi" | "net" | "env" | "addon", detail?: string): boolean | undefined;
  /** Reads the command line of this process; undefined when it cannot be read. */
  commandLine(): string | undefined;
  /**
   * Reads a small file of the kernel, without the end of line.
   *
   * @param path Such as `/proc/sys/kernel/random/entropy_avail`
   * @returns undefined when it is not there, or may not be read
   */
  readKernel(path: string): string | undefined;
}

/** Part of Deno's namespace that is used here. */
interface DenoNamespace {
  readonly version: { readonly deno: string };
  readonly permissions: { querySync(descriptor: Record<string, string>): { readonly state: string } };
}

interface NodePermission {
  has(scope: string): boolean;
}

const deno = (globalThis as unknown as { readonly Deno?: DenoNamespace }).Deno;

/** Machine that this process runs on. */
export const thisMachine: Machine = {
  runtime: deno === undefined
    ? { name: "node", version: process.versions.node }
    : { name: "deno", version: deno.version.deno },
  platform: process.platform,
  allows: deno === undefined ? allowsOnNode : allowsOnDeno,
  commandLine: () => readKernel("/proc/self/cmdline"),
  readKernel,
};

function allowsOnDeno(name: string, detail?: string): boolean | undefined {
  if (name === "addon") return undefined;
  const field = ({ net: "host", env: "variable" } as Record<string, string>)[name];
  const descriptor = field === undefined || detail === undefined ? { name } : { name, [field]: detail };
  try {
    return deno?.permissions.querySync(descriptor).state === "granted";
  } catch {
    return undefined;
  }
}

/**
 * Asks Node's permission model. Without --permission everything is allowed; Node 24 has no permission for
 * connections.
 */
function allowsOnNode(name: string): boolean | undefined {
  const { permission } = process as { readonly permission?: NodePermission };
  if (permission === undefined) return true;
  if (name === "net") {
    return process.allowedNodeEnvironmentFlags.has("--allow-net") ? permission.has("net") : true;
  }
  return name === "addon" ? permission.has("addon") : undefined;
}

function readKernel(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
