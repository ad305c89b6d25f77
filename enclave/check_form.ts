import { BadRequestError } from "./service_errors.ts";

/** Messages of the library's checks: the field, and what was expected there; never the value. */
const MESSAGE = /^(?:(\w+) must (?:be |have )?|Cannot decode (\w+): not )(.+)$/;

/**
 * Runs a check of the library on what a caller sent, and reports what it refuses as a request that is wrong in form.
 *
 * @param check The check
 * @returns Its result
 * @throws {BadRequestError} With the field that the check names, when it throws a TypeError or a RangeError
 */
export function checkForm<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof TypeError) && !(error instanceof RangeError)) throw error;
    const [, checked, decoded, expected = error.message] = MESSAGE.exec(error.message) ?? [];
    throw new BadRequestError([{ path: checked ?? decoded ?? "", expected }]);
  }
}
