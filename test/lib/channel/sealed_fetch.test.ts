import assert from "node:assert/strict";
import { beforeAll, describe, test } from "#test";
import { type SealedFetch, sealedFetch, type SealedFetchOptions } from "../../../lib/channel/sealed_fetch.ts";
import { AttestationError, ConnectionError } from "../../../lib/core/errors.ts";
import { SEALED_RESPONSE_TYPE } from "../../../lib/wire/oblivious_http.ts";
import { SoftwareNsm } from "../../../sim/mod.ts";
import { SealedEnclave, type Way } from "./sealed_enclave.ts";

const URL = "https://enclave.example/";
const TOKEN = "a token that nobody on the way may see";
const SECRET = "attack at dawn, tenant red";

/** A request with everything in it that nobody may see. */
const REQUEST = {
  method: "POST",
  headers: { authorization: `Bearer ${TOKEN}`, "content-type": "text/plain" },
  body: SECRET,
};

let nsm: SoftwareNsm;
beforeAll(async () => {
  nsm = await SoftwareNsm.create();
});

describe("sealedFetch()", () => {
  test("asks as fetch does, and the parent sees neither path nor header nor body, there and back", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const parent = new Parent(enclave.way);
    const fetch = caller(parent.pass);
    const answer = await fetch("/v1/orders/sign?id=7", REQUEST);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-type"), "application/json");
    assert.deepEqual(await answer.json(), { body: SECRET, type: "text/plain", token: `Bearer ${TOKEN}` });
    assert.deepEqual(enclave.served, [`POST /v1/orders/sign?id=7 ${SECRET}`]);
    assert.deepEqual(parent.requests.map(({ line }) => line.replace(/nonce=.*/, "nonce=…")), [
      "GET https://enclave.example/v1/attestation?nonce=…",
      "POST https://enclave.example/v1/sealed",
    ]);
    for (const seen of [TOKEN, SECRET, "orders", "authorization", "application/json"]) {
      assert.ok(!parent.everything().includes(seen), seen);
    }
    assert.ok(parent.everything().includes(SEALED_RESPONSE_TYPE), "what it sees would be found");
  });

  test("verifies once for many requests, and again after maxAgeMs", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const fetch = caller(enclave.way);
    await Promise.all(Array.from({ length: 8 }, (_, i) => fetch(`/${i}`)));
    assert.deepEqual([enclave.documents, enclave.served.length], [1, 8]);
    const wary = caller(enclave.way, { maxAgeMs: 1 });
    await wary("/first");
    await new Promise((resolve) => setTimeout(resolve, 5));
    await wary("/second");
    assert.equal(enclave.documents, 3);
  });

  test("takes paths, URLs and Requests below its base, with bodies of all kinds, and nothing else", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const way: Way = (request) => {
      const { pathname, search } = new globalThis.URL(request.url);
      return enclave.way(new Request(`http://enclave${pathname.replace("/below", "")}${search}`, request));
    };
    const fetch = sealedFetch(`${URL}below`, {
      pcrs: { 0: nsm.pcr(0) },
      root: nsm.root,
      fetch: asFetch(way),
    });
    await fetch("/a");
    await fetch(`${URL}below/b?c=d#e`);
    await fetch(new globalThis.URL(`${URL}below/c`), { method: "PUT", body: new Uint8Array([0x68, 0x69]) });
    await fetch(new Request(`${URL}below/d`, { method: "POST", body: new URLSearchParams({ q: "1" }) }));
    await fetch("/e", { method: "DELETE" });
    assert.deepEqual(enclave.served, ["GET /a", "GET /b?c=d", "PUT /c hi", "POST /d q=1", "DELETE /e"]);
    for (const wrong of [URL, "https://elsewhere.example/below/x", `${URL}belowx`, "/../x", "x"]) {
      await assert.rejects(fetch(wrong), TypeError, wrong);
    }
    assert.equal(enclave.served.length, 5);
  });

  test("gives answers without a body, refusals and redirects as they are", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const fetch = caller(enclave.way);
    const empty = await fetch("/empty");
    assert.deepEqual([empty.status, empty.body], [204, null]);
    const moved = await fetch("/moved");
    assert.deepEqual([moved.status, moved.headers.get("location")], [302, "/elsewhere"]);
    const head = await fetch("/x", { method: "HEAD" });
    assert.deepEqual([head.status, await head.text()], [200, ""]);
  });

  test("is refused without PCRs, with empty ones, and with options that are wrong", () => {
    const good = { pcrs: { 0: nsm.pcr(0) } };
    assert.throws(() => sealedFetch(URL, {} as SealedFetchOptions), TypeError);
    for (
      const wrong of [
        { ...good, pcrs: {} },
        { ...good, maxAge: 1 },
        { ...good, nonce: new Uint8Array(32) },
        { ...good, fetch: "fetch" },
        { ...good, onAttested: 1 },
        { ...good, resend: "never" },
        { ...good, root: "root" },
      ]
    ) {
      assert.throws(
        () => sealedFetch(URL, wrong as unknown as SealedFetchOptions),
        TypeError,
        JSON.stringify(wrong),
      );
    }
    for (const wrong of [{ maxAgeMs: 0 }, { timeoutMs: 0 }, { maxAgeMs: 1.5 }]) {
      assert.throws(() => sealedFetch(URL, { ...good, ...wrong }), RangeError, JSON.stringify(wrong));
    }
    for (
      const url of [
        "",
        "/v1",
        "ftp://enclave/",
        "https://a:b@enclave/",
        "https://enclave/?a",
        "https://enclave/#a",
      ]
    ) {
      assert.throws(() => sealedFetch(url, good), TypeError, url);
    }
  });

  test("tells of each enclave that passes, and takes a throw as no", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const boots: string[] = [];
    await caller(enclave.way, { onAttested: ({ bootId }) => void boots.push(bootId) })("/a");
    assert.deepEqual(boots, [enclave.keys.bootId]);
    const refuse = () => {
      throw new RangeError("not this one");
    };
    await assert.rejects(caller(enclave.way, { onAttested: refuse })("/b", REQUEST), RangeError);
    assert.deepEqual(enclave.served, ["GET /a"]);
  });

  test("ends with the caller's own reason when they abort, before and during a request", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const parent = new Parent(enclave.way);
    const fetch = caller(parent.pass);
    const reason = new Error("changed my mind");
    await assert.rejects(fetch("/a", { signal: AbortSignal.abort(reason) }), reason);
    assert.equal(parent.requests.length, 0);
    const controller = new AbortController();
    const pending = fetch("/silent", { signal: controller.signal });
    await parent.arrived(2);
    controller.abort(reason);
    await assert.rejects(pending, reason);
    assert.equal((await fetch("/b")).status, 200);
  });

  test("one who aborts while the enclave is verified does not end that for the others", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const gate = Promise.withResolvers<void>();
    const parent = new Parent(async (request) => {
      await gate.promise;
      return await enclave.way(request);
    });
    const fetch = caller(parent.pass);
    const controller = new AbortController();
    const [aborted, other] = [fetch("/a", { signal: controller.signal }), fetch("/b")];
    await parent.arrived(1);
    controller.abort(new Error("gone"));
    await assert.rejects(aborted, /gone/);
    gate.resolve();
    assert.equal((await other).status, 200);
    assert.equal(enclave.documents, 1);
  });

  test("ends after timeoutMs, whatever is silent: the document, the answer, or its end", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const isDocument = (request: Request) => request.method === "GET";
    const forever = () => new Promise<Response>(() => {});
    const endless = () =>
      new Response(new ReadableStream(), { headers: { "content-type": SEALED_RESPONSE_TYPE } });
    const ways: readonly Way[] = [
      forever,
      (request) => isDocument(request) ? enclave.way(request) : forever(),
      (request) => isDocument(request) ? enclave.way(request) : endless(),
    ];
    for (const way of ways) {
      await assert.rejects(caller(way, { timeoutMs: 300 })("/a"), { code: "ERR_TIMEOUT", stage: "enclave" });
    }
    assert.deepEqual(enclave.served, []);
  });

  test("says that the connection failed, with the runtime's own error as the cause", async () => {
    const cause = new TypeError("fetch failed");
    const failing = () => Promise.reject(cause);
    await assert.rejects(caller(failing)("/a"), (error: unknown) => {
      assert.ok(error instanceof ConnectionError);
      return error.cause === cause;
    });
  });

  test("asks once more by the enclave's time when its own is wrong, and not for ever", async () => {
    const late = { window: { now: () => Date.now() + 3_600_000 } };
    using enclave = await SealedEnclave.start(nsm, late);
    const parent = new Parent(enclave.way);
    assert.equal((await caller(parent.pass)("/a", REQUEST)).status, 200);
    assert.equal(parent.requests.length, 3);
    assert.equal(enclave.served.length, 1);
    let hours = 0;
    using confused = await SealedEnclave.start(nsm, {
      window: { now: () => Date.now() + 3_600_000 * hours++ },
    });
    const answer = await caller(confused.way)("/a", REQUEST);
    assert.deepEqual([answer.status, (await answer.json() as { code: string }).code], [
      400,
      "ERR_SEALED_DATE",
    ]);
  });
});

