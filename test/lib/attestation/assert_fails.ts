import assert from "node:assert/strict";
import { AttestationError } from "../../../lib/core/errors.ts";

/** Message and hint for each check that fails. */
const WORDS: Readonly<Record<string, readonly [message: RegExp, hint: RegExp]>> = {
  BASIC_CONSTRAINTS: [
    /^(?:an issuer is not a certificate authority|the signing certificate is an authority's)$/,
    /each issuer an authority, and the document's signer none/,
  ],
  CERTIFICATE_SIGNATURE: [/^a certificate's signature is wrong$/, /another authority of the same name/],
  CHAIN: [/^a certificate names another issuer(?:'s key)? than the one above it$/, /the root first/],
  CRITICAL_EXTENSION: [/^a certificate has an unknown critical extension$/, /newer version of this library/],
  DEBUG: [/^the enclave runs in debug mode$/, /--debug-mode/],
  EXPIRED: [/^a certificate has expired$/, /lives three hours/],
  FUTURE: [/^it is from the future$/, /clock behind/],
  KEY_USAGE: [
    /^(?:an issuer may not sign certificates|the signing certificate may not sign documents)$/,
    /what its certificate does not allow/,
  ],
  NONCE: [/^it holds (?:no|another) nonce$/, /answer to another question/],
  NOT_YET_VALID: [/^a certificate is not valid yet$/, /clock behind/],
  PATH_LENGTH: [/^the chain is longer than a certificate allows$/, /put between an authority and those/],
  PCR: [/^PCR\d+ is not (?:in it|an expected one)$/, /another image/],
  PUBLIC_KEY: [
    /^(?:it holds (?:no|another) public key|its public key is not one of a session)$/,
    /document of another key/,
  ],
  ROOT: [/^the chain does not start at the trusted root$/, /A simulator's document needs its root/],
  SIGNATURE: [/^its signature is wrong$/, /changed on its way/],
  STALE: [/^it is too old$/, /a replay, or kept for longer than `maxAgeMs` allows/],
  USER_DATA: [/^it holds (?:no|another) user data$/, /something else signed, or nothing/],
};

/**
 * Checks that a verification fails for one reason.
 *
 * @param code The check that must fail: `CHAIN`
 * @param work The verification
 */
export async function assertFails(code: string, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof AttestationError, String(error));
    assert.equal(error.code, `ERR_ATTESTATION_${code}`, error.message);
    assert.ok(error.hint.length > 10);
    const [message, hint] = WORDS[code] ?? [];
    if (message !== undefined && hint !== undefined) {
      const verified = /^Cannot verify attestation document: (.*)$/.exec(error.message)?.[1] ?? error.message;
      assert.match(verified, message);
      assert.match(error.hint, hint);
    }
    return true;
  });
}
