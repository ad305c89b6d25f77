import { GrowingBytes } from "../../lib/core/growing_bytes.ts";
import type { ExportQueue, QueueRoom } from "./export_queue.ts";

/** Outcome of a request of an enclave. */
export interface TakenExport {
  /** Taken into the queue, refused as no export, or dropped for lack of room. */
  readonly outcome: "taken" | "refused" | "full";
  /** Answer. */
  readonly response: Response;
}

const PATHS: readonly string[] = ["/v1/traces", "/v1/metrics", "/v1/logs"];

/** Forms of an export, and the answer of OTLP that says that all of it was taken. */
const ANSWERS: ReadonlyMap<string, string> = new Map([
  ["application/json", "{}"],
  // A message without fields.
  ["application/x-protobuf", ""],
]);

const ENCODINGS: readonly string[] = ["identity", "gzip"];

/** Destination of exports. */
export interface ExportDestination {
  /** Queue of the relay. */
  readonly queue: ExportQueue;
  /** Largest body. */
  readonly maxBodyBytes: number;
}

/**
 * Takes the export in a request into the queue. The body is read as long as there is room for it.
 *
 * @param request Request of an enclave
 * @param cid CID of the enclave, undefined where there is none
 * @param destination Queue of the relay
 * @throws The error of a body that breaks off
 */
export async function takeExport(
  request: Request,
  cid: number | undefined,
  { queue, maxBodyBytes }: ExportDestination,
): Promise<TakenExport> {
  const { pathname, search } = new URL(request.url);
  if (!PATHS.includes(pathname) || search !== "") return refuse(404);
  if (request.method !== "POST") return refuse(405, { allow: "POST" });
  const type = request.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
  const encoding = request.headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  const answer = ANSWERS.get(type);
  if (answer === undefined || !ENCODINGS.includes(encoding)) return refuse(415);
  const told = Number(request.headers.get("content-length") ?? 0);
  if (told > maxBodyBytes) return refuse(413);
  using room = queue.reserve(cid, told);
  if (room === undefined) return full();
  const body = await read(request, room, maxBodyBytes);
  if (typeof body === "string") return body === "full" ? full() : refuse(413);
  const headers = {
    "content-type": type,
    ...(encoding === "identity" ? {} : { "content-encoding": encoding }),
  };
  room.fill({ path: pathname, headers, body });
  return { outcome: "taken", response: new Response(answer, { headers: { "content-type": type } }) };
}

/** Reads the body, if it is not too large, and there is room. The rest is otherwise left to the server, which reads it off. */
async function read(
  { body }: Request,
  room: QueueRoom,
  maxBytes: number,
): Promise<Uint8Array | "full" | "too-large"> {
  const reader = body?.getReader();
  using bytes = new GrowingBytes(maxBytes);
  for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
    if (!bytes.push(next.value)) return "too-large";
    if (!room.grow(next.value.length)) return "full";
  }
  return bytes.copy();
}

function full(): TakenExport {
  return {
    outcome: "full",
    response: new Response(null, { status: 503, headers: { "retry-after": "5" } }),
  };
}

function refuse(status: number, headers: Readonly<Record<string, string>> = {}): TakenExport {
  return { outcome: "refused", response: new Response(null, { status, headers }) };
}
