import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "#test";
import { decodeAttestationDocument } from "../../../lib/attestation/document.ts";
import { verifyAttestation, type VerifyAttestationOptions } from "../../../lib/attestation/verify.ts";
import { AttestationError } from "../../../lib/core/errors.ts";
import { SoftwareNsm } from "../../../sim/nsm/nsm.ts";
import { isDivided } from "../../support/share.ts";
import { DOCUMENT_VECTORS, HAS_VECTORS, readVector, SKIPPED } from "./vectors.ts";

const SLOW = process.env["SLOW"] === "1";
const IS_DENO = "Deno" in globalThis;
/**
 * In a normal run every byte of the simulated document is changed, at one or two bits, which are not the same
 * from byte to byte, since 7 and 8 have no divisor in common. Where the runtimes share, each has every second
 * of these bits.
 */
const EVERY_BYTE = isDivided ? { first: IS_DENO ? 7 : 0, step: 14 } : { first: IS_DENO ? 2 : 0, step: 7 };
/** A prime, so that all positions in a byte have their turn. */
const SAMPLE = { first: IS_DENO ? 1 : 0, step: 211 };
const ALL = { first: 0, step: 1 };
/** Verifications at once: each waits for the runtime's threads. */
const AT_ONCE = 8;
const LIMIT_MS = 30 * 60_000;

describe("verifyAttestation() of documents with one bit changed", () => {
  const which = SLOW ? "every position" : "every byte; SLOW=1 tries every position";
  for (const documentForm of ["indefinite", "definite"] as const) {
    test(`refuses a simulated one, in ${documentForm} form (${which})`, async () => {
      using nsm = await SoftwareNsm.create({ documentForm });
      const document = await nsm.attest({ nonce: new Uint8Array(32).fill(1) });
      await assertNoneAccepted(document, { root: nsm.root, at: Date.now() }, SLOW ? ALL : EVERY_BYTE);
    }, LIMIT_MS);
  }

  for (const name of DOCUMENT_VECTORS) {
    const some = SLOW ? "every position" : "a sample; SLOW=1 tries every position";
    test.skipIf(!HAS_VECTORS)(`refuses ${name} (${some})${SKIPPED}`, async () => {
      const document = readVector(name);
      const at = decodeAttestationDocument(document).timestamp;
      await assertNoneAccepted(document, { at, allowDebug: true }, SLOW ? ALL : SAMPLE);
    }, LIMIT_MS);
  }
});

/** Asserts that no flip passes, and that the unchanged document does. */
async function assertNoneAccepted(
  document: Uint8Array<ArrayBuffer>,
  options: VerifyAttestationOptions,
  { first, step }: typeof ALL,
): Promise<void> {
  await verifyAttestation(document, options);
  let next = first;
  const work = async () => {
    while (next < document.length * 8) {
      const position = next;
      next += step;
      const index = position >> 3;
      const flipped = document.with(index, (document[index] ?? 0) ^ (1 << (position & 7)));
      const place = `bit ${position & 7} of byte ${index}`;
      await assert.rejects(verifyAttestation(flipped, options), AttestationError, place);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}
