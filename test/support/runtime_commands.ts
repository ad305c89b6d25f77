/** Command lines that run a TypeScript file, by runtime. */
export const RUNTIME_COMMANDS: Readonly<Record<string, readonly string[]>> = {
  Node: ["node"],
  Deno: ["deno", "run", "--quiet", "--no-prompt", "--allow-all"],
};
