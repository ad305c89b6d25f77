import { AttestationError } from "../../lib/core/errors.ts";
import { broken, ok, type Verdict, warning } from "./finding.ts";
import type { Link } from "./link.ts";
import type { Examination, TimedDocument } from "./examination.ts";

/**
 * Largest difference between a fresh document's time and this clock, in milliseconds. KMS allows the same.
 */
export const MAX_SKEW_MS = 300_000;

/** Nitro Secure Module: makes a document, which is verified as a caller would verify it. */
export const nsmLink: Link = {
  name: "nsm",
  needs: ["permissions"],
  silence: {
    what: "the NSM does not answer",
    hint: "Restart the enclave; its console and the parent's nitro_enclaves log may say why",
  },
  async examine(examination): Promise<Verdict> {
    const timed = await examination.document();
    examination.client().catch(() => {}); // its key pair takes a while: begun early, and used by others
    const refusal = await refusalOf(timed, examination);
    if (refusal !== undefined) return refusal;
    const { document } = timed;
    const skew = skewOf(timed);
    if (Math.abs(skew) > MAX_SKEW_MS && (await examination.finding("clock")).state !== "broken") {
      return broken(
        `the NSM's documents are ${seconds(skew)} off, and this clock is right`,
        "Restart the enclave: KMS takes no document that is older than five minutes",
        "ERR_ATTESTATION_STALE",
      );
    }
    const isDebug = [0, 1, 2].every((index) => document.pcrs.get(index)?.every((byte) => byte === 0));
    if (isDebug) {
      return warning(
        "the enclave runs in debug mode: PCR0 to PCR2 are zero",
        "Key policies with PCRs will refuse it; start it without --debug-mode",
      );
    }
    return ok(`${document.moduleId.slice(0, 60).replaceAll(/[^\x20-\x7e]/g, "?")} attests`);
  },
};

/** Computes how far the document's time is ahead of this machine's clock, in milliseconds. */
export function skewOf({ document, receivedAt }: TimedDocument): number {
  return document.timestamp - receivedAt;
}

/** Formats a duration in seconds, such as `3600 s`. */
export function seconds(milliseconds: number): string {
  return `${Math.round(Math.abs(milliseconds) / 1000)} s`;
}

/** Verifies the document at its own time: the clock is another link. */
async function refusalOf(
  { document, bytes }: TimedDocument,
  examination: Examination,
): Promise<Verdict | undefined> {
  const { verifyAttestation } = await import("../../lib/attestation/verify.ts");
  const { root } = examination.options;
  try {
    await verifyAttestation(bytes, { root, at: document.timestamp, allowDebug: true });
    return undefined;
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    return broken(
      error.message,
      error.code === "ERR_ATTESTATION_ROOT"
        ? "Is it a simulator's? Name its root certificate with --root"
        : error.hint,
      error.code,
    );
  }
}
