/**
 * A parent that carries sealed HTTP, and does with it what it likes. No secret of the caller's may reach it, no answer
 * of its making the caller, and no request be served twice.
 *
 * @module
 */
import assert from "node:assert/strict";
import { beforeAll, describe } from "#test";
import { type SealedFetch, sealedFetch, type SealedFetchOptions } from "../../lib/channel/sealed_fetch.ts";
import { AttestationError, EnclaveKmsError } from "../../lib/core/errors.ts";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import { GatewayKey, SEALED_RESPONSE_TYPE, STALE_KEY_PROBLEM } from "../../lib/wire/oblivious_http.ts";
import { SoftwareNsm } from "../../sim/mod.ts";
import { SealedEnclave, type Way } from "../lib/channel/sealed_enclave.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests("Deno");

const TOKEN = "a token that nobody on the way may see";
const REQUEST = { method: "POST", headers: { authorization: `Bearer ${TOKEN}` }, body: "attack at dawn" };
const HOUR_MS = 3_600_000;
const SERVED = ["POST /orders attack at dawn"];

let nsm: SoftwareNsm;
beforeAll(async () => {
  nsm = await SoftwareNsm.create({ now: () => Date.now() });
});

describe("a parent that answers in the enclave's place", () => {
  test("in the clear: whatever the status, the caller gets none of it", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const forged: readonly (() => Response)[] = [
      () => new Response('{"body":"forged"}', { headers: { "content-type": "application/json" } }),
      () => new Response(new Uint8Array(300), { headers: { "content-type": "message/bhttp" } }),
      () => new Response(null, { status: 204 }),
      () => new Response("forged", { status: 500 }),
      () => new Response("forged", { status: 400, headers: { "content-type": "application/problem+json" } }),
      () => new Response("null", { status: 400, headers: { "content-type": "application/problem+json" } }),
      () =>
        new Response(new Uint8Array(300), { status: 201, headers: { "content-type": SEALED_RESPONSE_TYPE } }),
    ];
    for (const forge of forged) {
      const fetch = caller(onSealed(enclave, forge));
      await assert.rejects(fetch("/orders", REQUEST), { code: "ERR_CHANNEL" });
    }
  });

  test("with bytes of its own that claim to be sealed", async () => {
    using enclave = await SealedEnclave.start(nsm);
    for (const length of [0, 1, 31, 47, 48, 300]) {
      const forge = () =>
        new Response(new Uint8Array(length), { headers: { "content-type": SEALED_RESPONSE_TYPE } });
      const fetch = caller(onSealed(enclave, forge));
      await assert.rejects(fetch("/orders", REQUEST), { code: "ERR_PROTOCOL" }, `${length} bytes`);
    }
  });

  test("with the answer to another request, or an old one", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const kept: Response[] = [];
    const fetch = caller(onSealed(enclave, async (request) => {
      const answer = await enclave.way(request);
      kept.push(answer.clone());
      return kept.length === 1 ? answer : kept[0]!.clone();
    }));
    assert.equal((await fetch("/first")).status, 200);
    await assert.rejects(fetch("/second"), { code: "ERR_PROTOCOL" });
    assert.deepEqual(enclave.served, ["GET /first", "GET /second"]);
  });

  test("with the enclave's own answer, a bit of it flipped or an end of it cut", async () => {
    using enclave = await SealedEnclave.start(nsm);
    let at = 0;
    let change = (bytes: Uint8Array) => bytes;
    const fetch = caller(onSealed(enclave, async (request) => {
      const bytes = new Uint8Array(await (await enclave.way(request)).arrayBuffer());
      return new Response(new Uint8Array(change(bytes)), {
        headers: { "content-type": SEALED_RESPONSE_TYPE },
      });
    }));
    const { length } = new Uint8Array(await (await fetch("/")).arrayBuffer());
    assert.ok(length > 0);
    for (at = 0; at < 304; at += 3) {
      change = (bytes) => bytes.with(at, (bytes[at] ?? 0) ^ 1);
      await assert.rejects(fetch("/"), { code: "ERR_PROTOCOL" }, `byte ${at}`);
      change = (bytes) => bytes.subarray(0, at);
      await assert.rejects(fetch("/"), { code: "ERR_PROTOCOL" }, `${at} bytes`);
    }
    change = (bytes) => bytes;
    assert.equal((await fetch("/")).status, 200, "it is the change that is refused");
  });

  test("without an end: a clear or a sealed answer, or a document", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const endless = (type: string, status = 200) => {
      const pull = (controller: ReadableStreamDefaultController) =>
        controller.enqueue(new Uint8Array(1 << 18));
      return new Response(new ReadableStream({ pull }), { status, headers: { "content-type": type } });
    };
    const ways: readonly Way[] = [
      onSealed(enclave, () => endless(SEALED_RESPONSE_TYPE)),
      onSealed(enclave, () => endless("application/problem+json", 400)),
      onSealed(enclave, () => endless("text/plain")),
      () => endless("application/json"),
    ];
    for (const way of ways) await assert.rejects(caller(way)("/orders", REQUEST), { code: "ERR_CHANNEL" });
  });
});