describe("a key that has changed", () => {
  test("is asked for once, and the request sent again, when the same enclave has rotated it", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const fetch = caller(enclave.way);
    await fetch("/a");
    await enclave.channel.rotate();
    await fetch("/b", REQUEST);
    assert.equal(enclave.documents, 1, "the one before is good for a while");
    await enclave.channel.rotate();
    await fetch("/c", REQUEST);
    assert.equal(enclave.documents, 2);
    assert.deepEqual(enclave.served, ["GET /a", `POST /b ${SECRET}`, `POST /c ${SECRET}`]);
  });

  test("of an enclave that restarted: what may be served twice is sent again, and the rest is not", async () => {
    using first = await SealedEnclave.start(nsm);
    using second = await SealedEnclave.start(nsm);
    using third = await SealedEnclave.start(nsm);
    let current = first;
    const way: Way = (request) => current.way(request);
    const [wary, always] = [caller(way), caller(way, { resend: "always" })];
    await wary("/a");
    await always("/a");
    current = second;
    assert.equal((await wary("/b")).status, 200);
    current = third;
    await assert.rejects(wary("/c", REQUEST), { code: "ERR_CHANNEL_RENEWED" });
    assert.equal((await wary("/d", REQUEST)).status, 200, "the next goes to the new one");
    assert.equal((await always("/e", REQUEST)).status, 200);
    assert.deepEqual(third.served, [`POST /d ${SECRET}`, `POST /e ${SECRET}`]);
  });

  test("is asked for once by many who find out at the same time", async () => {
    using first = await SealedEnclave.start(nsm);
    using second = await SealedEnclave.start(nsm);
    let current = first;
    const fetch = caller((request) => current.way(request));
    await fetch("/a");
    current = second;
    await Promise.all(Array.from({ length: 8 }, (_, i) => fetch(`/${i}`)));
    assert.equal(second.documents, 1);
    assert.equal(second.served.length, 8);
  });

  test("is refused when the new enclave is none of those expected", async () => {
    using enclave = await SealedEnclave.start(nsm);
    using other = await SoftwareNsm.create({ pcrs: { 0: new Uint8Array(48).fill(9) } });
    using impostor = await SealedEnclave.start(other);
    let current = enclave;
    const fetch = caller((request) => current.way(request));
    await fetch("/a");
    current = impostor;
    await assert.rejects(fetch("/b"), AttestationError);
    assert.deepEqual(impostor.served, []);
  });
});

