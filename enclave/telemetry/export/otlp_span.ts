import type { RequestLine } from "../request_line.ts";
import type { RequestRecord } from "../request_record.ts";
import { nanos, quote, valueOf } from "./otlp_values.ts";

/**
 * Fields of the line that the log has of a request which its span has as attributes, with `enclave_kms.` before them. No
 * reason of a policy, no message, no hint and no credentials.
 */
export const SPAN_FIELDS: readonly string[] =
  ("id protocol cid caller.type key ciphertextSha256 decision.policy decision.allowed decision.determining " +
    "outcome answer failure.code failure.kmsCode failure.requestId failure.stage failure.name policyMs")
    .split(" ");

/** The same, split at the point, with the last value and its attribute: most of a request are those of the one before. */
const FIELDS = SPAN_FIELDS.map((field) => {
  const [outer = "", inner] = field.split(".");
  return {
    outer,
    inner,
    key: `,{"key":"enclave_kms.${field}","value":`,
    value: undefined as unknown,
    text: "",
  };
});

/**
 * Writes the span of a request as JSON of OTLP, in ASCII.
 *
 * @param record Ids of the trace and the span
 * @param line Line that the log has of the request, or would have
 * @param endMs Time of its end, in milliseconds since 1970
 * @returns A JSON object
 */
export function encodeSpan(
  { traceId, spanId, trace }: Pick<RequestRecord, "traceId" | "spanId" | "trace">,
  line: RequestLine,
  endMs: number,
): string {
  const { operation, outcome, ms } = line;
  const isError = outcome === "failed" || outcome === "timeout";
  // Bit 8 of the flags says that bit 9 is known, which says that the parent is another process's.
  return `{"traceId":"${traceId}","spanId":"${spanId}",` +
    (trace === undefined
      ? '"flags":257'
      : `"parentSpanId":"${trace.parentSpanId}","flags":${768 | trace.flags}`) +
    `,"name":${quote(operation)},"kind":2,"startTimeUnixNano":${nanos(endMs - ms)},"endTimeUnixNano":${
      nanos(endMs)
    },"attributes":[${attributesOf(line as unknown as Fields).slice(1)}],"status":{${
      isError ? '"code":2' : ""
    }}}`;
}

type Fields = Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>;

function attributesOf(line: Fields): string {
  let attributes = "";
  for (const field of FIELDS) {
    const { outer, inner } = field;
    const value = inner === undefined ? line[outer] : line[outer]?.[inner];
    if (value !== field.value) {
      field.value = value;
      field.text = value === undefined ? "" : `${field.key}${valueOf(value)}}`;
    }
    attributes += field.text;
  }
  return attributes;
}
