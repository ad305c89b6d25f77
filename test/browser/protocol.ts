import type { BootAttestationAnswer } from "../../lib/attestation/mod.ts";

/** One verification that the browser makes, and what must come of it. Bytes are base64. */
export interface BrowserCase {
  /** Name of the document. */
  readonly name: string;
  /** The document. */
  readonly document: string;
  /** The time to verify at, milliseconds since 1970. */
  readonly at: number;
  /** Pinned instead of AWS's. */
  readonly root?: string;
  /** Expected in the document. */
  readonly nonce?: string;
  /** Expected in the document, hex by index. */
  readonly pcrs?: Readonly<Record<number, string>>;
  /** Greatest age, in milliseconds. */
  readonly maxAgeMs?: number;
  /** `verified`, or the error's code. */
  readonly outcome: string;
}

/** One signature of an enclave that the browser verifies, and what must come of it. Bytes are base64. */
export interface SignatureCase {
  /** Name of the signature. */
  readonly name: string;
  /** The signature. */
  readonly signature: string;
  /** Data that it is said to be over. */
  readonly data: string;
  /** Purpose that it must be for. */
  readonly purpose: string;
  /** Answer of the enclave's `/v1/attestation`. */
  readonly document: BootAttestationAnswer;
  /** Pinned instead of AWS's. */
  readonly root: string;
  /** Expected in the document, hex by index. */
  readonly pcrs: Readonly<Record<number, string>>;
  /** The time to verify at, milliseconds since 1970. */
  readonly at: number;
  /** Purpose and boot id when it verifies, or the error's code. */
  readonly outcome: string;
}

/** One request over sealed HTTP that the browser makes, and what must come of it. */
export interface SealedCase {
  /** Name of the case. */
  readonly name: string;
  /** Parent that carries it, by its path. Cases of one parent share a `fetch`, unless they expect other PCRs. */
  readonly parent: string;
  /** Form of the answer. Default: `whole`. */
  readonly answers?: "whole" | "streamed";
  /** Method, and path with query. */
  readonly method: string;
  readonly path: string;
  /** Expected in the document, hex by index. */
  readonly pcrs: Readonly<Record<number, string>>;
  /** Status and body of the answer, or the error's code. */
  readonly outcome: string;
}

/** Task that the page asks for first. */
export interface BrowserTask {
  /** To verify. */
  readonly cases: readonly BrowserCase[];
  /** Signatures to verify. */
  readonly signatures: readonly SignatureCase[];
  /** Requests to seal, in order. */
  readonly sealedCases: readonly SealedCase[];
  /** Text to put into them, and the root to pin instead of AWS's. */
  readonly sealedText: string;
  readonly root: string;
  /** To seal a secret to: the verification must succeed. */
  readonly session: BrowserCase;
  /** Secret to seal. */
  readonly secret: string;
  /** Enclave images to describe, base64, and key policies to judge. */
  readonly images: readonly string[];
  readonly policies: readonly string[];
}

/** Report of the page at its end. */
export interface BrowserReport {
  /** Failure outside the checks, such as an error of the page itself. */
  readonly failure?: string;
  /** The outcome of every case. */
  readonly outcomes: readonly string[];
  /** The outcome of every signature. */
  readonly signatureOutcomes: readonly string[];
  /** The outcome of every sealed request. */
  readonly sealedOutcomes: readonly string[];
  /** Verdict on every image, then on every policy, as JSON. */
  readonly verdicts: readonly string[];
  /** Median time of a sealed request, milliseconds. */
  readonly sealedMs: number;
  /** The secret, sealed to the session of Node.js. */
  readonly sealed: string;
  /** The secret that Node.js sealed to a session of the browser's, opened. */
  readonly opened: string;
  /** Median time of a good verification, milliseconds. */
  readonly medianMs: number;
}