describe("a parent that changes what it carries to the enclave", () => {
  test("at any byte: nothing is served but what the caller sent", async () => {
    using enclave = await SealedEnclave.start(nsm);
    let change = (bytes: Uint8Array) => bytes;
    let length = 0;
    const fetch = caller(onSealed(enclave, async (request) => {
      const bytes = new Uint8Array(await request.arrayBuffer());
      length = bytes.length;
      return await enclave.way(
        new Request(request.url, { ...init(request), body: new Uint8Array(change(bytes)) }),
      );
    }));
    await fetch("/orders", REQUEST);
    for (let at = 0; at < length; at += 13) {
      change = (bytes) => bytes.with(at, (bytes[at] ?? 0) ^ 0x40);
      await assert.rejects(fetch("/orders", REQUEST), { code: "ERR_CHANNEL" }, `byte ${at}`);
      change = (bytes) => bytes.subarray(0, at);
      await assert.rejects(fetch("/orders", REQUEST), { code: "ERR_CHANNEL" }, `${at} bytes`);
    }
    assert.deepEqual(enclave.served, SERVED);
  });

  test("by sending it again, at once or later: it is served once", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const kept: Request[] = [];
    const fetch = caller(onSealed(enclave, async (request) => {
      kept.push(request.clone());
      const copies = Array.from({ length: 8 }, () => enclave.way(request.clone()));
      return (await Promise.all(copies))[0]!;
    }));
    const answer = await fetch("/orders", REQUEST);
    assert.ok(
      [200, 409].includes(answer.status),
      "one of nine was served, and the parent chose which answer to pass",
    );
    for (const request of kept) await enclave.way(request);
    assert.deepEqual(enclave.served, SERVED);
  });

  test("by claiming that its key is stale once it was served: it is not served again", async () => {
    using enclave = await SealedEnclave.start(nsm);
    let claims = 0;
    const fetch = caller(onSealed(enclave, async (request) => {
      const answer = await enclave.way(request);
      return claims++ === 0 ? stale() : answer;
    }));
    const answer = await fetch("/orders", REQUEST);
    assert.deepEqual([answer.status, (await answer.json() as { code: string }).code], [
      409,
      "ERR_SEALED_REPLAY",
    ]);
    assert.deepEqual(enclave.served, SERVED);
  });

  test("by claiming so after a while, and holding the second back: it is not served again", async () => {
    for (const heldMs of [0, 58_000, 75_000]) {
      const now = Date.now;
      const clock = { now: now() };
      using enclave = await SealedEnclave.start(nsm, { window: { now: () => clock.now } });
      let claims = 0;
      const fetch = caller(onSealed(enclave, async (request) => {
        if (claims++ > 0) clock.now += heldMs;
        const answer = await enclave.way(request);
        if (claims > 1) return answer;
        clock.now += 5000;
        Date.now = () => now() + 5000;
        return stale();
      }));
      try {
        await fetch("/orders", REQUEST).catch(() => {});
      } finally {
        Date.now = now;
      }
      assert.deepEqual(enclave.served, SERVED, `held for ${heldMs} ms`);
    }
  });

  test("by hiding its answer, and having its date refused when it is old: it is not served again", async () => {
    const clock = { now: Date.now() };
    using enclave = await SealedEnclave.start(nsm, { window: { now: () => clock.now } });
    let posts = 0;
    const now = Date.now;
    const fetch = caller(onSealed(enclave, async (request) => {
      const kept = request.clone();
      const answer = await enclave.way(request);
      if (posts++ > 0) return answer;
      clock.now += HOUR_MS;
      Date.now = () => now() + HOUR_MS;
      return await enclave.way(kept);
    }));
    try {
      await assert.rejects(fetch("/orders", REQUEST), { code: "ERR_CHANNEL_RENEWED" });
    } finally {
      Date.now = now;
    }
    assert.deepEqual(enclave.served, SERVED);
  });

  test("by keeping one whose date was refused for being ahead: the one after is served alone", async () => {
    const clock = { now: Date.now() - 100_000 };
    using enclave = await SealedEnclave.start(nsm, { window: { now: () => clock.now } });
    const kept: Request[] = [];
    const fetch = caller(onSealed(enclave, async (request) => {
      kept.push(request.clone());
      return await enclave.way(request);
    }));
    assert.equal((await fetch("/orders", REQUEST)).status, 200);
    assert.equal(kept.length, 2);
    for (let passed = 0; passed < 200_000; passed += 10_000) {
      clock.now += 10_000;
      for (const request of kept) await enclave.way(request.clone());
    }
    assert.deepEqual(enclave.served, SERVED);
  });

  test("by claiming for ever that its key is stale: the caller gives up", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const fetch = caller(onSealed(enclave, stale));
    await assert.rejects(fetch("/orders", REQUEST), { code: "ERR_CHANNEL" });
    assert.equal(enclave.documents, 2);
  });

  test("by taking it to another enclave of the same image, after it was served or before", async () => {
    using first = await SealedEnclave.start(nsm);
    using second = await SealedEnclave.start(nsm);
    let leadsTo = first;
    const fetch = caller(async (request) => {
      if (request.method === "GET") return await leadsTo.way(request);
      await first.way(request.clone());
      leadsTo = second;
      return await second.way(request);
    });
    await assert.rejects(fetch("/orders", REQUEST), { code: "ERR_CHANNEL_RENEWED" });
    assert.deepEqual([first.served, second.served], [SERVED, []]);
  });
});

