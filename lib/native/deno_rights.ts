/** Deno's object for permissions, as far as it is needed here; Node has none. */
interface DenoPermissions {
  querySync(right: Readonly<Record<string, string>>): { readonly state: string };
}

/**
 * Tells whether something may be done without Deno prompting on the terminal.
 *
 * @param rights Deno's descriptors of the permissions
 * @returns Whether this is Node, or Deno has granted all of them
 */
export function isGranted(...rights: readonly Readonly<Record<string, string>>[]): boolean {
  // Of two type checkers that see this file, only one knows Deno.
  const { Deno: deno } = globalThis as unknown as {
    readonly Deno?: { readonly permissions: DenoPermissions };
  };
  return deno === undefined || rights.every((right) => deno.permissions.querySync(right).state === "granted");
}
