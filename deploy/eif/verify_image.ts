import { decodeAttestationDocument } from "../../lib/attestation/document.ts";
import { toHex } from "../../lib/core/bytes.ts";
import { checkFields } from "../../lib/core/checks.ts";
import { explainRefusal } from "../keys/explain_refusal.ts";
import { readSummaryPcrs } from "./build_summary.ts";
import type { ImageSource } from "./image_source.ts";
import { describeImage, type DescribeImageOptions } from "./inspect_image.ts";

/** Expectation of an image: exactly one of summary, document and policy. */
export interface ImageExpectation extends Pick<DescribeImageOptions, "hashes"> {
  /** JSON of `build-summary.json` or `pcr-values.json`. */
  readonly summary?: string | undefined;
  /** Attestation document, COSE_Sign1. It is not verified. */
  readonly document?: Uint8Array | undefined;
  /** JSON of a key policy that must let the image decrypt. */
  readonly policy?: string | undefined;
  /** ARN of the role of the instance, for the policy. */
  readonly role?: string | undefined;
}

/** Verdict on an image. */
export interface ImageVerdict {
  /** Whether the image is the one that was expected. */
  readonly isSame: boolean;
  /** PCRs that were measured, by index: 96 lowercase hex digits each. */
  readonly pcrs: Readonly<Record<number, string>>;
  /** Differences in words; none when the image is the one that was expected. */
  readonly differences: readonly string[];
}

type Pcrs = Readonly<Record<number, string>>;

/** Value of PCR8 of an image that is not signed. */
const ZERO = "0".repeat(96);

/**
 * Verifies an image: measures it, and compares its PCRs with what a summary, a document or a key policy says.
 *
 * Not guaranteed: that what it is compared with is genuine. A document is decoded and not verified.
 *
 * @param source The image: of `bytesSource()`, `blobSource()` or `fileSource()`
 * @param expectation Summary, document or policy
 * @returns The verdict
 * @throws {ImageError} `ERR_IMAGE` when image or summary is malformed
 * @throws {KeyPolicyError} `ERR_KEY_POLICY` when the policy is
 * @throws {AttestationError} When the document is
 * @throws {TypeError} When not exactly one of summary, document and policy is given, or the policy's role is not
 */
export async function verifyImage(source: ImageSource, expectation: ImageExpectation): Promise<ImageVerdict> {
  const { hashes, ...given } = checkFields("image expectation", expectation, FIELDS);
  const compare = comparisonOf(given);
  const { pcrs } = await describeImage(source, { hashes });
  const differences = compare(pcrs);
  return { isSame: differences.length === 0, pcrs, differences };
}

const FIELDS = ["summary", "document", "policy", "role", "hashes"];

function comparisonOf({ summary, document, policy, role }: ImageExpectation): (pcrs: Pcrs) => string[] {
  if ([summary, document, policy].filter((one) => one !== undefined).length !== 1) {
    throw new TypeError("One of summary, document and policy must be set");
  }
  if (summary !== undefined) {
    const expected = readSummaryPcrs(summary);
    return (pcrs) => differencesOf(pcrs, expected, "the summary");
  }
  if (document !== undefined) {
    const expected = pcrsOf(document);
    return (pcrs) => differencesOf({ ...pcrs, 8: pcrs[8] ?? ZERO }, expected, "the document");
  }
  if (role === undefined) throw new TypeError("role must be set for the policy");
  return (pcrs) => judge(`${policy}`, role, pcrs);
}

function pcrsOf(document: Uint8Array): Pcrs {
  const { pcrs } = decodeAttestationDocument(document);
  return Object.fromEntries(
    [0, 1, 2, 8].map((index) => [index, toHex(pcrs.get(index) ?? new Uint8Array(48))]),
  );
}

function judge(policy: string, role: string, pcrs: Pcrs): string[] {
  const verdicts = explainRefusal(policy, { role, pcrs });
  const denials = verdicts.filter(({ effect, applies }) => effect === "Deny" && applies);
  if (denials.length > 0) return denials.map(({ statement }) => `the policy denies it: ${statement}`);
  if (verdicts.some(({ effect, applies }) => effect === "Allow" && applies)) return [];
  const reasons = verdicts.flatMap(({ statement, reasons }) =>
    reasons.map((reason) => `${statement}: ${reason}`)
  );
  return ["the policy does not let the image decrypt", ...reasons];
}

function differencesOf(pcrs: Pcrs, expected: Pcrs, name: string): string[] {
  return Object.entries(expected).flatMap(([index, value]) => {
    const measured = pcrs[Number(index)] ?? "not there: the image is not signed";
    return measured === value ? [] : [`PCR${index} is ${measured}, and ${name} has ${value}`];
  });
}
