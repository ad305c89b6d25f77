import assert from "node:assert/strict";
import { AttestationError } from "../../../lib/errors.ts";

/**
 * Checks that a verification fails for one reason.
 *
 * @param code The check that has to fail: `CHAIN`
 * @param work The verification
 */
export async function assertFails(code: string, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof AttestationError, String(error));
    assert.equal(error.code, `ERR_ATTESTATION_${code}`, error.message);
    assert.ok(error.hint.length > 10);
    return true;
  });
}
