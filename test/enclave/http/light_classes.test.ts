import assert from "node:assert/strict";
import { describe, test } from "#test";
import { lightRequest } from "../../../enclave/http/light_request.ts";
import { plainAnswer, useLightClasses } from "../../../enclave/http/light_response.ts";

const [NativeRequest, NativeResponse] = [Request, Response];
const utf8 = new TextEncoder();

/** Describes an answer by all that a reader of it sees. */
async function seen(answer: Response) {
  const { status, statusText, ok, type, url, redirected, bodyUsed } = answer;
  const headers = [...answer.headers];
  const text = answer.body === null ? null : await answer.text();
  return { status, statusText, ok, type, url, redirected, bodyUsed, headers, text };
}

type Args = readonly [body?: ConstructorParameters<typeof Response>[0], init?: ResponseInit];

const ANSWERS: readonly Args[] = [
  [],
  [null],
  ["text"],
  [""],
  ["größer", { status: 404 }],
  ["{}", { headers: { "content-type": "application/json" } }],
  ["{}", { headers: { "Content-Type": "application/json", "X-One": "1" } }],
  ["a", { headers: new Headers([["x", "1"], ["set-cookie", "a=1"], ["set-cookie", "b=2"]]) }],
  ["a", { headers: [["x", "1"], ["x", "2"]] }],
  ["a", { headers: { "x": " padded\t" } }],
  ["a", { headers: { "X": "1", "x": "2" } }],
  [null, { status: 204 }],
  [null, { status: 301, headers: { location: "/a" } }],
  ["a", { statusText: "Fine" }],
  [utf8.encode("bytes")],
];

const REFUSED: readonly Args[] = [
  ["a", { status: 199 }],
  ["a", { status: 600 }],
  ["a", { status: 204 }],
  ["a", { headers: { "x": "a\r\nb: c" } }],
  ["a", { headers: { "x y": "1" } }],
  ["a", { headers: { "x": "\u0100" } }],
  ["a", { statusText: "\r\n" }],
];

describe("light answers", () => {
  test("are as the runtime's own, whatever they are asked", async () => {
    for (const args of ANSWERS) {
      const native = await seen(new NativeResponse(...args));
      using _light = useLightClasses();
      assert.deepEqual(await seen(new Response(...args)), native, JSON.stringify(args));
      const copied = new Response(...args);
      assert.deepEqual(await seen(copied.clone()), native);
      const rewrapped = new Response(copied.body, copied);
      assert.deepEqual((await seen(rewrapped)).text, native.text);
    }
  });

  test("refuse what the runtime refuses", () => {
    using _light = useLightClasses();
    for (const args of REFUSED) {
      assert.throws(() => new NativeResponse(...args), JSON.stringify(args));
      assert.throws(() => new Response(...args), JSON.stringify(args));
    }
  });

  test("pass for the runtime's, and so do subclasses and static methods", async () => {
    using _light = useLightClasses();
    const light = new Response("a");
    assert.ok(plainAnswer(light) !== undefined);
    for (const answer of [light, new NativeResponse("a"), Response.json({}), Response.error()]) {
      assert.ok(answer instanceof Response && answer instanceof NativeResponse);
    }
    class Own extends Response {}
    const own = new Own("a");
    assert.ok(own instanceof Own && own instanceof Response && plainAnswer(own) === undefined);
    assert.equal(await own.text(), "a");
    assert.equal(Response.name, "Response");
  });

  test("keep headers as they were when they were made, and those that are set later", () => {
    using _light = useLightClasses();
    const headers = new Headers({ x: "1" });
    const [first, second] = [new Response("a", { headers }), new Response("b", { headers })];
    headers.set("x", "2");
    first.headers.set("y", "3");
    assert.deepEqual(plainAnswer(first)?.lines.includes("3"), true);
    assert.equal(first.clone().headers.get("y"), "3");
    first.headers.set("y", "4");
    assert.equal(first.clone().headers.get("y"), "4");
    assert.deepEqual([first.headers.get("x"), second.headers.get("x"), second.headers.get("y")], [
      "1",
      "1",
      null,
    ]);
  });

  test("let nobody set what the runtime's do not", () => {
    using _light = useLightClasses();
    const [answer, { made }] = [new Response("a"), request()];
    assert.throws(() => Object.assign(answer, { status: "200 OK\r\nx: y" }), TypeError);
    assert.throws(() => Object.assign(made, { method: "GET" }), TypeError);
    assert.throws(() => Object.assign(made, { url: "http://other/" }), TypeError);
    assert.deepEqual([plainAnswer(answer)?.status, made.method, made.url], [
      200,
      "POST",
      "http://enclave/a?b=c",
    ]);
  });

  test("are sent as the runtime's own once something has asked for that", async () => {
    using _light = useLightClasses();
    const light = new Response("a");
    assert.equal(await light.text(), "a");
    assert.deepEqual([plainAnswer(light), light.bodyUsed], [undefined, true]);
    assert.equal(plainAnswer(new NativeResponse("a")), undefined);
  });

  test("end with their last user, and leave what somebody else has put in their place", () => {
    const [first, second] = [useLightClasses(), useLightClasses()];
    assert.notEqual(Response, NativeResponse);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    assert.notEqual(Response, NativeResponse);
    second[Symbol.dispose]();
    assert.deepEqual([Request === NativeRequest, Response === NativeResponse], [true, true]);
    const third = useLightClasses();
    class Other {}
    Object.assign(globalThis, { Response: Other });
    third[Symbol.dispose]();
    assert.equal(Response as unknown, Other);
    Object.defineProperty(globalThis, "Response", {
      value: NativeResponse,
      writable: true,
      configurable: true,
    });
  });
});

