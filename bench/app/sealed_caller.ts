import { Buffer } from "node:buffer";
import { sealedFetch } from "../../lib/channel/mod.ts";
import { decodeBase64 } from "../../lib/core/encoding.ts";
import type { HttpAnswer, HttpCaller } from "../http_caller.ts";
import { PATH, type SubjectPlace } from "./subject_order.ts";

/**
 * Asks for the measured route over sealed HTTP, as a browser would.
 *
 * @param caller Connection to the application
 * @param place Expectations of its document
 * @returns Asks once
 */
export function sealedAsk(caller: HttpCaller, { root, pcr0 }: SubjectPlace): () => Promise<HttpAnswer> {
  const fetch = sealedFetch("http://enclave/", {
    pcrs: { 0: pcr0 },
    root: decodeBase64(root),
    fetch: async (input, init) => await send(caller, new Request(input, init)),
  });
  return async () => {
    const answer = await fetch(PATH);
    return { status: answer.status, body: await answer.text(), head: "" };
  };
}

async function send(caller: HttpCaller, request: Request): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  const body = Buffer.from(await request.arrayBuffer()).toString("latin1");
  const type = request.headers.get("content-type");
  const { status, head, body: text } = await caller.send(
    `${request.method} ${pathname}${search} HTTP/1.1\r\nhost: a\r\n` +
      (type === null ? "" : `content-type: ${type}\r\n`) + `content-length: ${body.length}\r\n\r\n${body}`,
  );
  const answered = /^content-type: *([^\r]*)/im.exec(head)?.[1] ?? "";
  return new Response(new Uint8Array(Buffer.from(text, "latin1")), {
    status,
    headers: { "content-type": answered },
  });
}
