import { spanIdOf, traceIdOf } from "../trace_context.ts";
import { nanos } from "./otlp_values.ts";

/** Beginning of a line: level and time, and of a request its id and the trace that its caller named. */
const BEGINNING =
  /^\{"level":"(\w+)","time":"[^"]+"(?:,"id":"([0-9a-f-]{36})"(?:,"trace":"([0-9a-f]{32})")?)?/;

/** Numbers of OTLP for levels. */
const SEVERITIES: Readonly<Record<string, number>> = { debug: 5, warn: 13, error: 17 };

const INFO = 9;

/**
 * Writes a line of the log as a log record of OTLP in JSON. The body is the line, word for word; level and trace are read
 * off its beginning, where no caller's text can be.
 *
 * @param line Line of JSON in ASCII, without its newline
 * @param nowMs Time now, in milliseconds since 1970
 * @returns A JSON object
 */
export function encodeLog(line: string, nowMs: number): string {
  const [, level = "info", id, trace] = BEGINNING.exec(line) ?? [];
  const time = nanos(nowMs);
  return `{"timeUnixNano":${time},"observedTimeUnixNano":${time},"severityNumber":${
    SEVERITIES[level] ?? INFO
  },"severityText":"${level}","body":{"stringValue":${JSON.stringify(line)}}${
    id === undefined ? "" : `,"flags":1,"traceId":"${trace ?? traceIdOf(id)}","spanId":"${spanIdOf(id)}"`
  }}`;
}