const LINES = ["host", "a", "x-one", "1", "x-two", "2a", "cookie", "a=1", "cookie", "b=2", "x-two", "2b"];

function request(method = "POST", text = "größer") {
  const gone = new AbortController();
  const made = lightRequest({
    method,
    url: "http://enclave/a?b=c",
    lines: LINES,
    body: utf8.encode(text),
    signal: () => gone.signal,
  });
  return { made, gone };
}

describe("light requests", () => {
  test("look up headers as the runtime's do, joined where there are several", () => {
    const { headers } = request().made;
    assert.ok(headers instanceof Headers);
    assert.deepEqual(["X-One", "x-two", "none"].map((name) => headers.get(name)), ["1", "2a, 2b", null]);
    assert.deepEqual(["X-Two", "none"].map((name) => headers.has(name)), [true, false]);
    assert.match(headers.get("cookie") ?? "", /^a=1; b=2$/);
    assert.throws(() => headers.get("x y"), TypeError);
    assert.deepEqual([...headers].map(([name]) => name), ["cookie", "host", "x-one", "x-two"]);
    assert.deepEqual([...new Headers(headers)].length, 4);
    assert.equal(headers.get("cookie"), "a=1; b=2");
    headers.set("x-one", "9");
    assert.deepEqual([headers.get("x-one"), headers.has("x-one")], ["9", true]);
  });

  test("read a body once, in each form", async () => {
    assert.equal(await request().made.text(), "größer");
    assert.deepEqual(await request("PUT", "[1]").made.json(), [1]);
    assert.deepEqual(new Uint8Array(await request().made.arrayBuffer()), utf8.encode("größer"));
    assert.deepEqual(await request().made.bytes(), utf8.encode("größer"));
    assert.equal(await (await request().made.blob()).text(), "größer");
    const { made } = request();
    assert.equal(made.bodyUsed, false);
    await made.text();
    assert.equal(made.bodyUsed, true);
    await assert.rejects(made.text(), TypeError);
    await assert.rejects(made.arrayBuffer(), TypeError);
    await assert.rejects(request("POST", "no JSON").made.json(), SyntaxError);
  });

  test("have no body where fetch() knows none", async () => {
    for (const method of ["GET", "HEAD"]) {
      const { made } = request(method);
      assert.deepEqual([await made.text(), made.body], ["", null]);
    }
  });

  test("make the runtime's own for the rest, which reads the same body once", async () => {
    const { made, gone } = request();
    assert.ok(made instanceof Request);
    const copy = made.clone();
    assert.deepEqual([copy.method, copy.url, copy.headers.get("x-two")], [
      "POST",
      "http://enclave/a?b=c",
      "2a, 2b",
    ]);
    assert.deepEqual([await copy.text(), await made.text()], ["größer", "größer"]);
    await assert.rejects(made.text(), TypeError);
    assert.equal(made.redirect, "follow");
    gone.abort();
    assert.deepEqual([made.signal.aborted, copy.signal.aborted], [true, true]);
    for (const method of ["POST", "GET"]) {
      const changed = request(method).made;
      const { headers } = changed;
      changed.clone();
      headers.delete("x-one");
      headers.set("x-two", "3");
      const { headers: later } = changed.clone();
      assert.deepEqual([later.get("x-one"), later.get("x-two"), headers.get("x-one")], [null, "3", null]);
    }
    const used = request().made;
    await used.text();
    assert.equal(used.body?.locked ?? true, true);
    await assert.rejects(used.formData(), TypeError);
  });

  test("are taken by new Request() where light classes are in use", async () => {
    using _light = useLightClasses();
    const made = new Request(request().made, { headers: { "x-own": "1" } });
    assert.ok(made instanceof NativeRequest);
    assert.deepEqual([made.method, made.headers.get("x-own"), await made.text()], ["POST", "1", "größer"]);
    class Own extends Request {}
    assert.ok(new Own("http://enclave/") instanceof Own);
  });
});
