/** Works that a process can do, with a data key at hand. */
export const ENVELOPE_WORKS = [
  "encryptStream",
  "decryptStream",
  // The same, read into memory of the reader's own.
  "encryptInto",
  "decryptInto",
  "encryptMessage",
  "decryptMessage",
] as const;

/** One of {@link ENVELOPE_WORKS}. */
export type EnvelopeWork = typeof ENVELOPE_WORKS[number];

/** Bytes of a stream: frames of the default length, and enough that the header does not count. */
export const STREAM_BYTES = 4 << 20;

/** Bytes of a message. */
export const MESSAGE_BYTES = 1024;

/** Order that the process reads. */
export interface EnvelopeOrder {
  readonly work: EnvelopeWork;
  /** After so many milliseconds no stream or message begins. */
  readonly forMs: number;
}

/** Its answer. */
export interface EnvelopeReading {
  /** MB (10^6 bytes) a second for streams, messages a second. */
  readonly perSecond: number;
  /** Processor time of a MB or a message, all threads, in milliseconds. */
  readonly cpuMs: number;
}

/** A function for each work, which does it once. */
export type EnvelopeWorks = Readonly<Record<EnvelopeWork, () => void | Promise<void>>>;

/** Tells how many MB or messages one turn of a work makes. */
export function unitsOf(work: EnvelopeWork): number {
  return work.endsWith("Message") ? 1 : STREAM_BYTES / 1e6;
}
