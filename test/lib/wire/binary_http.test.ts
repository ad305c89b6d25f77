import assert from "node:assert/strict";
import { BHttpDecoder, BHttpEncoder } from "bhttp-js";
import { describe, test } from "#test";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { decodeHex, encodeHex } from "../../../lib/core/encoding.ts";
import { ProtocolError } from "../../../lib/core/errors.ts";
import {
  type BinaryRequest,
  decodeBinaryRequest,
  decodeBinaryResponse,
  encodeBinaryRequest,
  encodeBinaryResponse,
  type FieldLine,
  isSealable,
  PADDING_BLOCK_BYTES,
} from "../../../lib/wire/binary_http.ts";
import { RFC_9292 as RFC } from "./rfc_9292.ts";

const TEXT = new TextEncoder();
const REQUEST: BinaryRequest = {
  method: "POST",
  scheme: "https",
  authority: "enclave",
  path: "/v1/orders?a={1}&b=^`|",
  headers: [["content-type", "text/plain"], ["x-empty", ""], ["x-latin", "\xe9"], ["a", "1"], ["a", "2"]],
  content: TEXT.encode("attack at dawn"),
};

describe("the examples of RFC 9292", () => {
  const expected = {
    method: "GET",
    scheme: "https",
    authority: "",
    path: "/hello.txt",
    headers: [
      ["user-agent", "curl/7.16.3 libcurl/7.16.3 OpenSSL/0.9.7l zlib/1.2.3"],
      ["host", "www.example.com"],
      ["accept-language", "en, mi"],
    ],
    content: new Uint8Array(0),
  };

  test("a request, in both forms", () => {
    assert.deepEqual(decodeBinaryRequest(decodeHex(RFC.knownRequest)), expected);
    assert.deepEqual(decodeBinaryRequest(decodeHex(RFC.openRequest)), expected);
  });

  test("a request without the two empty parts and the ten bytes of padding at its end", () => {
    const known = decodeHex(RFC.knownRequest);
    const open = decodeHex(RFC.openRequest);
    for (let cut = 0; cut <= 2; cut++) {
      assert.deepEqual(decodeBinaryRequest(known.subarray(0, known.length - cut)), expected);
    }
    for (let cut = 0; cut <= 12; cut++) {
      assert.deepEqual(decodeBinaryRequest(open.subarray(0, open.length - cut)), expected);
    }
    assert.throws(() => decodeBinaryRequest(known.subarray(0, known.length - 3)), ProtocolError);
    assert.throws(() => decodeBinaryRequest(open.subarray(0, open.length - 13)), ProtocolError);
  });

  test("an answer; its interim answers are refused by name", () => {
    const bytes = decodeHex(RFC.openResponse);
    assert.throws(() => decodeBinaryResponse(bytes), {
      code: "ERR_PROTOCOL",
      message: /informational answer/,
    });
    const final = concatBytes([bytes.subarray(0, 1), bytes.subarray(RFC.interimEnd)]);
    const { status, headers, content } = decodeBinaryResponse(final);
    assert.equal(status, 200);
    assert.equal(headers.length, 8);
    assert.deepEqual(headers[0], ["date", "Mon, 27 Jul 2009 12:28:53 GMT"]);
    assert.deepEqual(headers[7], ["content-type", "text/plain"]);
    assert.equal(
      new TextDecoder().decode(content),
      "Hello World! My content includes a trailing CRLF.\r\n",
    );
  });

  test("an answer with a trailer, which is refused by name", () => {
    const bytes = decodeHex(RFC.trailerResponse);
    assert.throws(() => decodeBinaryResponse(bytes), { message: /trailers/ });
    const { content } = decodeBinaryResponse(bytes.subarray(0, RFC.trailerStart));
    assert.equal(new TextDecoder().decode(content), "This content contains CRLF.\r\n");
  });
});