describe("a parent that answers for an enclave's keys", () => {
  test("with a key configuration of its own: the request does not leave", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const own = await GatewayKey.create(1);
    const [config, key] = [encodeBase64(own.config), encodeBase64(own.publicKey)];
    const answers: readonly (readonly [string, (answer: Answer) => Answer])[] = [
      ["ERR_ATTESTATION_PUBLIC_KEY", (answer) => ({ ...answer, sealing: config })],
      [
        "ERR_ATTESTATION_USER_DATA",
        (answer) => ({ ...answer, sealing: config, keys: { ...answer.keys, seal: key } }),
      ],
      ["ERR_ATTESTATION_USER_DATA", (answer) => ({ ...answer, bootId: "00".repeat(16) })],
      ["ERR_ATTESTATION_FIELD_MISSING", ({ sealing: _sealing, ...answer }) => answer],
      ["ERR_ATTESTATION_FIELD", (answer) => ({ ...answer, sealing: "" })],
      ["ERR_PROTOCOL", (answer) => ({ ...answer, sealing: encodeBase64(own.config.subarray(0, 40)) })],
    ];
    for (const [code, change] of answers) {
      const posted = await postedBefore(code, async (request) => {
        const answer = await (await enclave.way(request)).json() as Answer;
        return Response.json(change(answer));
      });
      assert.equal(posted, 0, code);
    }
  });

  test("with an old document, one of another boot, or of another enclave: the request does not leave", async () => {
    using enclave = await SealedEnclave.start(nsm);
    using sibling = await SealedEnclave.start(nsm);
    using elsewhere = await SoftwareNsm.create();
    using simulated = await SealedEnclave.start(elsewhere);
    const old = await enclave.attest(encodeBase64(new Uint8Array(32)));
    const json = async (way: Way, request: Request) => await (await way(request)).json() as Answer;
    const answers: readonly (readonly [string, (request: Request) => Promise<unknown>])[] = [
      ["ERR_ATTESTATION_NONCE", () => Promise.resolve(old)],
      ["ERR_ATTESTATION_USER_DATA", async (request) => {
        const { document } = await json(sibling.way, request);
        return { ...await json(enclave.way, request), document };
      }],
      ["ERR_ATTESTATION_ROOT", (request) => json(simulated.way, request)],
    ];
    for (const [code, attest] of answers) {
      assert.equal(
        await postedBefore(code, async (request) => Response.json(await attest(request))),
        0,
        code,
      );
    }
  });

  test("which onAttested refuses, at once or after a while: the request does not leave", async () => {
    using enclave = await SealedEnclave.start(nsm);
    const refused = new AttestationError("BOOT", "Cannot trust enclave: another boot", { hint: "" });
    const refusing: readonly SealedFetchOptions["onAttested"][] = [
      () => {
        throw refused;
      },
      () => Promise.reject(refused),
      async () => {
        await Promise.resolve();
        throw refused;
      },
    ];
    for (const onAttested of refusing) {
      assert.equal(await postedBefore("ERR_ATTESTATION_BOOT", enclave.way, { onAttested }), 0);
    }
    const silent = { onAttested: () => new Promise<void>(() => {}), timeoutMs: 100 };
    assert.equal(await postedBefore("ERR_TIMEOUT", enclave.way, silent), 0);
  });

  test("with something that is no document: the request does not leave", async () => {
    for (const body of ["", "{}", "null", "[1]", "<html>", '{"document":"AAAA"}']) {
      const refused = await postedBefore(undefined, () => new Response(body));
      assert.equal(refused, 0, body);
    }
    assert.equal(await postedBefore("ERR_CHANNEL", () => new Response("{}", { status: 503 })), 0);
  });
});

