import { concatBytes } from "../../lib/core/bytes.ts";
import type { HttpAnswer } from "../tls/http_message.ts";
import type { Delivery } from "../tls/tls_server.ts";
import { S3Refusal } from "./s3_errors.ts";
import type { S3Fault } from "./s3_faults.ts";

/**
 * Makes the answer that some faults put in the object's place.
 *
 * @param fault The fault in force
 * @returns The answer; undefined when the object is to be sent
 * @throws {S3Refusal} Under a fault that refuses
 */
export function faultyDelivery(fault: S3Fault | undefined): HttpAnswer | Uint8Array | undefined {
  switch (fault?.kind) {
    case "refusal":
      throw new S3Refusal(fault.s3Code);
    case "redirect":
      return { status: 307, headers: { location: fault.location }, body: new Uint8Array() };
    case "answer":
      return { status: fault.status, headers: {}, body: new TextEncoder().encode(fault.body) };
    case "endless":
      return concatBytes([ENDLESS_HEAD, new Uint8Array(fault.bytes)]);
    case "notHttp":
      return new TextEncoder().encode("220 ftp.example ready\r\n");
    default:
      return undefined;
  }
}

const ENDLESS_HEAD = new TextEncoder().encode('HTTP/1.1 200 OK\r\netag: "0"\r\nconnection: close\r\n\r\n');

/**
 * Applies a fault to an answer with an object.
 *
 * @param answer The answer without it, or raw bytes
 * @param fault The fault in force
 */
export function deliverObject(answer: HttpAnswer | Uint8Array, fault: S3Fault | undefined): Delivery {
  if (answer instanceof Uint8Array) return { answer, cut: { atByte: answer.length, how: "end" } };
  switch (fault?.kind) {
    case "slow":
      return { answer, pace: fault };
    case "cut":
    case "reset":
    case "change":
      return {
        answer,
        cut: { atByte: fault.afterBytes, ofBody: true, how: fault.kind === "reset" ? "reset" : "end" },
      };
    default:
      return { answer };
  }
}