describe("a request", () => {
  test("comes back as it was, in blocks of 256 bytes", () => {
    for (const length of [0, 1, 255, 256, 257, 65_536]) {
      const request = { ...REQUEST, content: new Uint8Array(length).fill(7) };
      const bytes = encodeBinaryRequest(request);
      assert.equal(bytes.length % PADDING_BLOCK_BYTES, 0);
      assert.deepEqual(decodeBinaryRequest(bytes), request);
    }
  });

  test("is read by another implementation", async () => {
    // It reads values as UTF-8.
    const headers = REQUEST.headers.filter(([name]) => name !== "x-latin");
    const read = new BHttpDecoder().decodeRequest(encodeBinaryRequest({ ...REQUEST, headers }));
    assert.equal(read.method, "POST");
    assert.equal(read.url, "https://enclave/v1/orders?a={1}&b=^`|");
    assert.equal(read.headers.get("content-type"), "text/plain");
    assert.equal(await read.text(), "attack at dawn");
  });

  test("of another implementation is read", async () => {
    const theirs = await new BHttpEncoder().encodeRequest(
      new Request("https://enclave/a", { method: "PUT", headers: { "x-a": "b" }, body: "hello" }),
    );
    const { method, scheme, authority, path, headers, content } = decodeBinaryRequest(theirs);
    assert.deepEqual([method, scheme, authority, path], ["PUT", "https", "enclave", "/a"]);
    assert.ok(headers.some(([name, value]) => name === "x-a" && value === "b"));
    assert.equal(new TextDecoder().decode(content), "hello");
  });

  test("in chunks is the same as in one piece", () => {
    const open = decodeHex(
      "02" + "03505554" + "056874747073" + "00" + "012f" + "0161" + "0162" + "00" +
        "026869" + "0121" + "00" + "00" + "0000",
    );
    assert.deepEqual(decodeBinaryRequest(open), {
      method: "PUT",
      scheme: "https",
      authority: "",
      path: "/",
      headers: [["a", "b"]],
      content: TEXT.encode("hi!"),
    });
  });

  test("is not read when it is cut off anywhere, but where empty parts may be left out", () => {
    const bytes = encodeBinaryRequest(REQUEST);
    const length = bytes.findLastIndex((byte) => byte !== 0) + 1;
    const allowed: number[] = [];
    for (let end = 0; end < length; end++) {
      try {
        decodeBinaryRequest(bytes.subarray(0, end));
        allowed.push(end);
      } catch (error) {
        assert.ok(error instanceof ProtocolError, String(error));
      }
    }
    // After the request line, and after the headers.
    assert.equal(allowed.length, 2);
    assert.deepEqual(decodeBinaryRequest(bytes.subarray(0, allowed[1])).headers, REQUEST.headers);
  });

  test("is refused with padding that hides something", () => {
    const bytes = encodeBinaryRequest(REQUEST);
    bytes[bytes.length - 1] = 1;
    assert.throws(() => decodeBinaryRequest(bytes), { message: /padding/ });
  });

  test("is refused with a method, scheme, authority or path that is none, by both ends", () => {
    const wrong: readonly Partial<BinaryRequest>[] = [
      { method: "" },
      { method: "GE T" },
      { method: "G\r\n" },
      { method: "A".repeat(33) },
      { scheme: "file" },
      { scheme: "" },
      { authority: "a/b" },
      { authority: "a b" },
      { authority: "user@host?x" },
      { path: "" },
      { path: "v1" },
      { path: "*" },
      { path: "/a b" },
      { path: "/a#b" },
      { path: "/a\\b" },
      { path: "/a\r\nb" },
      { path: "/\x80" },
    ];
    for (const part of wrong) {
      const request = { ...REQUEST, ...part };
      assert.throws(() => encodeBinaryRequest(request), ProtocolError, JSON.stringify(part));
      assert.throws(() => decodeBinaryRequest(rawRequest(request)), ProtocolError, JSON.stringify(part));
    }
    assert.deepEqual(
      decodeBinaryRequest(rawRequest(REQUEST)).headers,
      REQUEST.headers,
      "the others are taken",
    );
  });

  test("is refused with a header that HTTP/2 calls malformed, by both ends", () => {
    const wrong: readonly FieldLine[] = [
      ["", "a"],
      ["Upper", "a"],
      [":path", "/"],
      ["a b", "c"],
      ["a", " b"],
      ["a", "b\t"],
      ["a", "b\r\nc: d"],
      ["a", "b\0"],
      ["a", "b\x7f"],
      ["connection", "close"],
      ["transfer-encoding", "chunked"],
      ["te", "trailers"],
      ["upgrade", "websocket"],
      ["expect", "100-continue"],
    ];
    for (const line of wrong) {
      const request = { ...REQUEST, headers: [line] };
      assert.throws(() => encodeBinaryRequest(request), ProtocolError, JSON.stringify(line));
      assert.throws(() => decodeBinaryRequest(rawRequest(request)), ProtocolError, JSON.stringify(line));
    }
    assert.throws(() => encodeBinaryRequest({ ...REQUEST, headers: [["a", "\u{100}"]] }), ProtocolError);
    assert.equal(isSealable("content-type"), true);
    assert.equal(isSealable("connection"), false);
  });

  test("is refused when its content-length lies", () => {
    const of = (length: string) => rawRequest({ ...REQUEST, headers: [["content-length", length]] });
    assert.equal(decodeBinaryRequest(of("14")).content.length, 14);
    for (const length of ["13", "014", "+14", ""]) {
      assert.throws(() => decodeBinaryRequest(of(length)), { message: /content-length/ });
    }
  });

  test("is refused with more headers, or longer ones, than the limits", () => {
    const lines = (count: number): FieldLine[] => Array.from({ length: count }, () => ["a", "bc"]);
    const of = (count: number) => encodeBinaryRequest({ ...REQUEST, headers: lines(count) });
    assert.equal(decodeBinaryRequest(of(100)).headers.length, 100);
    assert.throws(() => decodeBinaryRequest(of(101)), { message: /too many/ });
    assert.equal(decodeBinaryRequest(of(4), { maxFieldLines: 4, maxFieldBytes: 12 }).headers.length, 4);
    assert.throws(() => decodeBinaryRequest(of(5), { maxFieldLines: 4 }), ProtocolError);
    assert.throws(() => decodeBinaryRequest(of(5), { maxFieldBytes: 14 }), ProtocolError);
  });

  test("is refused where an answer is due, and the other way round", () => {
    const answer = encodeBinaryResponse({ status: 200, headers: [], content: new Uint8Array(0) });
    assert.throws(() => decodeBinaryRequest(answer), { message: /not a request/ });
    assert.throws(() => decodeBinaryResponse(encodeBinaryRequest(REQUEST)), { message: /not an answer/ });
    for (const framing of ["04", "3f", "4004"]) {
      assert.throws(() => decodeBinaryRequest(decodeHex(framing + "00".repeat(8))), ProtocolError);
    }
  });
});