interface Answer {
  readonly document?: string;
  readonly bootId?: string;
  readonly keys?: Readonly<Record<string, string>>;
  readonly sealing?: string;
}

function caller(way: Way, options: Partial<SealedFetchOptions> = {}): SealedFetch {
  const fetch: typeof globalThis.fetch = async (input, init) => await way(new Request(input, init));
  return sealedFetch("https://enclave.example/", {
    pcrs: { 0: nsm.pcr(0) },
    root: nsm.root,
    fetch,
    ...options,
  });
}

/** Passes the attestation on, and does something else with what is sealed. */
function onSealed(enclave: SealedEnclave, post: Way): Way {
  return (request) => request.method === "GET" ? enclave.way(request) : post(request);
}

/** Asks through a parent that answers for the enclave's keys so, and counts what leaves all the same. */
async function postedBefore(
  code: string | undefined,
  attest: Way,
  options: Partial<SealedFetchOptions> = {},
): Promise<number> {
  let posted = 0;
  const fetch = caller((request) => {
    if (request.method === "GET") return attest(request);
    posted++;
    return new Response(null, { status: 500 });
  }, options);
  await assert.rejects(fetch("/orders", REQUEST), (error: unknown) => {
    assert.ok(error instanceof EnclaveKmsError, String(error));
    if (code !== undefined) assert.equal(error.code, code);
    return true;
  });
  return posted;
}

function stale(): Response {
  const problem = JSON.stringify({ type: STALE_KEY_PROBLEM, title: "a lie" });
  return new Response(problem, { status: 400, headers: { "content-type": "application/problem+json" } });
}

function init({ method, headers }: Request): RequestInit {
  return { method, headers };
}
