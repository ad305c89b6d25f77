/**
 * Parents that carry sealed HTTP between the page and enclaves, as one server: each has a path of its own.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { resolve } from "node:path";
import { type Enclave, enclaveApp, startEnclave } from "../../enclave/mod.ts";
import { createFetch } from "../../lib/transport/mod.ts";
import { SealedEnclave, type Way } from "../lib/channel/sealed_enclave.ts";
import type { SoftwareNsm } from "../../sim/mod.ts";
import type { SealedCase } from "./protocol.ts";

/** Parents of several kinds, and all that they have carried. */
export interface Parents extends AsyncDisposable {
  /** Cases for the page. */
  readonly cases: readonly SealedCase[];
  /** Requests that were served by the honest parent's enclave, after the page's end. */
  readonly served: readonly string[];
  /** All that the honest parent saw of sealed requests and answers, as Latin-1. */
  seen(): string;
  /** Answers a request below a parent's path; tells whether it is one. */
  answer(request: IncomingMessage, response: ServerResponse): Promise<boolean>;
}

/** Text that no parent may see. */
export const SEALED_TEXT = "attack at dawn, from a page";

/**
 * Starts an application in a simulated enclave, two more of the same image, and parents of several kinds before them.
 *
 * @param nsm Module of the image
 */
export async function startParents(nsm: SoftwareNsm): Promise<Parents> {
  const [enclave, sibling] = [await SealedEnclave.start(nsm), await SealedEnclave.start(nsm)];
  const served: string[] = [];
  const running = await startApplication(nsm, served);
  const pass = createFetch(running.endpoint);
  let seen = "";
  let leadsTo = enclave;
  const ways: Readonly<Record<string, Way>> = {
    honest: async (request) => {
      seen += await latin1(request.clone());
      const answer = await pass(request);
      if (request.method === "POST") seen += await latin1(answer.clone());
      return answer;
    },
    twice: async (request) => {
      const answer = await enclave.way(request.clone());
      await enclave.way(request);
      return answer;
    },
    clear: onSealed(enclave, () => new Response(SEALED_TEXT)),
    flipping: onSealed(enclave, async (request) => {
      const answer = await enclave.way(request);
      const bytes = new Uint8Array(await answer.arrayBuffer());
      return new Response(new Uint8Array(bytes.with(60, bytes[60]! ^ 1)), { headers: answer.headers });
    }),
    cutting: onSealed(enclave, async (request) => {
      const answer = await enclave.way(request);
      return new Response((await answer.bytes()).slice(0, -20), { headers: answer.headers });
    }),
    replaced: async (request) => {
      const answer = await leadsTo.way(request);
      if (request.method === "POST") leadsTo = sibling;
      return answer;
    },
  };
  return {
    cases: casesOf(nsm),
    served,
    seen: () => seen,
    answer: (request, response) => answerBelow(ways, request, response),
    async [Symbol.asyncDispose]() {
      await running.close();
      enclave[Symbol.dispose]();
      sibling[Symbol.dispose]();
    },
  };
}

async function startApplication(nsm: SoftwareNsm, served: string[]): Promise<Enclave> {
  const app = enclaveApp().all("*", async (c) => {
    const [body, { pathname, search }] = [await c.req.text(), new URL(c.req.url)];
    served.push(`${c.req.method} ${pathname}${search} over ${c.var.channel}`);
    return c.json({
      body,
      type: c.req.header("content-type") ?? null,
      token: c.req.header("authorization") ?? null,
    });
  });
  return await startEnclave(app, {
    name: "browser-test",
    // The enclave disposes its own; this one is shared.
    nsm: { exchange: (request) => nsm.exchange(request), [Symbol.dispose]() {} },
    signals: false,
    environment: {
      ENV_SETUP: "SIM",
      ENCLAVE_PORT: "0",
      CONTROL_PORT: "0",
      ENCLAVE_KMS_LOG_LEVEL: "silent",
      ENCLAVE_KMS_POLICY_FILE: resolve("examples/policies/attest.cedar"),
    },
  });
}

function casesOf(nsm: SoftwareNsm): SealedCase[] {
  const pcrs = { 0: nsm.pcr(0) };
  const good = { parent: "honest", method: "POST", path: "/orders?id=7", pcrs };
  const body = `200 ${
    JSON.stringify({ body: SEALED_TEXT, type: "text/plain;charset=UTF-8", token: "Bearer page" })
  }`;
  const nothing = `200 ${JSON.stringify({ body: "", type: null, token: "Bearer page" })}`;
  return [
    { ...good, name: "a sealed request", outcome: body },
    { ...good, name: "a sealed request over a parent that repeats it", parent: "twice", outcome: body },
    { ...good, name: "a sealed answer that is streamed", answers: "streamed", outcome: body },
    {
      ...good,
      name: "a streamed answer that was cut off",
      parent: "cutting",
      answers: "streamed",
      outcome: "ERR_PROTOCOL",
    },
    { ...good, name: "an answer in the clear", parent: "clear", outcome: "ERR_CHANNEL" },
    { ...good, name: "a sealed answer with a flipped bit", parent: "flipping", outcome: "ERR_PROTOCOL" },
    {
      ...good,
      name: "an enclave of another image",
      pcrs: { 0: "00".repeat(48) },
      outcome: "ERR_ATTESTATION_PCR",
    },
    { ...good, name: "before an enclave is replaced", parent: "replaced", outcome: body },
    { ...good, name: "a POST to one that was replaced", parent: "replaced", outcome: "ERR_CHANNEL_RENEWED" },
    { ...good, name: "a GET after that", parent: "replaced", method: "GET", outcome: nothing },
  ];
}

function onSealed(enclave: SealedEnclave, post: Way): Way {
  return (request) => request.method === "GET" ? enclave.way(request) : post(request);
}

async function answerBelow(
  ways: Readonly<Record<string, Way>>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const [, name = "", path = ""] = /^\/parents\/(\w+)(\/.*)$/.exec(request.url ?? "") ?? [];
  const way = ways[name];
  if (way === undefined) return false;
  const { method = "GET" } = request;
  const type = request.headers["content-type"];
  const asked = new Request(`http://enclave${path}`, {
    method,
    ...(type !== undefined && { headers: { "content-type": type } }),
    ...(method === "POST" && { body: new Uint8Array(await buffer(request)) }),
  });
  const answer = await way(asked);
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  response.end(new Uint8Array(await answer.arrayBuffer()));
  return true;
}

async function latin1(message: Request | Response): Promise<string> {
  const head = message instanceof Request ? `${message.method} ${message.url}` : "";
  return head + JSON.stringify([...message.headers]) +
    new TextDecoder("latin1").decode(await message.arrayBuffer());
}
