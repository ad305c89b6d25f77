/** Trace that a caller's request belongs to. */
export interface TraceContext {
  /** Id of the trace, 32 lowercase hex digits, not all zero. */
  readonly traceId: string;
  /** Id of the caller's span, 16 lowercase hex digits, not all zero. */
  readonly parentSpanId: string;
  /** Flags that version 00 defines: 1 for sampled, 2 for a random trace id. */
  readonly flags: number;
}

const FORM = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/;

/** Length of the header in version 00, in characters. */
const LENGTH = 55;

const KNOWN_FLAGS = 3;

/**
 * Parses the header `traceparent` of W3C Trace Context, in version 00 and nothing else. `tracestate`, which is text of
 * anybody's, is never read.
 *
 * @param header Value of the header; several are joined by commas, and so are none
 * @returns The trace; undefined when there is none, or it is malformed
 * @see https://www.w3.org/TR/trace-context-2/#traceparent-header
 */
export function parseTraceparent(header: string | undefined): TraceContext | undefined {
  if (header?.length !== LENGTH) return undefined;
  const [, traceId, parentSpanId, flags = ""] = FORM.exec(header) ?? [];
  if (traceId === undefined || parentSpanId === undefined) return undefined;
  return { traceId, parentSpanId, flags: Number.parseInt(flags, 16) & KNOWN_FLAGS };
}

/**
 * Writes the header `traceparent`, version 00.
 *
 * @param traceId Id of the trace, 32 hex digits
 * @param spanId Id of the span that what follows is part of, 16 hex digits
 * @param flags Flags, 0 to 3
 */
export function formatTraceparent(traceId: string, spanId: string, flags: number): string {
  return `00-${traceId}-${spanId}-0${flags}`;
}

/**
 * Makes the id of the trace that begins with a request, from the request's random id: nothing else is told.
 *
 * @param id Id of the request, a UUID of version 4
 * @returns 32 hex digits, never all zero
 */
export function traceIdOf(id: string): string {
  return id.slice(0, 8) + id.slice(9, 13) + id.slice(14, 18) + spanIdOf(id);
}

/**
 * Makes the id of a request's span, from the request's random id.
 *
 * @param id Id of the request, a UUID of version 4, whose seventeenth digit is 8, 9, a or b
 * @returns 16 hex digits, never all zero
 */
export function spanIdOf(id: string): string {
  return id.slice(19, 23) + id.slice(24);
}
