/**
 * Loads a policy of each kind, where there may be no WebAssembly, and prints what came of it.
 *
 * @module
 */
import { cedarPolicy, wasmPolicy } from "./policies.ts";

const EMPTY_MODULE = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);

for (
  const load of [
    () => cedarPolicy("permit(principal, action, resource);"),
    () => wasmPolicy(EMPTY_MODULE),
  ]
) {
  try {
    console.log(load().name);
  } catch (error) {
    const { name, code, message, hint } = error as Error & { code?: string; hint?: string };
    console.log(JSON.stringify({ name, code, message, hint }));
  }
}