describe("an answer", () => {
  test("comes back as it was, and is read by another implementation", async () => {
    const answer = { status: 404, headers: [["x-a", "b"]] as const, content: TEXT.encode("not here") };
    const bytes = encodeBinaryResponse(answer);
    assert.equal(bytes.length, PADDING_BLOCK_BYTES);
    assert.deepEqual(decodeBinaryResponse(bytes), answer);
    const theirs = new BHttpDecoder().decodeResponse(bytes);
    assert.equal(theirs.status, 404);
    assert.equal(await theirs.text(), "not here");
  });

  test("of another implementation is read", async () => {
    const theirs = await new BHttpEncoder().encodeResponse(new Response("hello", { status: 201 }));
    const { status, content } = decodeBinaryResponse(theirs);
    assert.equal(status, 201);
    assert.equal(new TextDecoder().decode(content), "hello");
  });

  test("is refused with a status that is none", () => {
    for (const status of [0, 99, 100, 199, 600, 2 ** 40]) {
      assert.throws(
        () => encodeBinaryResponse({ status, headers: [], content: new Uint8Array(0) }),
        ProtocolError,
      );
    }
    for (const hex of ["0100", "014063", "014258", "01c0000001000000c8"]) {
      assert.throws(() => decodeBinaryResponse(decodeHex(hex)), ProtocolError, hex);
    }
    assert.equal(
      encodeHex(encodeBinaryResponse({ status: 200, headers: [], content: new Uint8Array(0) })).slice(0, 6),
      "0140c8",
    );
  });
});

/** Writes a request without looking at what is in it. */
function rawRequest({ method, scheme, authority, path, headers, content }: BinaryRequest): Uint8Array {
  const part = (text: string) => [text.length >> 8 | 0x40, text.length & 0xff, ...byteCodes(text)];
  const fields = headers.flatMap(([name, value]) => [...part(name), ...part(value)]);
  return concatBytes([
    [0, ...part(method), ...part(scheme), ...part(authority), ...part(path)],
    [fields.length >> 8 | 0x40, fields.length & 0xff, ...fields],
    [content.length >> 8 | 0x40, content.length & 0xff, ...content],
  ]);
}

function byteCodes(text: string): number[] {
  return Array.from(text, (character) => character.charCodeAt(0));
}
