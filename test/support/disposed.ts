import { DisposedError } from "../../mod.ts";

/**
 * For `assert.throws` and `assert.rejects`.
 *
 * @param what The class that was used too late, as its error names it
 */
export function isDisposed(what: string): (error: unknown) => boolean {
  return (error) => error instanceof DisposedError && error.message === `Cannot use ${what}: it was disposed`;
}
