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

/** Task that the page asks for first. */
export interface BrowserTask {
  /** To verify. */
  readonly cases: readonly BrowserCase[];
  /** To seal a secret to: the verification must succeed. */
  readonly session: BrowserCase;
  /** Secret to seal. */
  readonly secret: string;
}

/** Report of the page at its end. */
export interface BrowserReport {
  /** Failure outside the checks, such as an error of the page itself. */
  readonly failure?: string;
  /** The outcome of every case. */
  readonly outcomes: readonly string[];
  /** The secret, sealed to the session of Node.js. */
  readonly sealed: string;
  /** The secret that Node.js sealed to a session of the browser's, opened. */
  readonly opened: string;
  /** Median time of a good verification, milliseconds. */
  readonly medianMs: number;
}