function caller(way: Way, options: Partial<SealedFetchOptions> = {}): SealedFetch {
  return sealedFetch(URL, { pcrs: { 0: nsm.pcr(0) }, root: nsm.root, fetch: asFetch(way), ...options });
}

function asFetch(way: Way): typeof globalThis.fetch {
  return async (input, init) => await way(new Request(input, init));
}

/** A parent that passes on, and keeps what it sees. */
class Parent {
  readonly requests: { readonly line: string; readonly bytes: string }[] = [];
  readonly #answers: string[] = [];
  readonly #way: Way;
  readonly #waiting: (() => void)[] = [];

  constructor(way: Way) {
    this.#way = way;
  }

  readonly pass: Way = async (request) => {
    const bytes = latin1(await request.clone().arrayBuffer());
    this.requests.push({ line: `${request.method} ${request.url}`, bytes: `${headersOf(request)}${bytes}` });
    for (const wake of this.#waiting.splice(0)) wake();
    const answer = await this.#way(request);
    this.#answers.push(headersOf(answer) + latin1(await answer.clone().arrayBuffer()));
    return answer;
  };

  async arrived(count: number): Promise<void> {
    while (this.requests.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  everything(): string {
    const sealed = this.requests.filter(({ line }) => line.startsWith("POST"));
    return [...sealed.map(({ line, bytes }) => line + bytes), ...this.#answers.slice(1)].join();
  }
}

function headersOf({ headers }: Request | Response): string {
  return JSON.stringify([...headers]);
}

function latin1(bytes: ArrayBuffer): string {
  return new TextDecoder("latin1").decode(bytes);
}
