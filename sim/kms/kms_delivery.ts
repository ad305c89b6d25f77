import { randomBytes } from "node:crypto";
import type { HttpAnswer } from "../tls/http_message.ts";
import { KmsRefusal } from "./kms_errors.ts";
import type { KmsFault } from "./kms_faults.ts";
import type { Delivery } from "../tls/tls_server.ts";

/** Values in the headers of every answer. */
export interface AnswerStamp {
  /** The `x-amzn-requestid` header. */
  readonly requestId: string;
  /** The `date` header, milliseconds since 1970. */
  readonly now: number;
}

/**
 * Makes the answer as KMS sends it.
 *
 * @param output Members of an output, or the refusal
 * @param stamp Values for its headers
 */
export function jsonAnswer(
  output: Readonly<Record<string, unknown>> | KmsRefusal,
  stamp: AnswerStamp,
): HttpAnswer {
  const refused = output instanceof KmsRefusal;
  return answer(refused ? output.status : 200, JSON.stringify(refused ? output.body : output), stamp);
}

/**
 * Makes the refusal that replaces the operation under some faults.
 *
 * @param fault The fault in force
 */
export function refusalOf(fault: KmsFault | undefined): KmsRefusal | undefined {
  if (fault?.kind === "throttled") return new KmsRefusal("ThrottlingException");
  if (fault?.kind === "internalError") return new KmsRefusal("KMSInternalException");
  return fault?.kind === "refusal" ? new KmsRefusal(fault.kmsCode) : undefined;
}

/**
 * Applies a fault to an answer.
 *
 * @param good The answer without it
 * @param fault The fault in force
 * @param stamp Values for the headers of other answers
 */
export function deliveryOf(good: HttpAnswer, fault: KmsFault | undefined, stamp: AnswerStamp): Delivery {
  switch (fault?.kind) {
    case "resetAtByte":
      return { answer: good, cut: { atByte: fault.byte, how: "reset" } };
    case "truncate":
      return { answer: good, cut: { atByte: fault.byte, how: "end" } };
    case "closeWhenIdle":
      return { answer: good, closeAfterMs: fault.afterMs ?? 0 };
    case "answer":
      return { answer: answer(fault.status, fault.body, stamp) };
    case "garbage":
      return { answer: answer(200, "<html><body>Welcome</body></html>", stamp) };
    case "unavailable":
      return {
        answer: {
          ...answer(503, "Service Unavailable", stamp),
          headers: { "content-type": "text/plain" },
        },
      };
    case "oversized":
      return { answer: answer(200, JSON.stringify({ Padding: "x".repeat(fault.bytes) }), stamp) };
    case "notHttp":
      return { answer: new Uint8Array(randomBytes(64)) };
    default:
      return { answer: good };
  }
}

function answer(status: number, body: string, { requestId, now }: AnswerStamp): HttpAnswer {
  return {
    status,
    headers: {
      "x-amzn-requestid": requestId,
      "date": new Date(now).toUTCString(),
      "cache-control": "no-cache, no-store, must-revalidate, private",
      "content-type": "application/x-amz-json-1.1",
    },
    body: new TextEncoder().encode(body),
  };
}
