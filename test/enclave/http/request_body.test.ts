import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "#test";
import { ChunkedBody } from "../../../enclave/http/chunked_body.ts";
import { StreamedBody, WholeBody } from "../../../enclave/http/request_body.ts";

/** Reads a body in pieces of a size. */
function read(text: string, size: number) {
  const body = new ChunkedBody();
  let [content, used] = ["", 0];
  for (let at = 0; at < text.length && !body.isWhole; at += size) {
    const piece = Buffer.from(text.slice(at, at + size), "latin1");
    const count = body.push(piece, (part) => content += Buffer.from(part).toString("latin1"));
    if (count < 0) return undefined;
    used += count;
  }
  return { content, used, isWhole: body.isWhole };
}

describe("ChunkedBody", () => {
  test("reads chunks however they are cut, and nothing behind the last", () => {
    for (
      const [text, content] of [
        ["0\r\n\r\n", ""],
        ["5\r\nhello\r\n0\r\n\r\n", "hello"],
        ["5\r\nhello\r\n0b\r\n, w0rld\r\n\r\n\r\n000\r\n\r\n", "hello, w0rld\r\n\r\n"],
        ["1\r\n0\r\n0000000A\r\n0\r\n\r\n01234\r\n0\r\n\r\n", "00\r\n\r\n01234"],
      ] as const
    ) {
      for (const size of [1, 2, 3, 5, 1000]) {
        assert.deepEqual(
          read(`${text}GET / HTTP/1.1`, size),
          { content, used: text.length, isWhole: true },
          `${JSON.stringify(text)} by ${size}`,
        );
      }
      assert.equal(read(text.slice(0, -1), 1)?.isWhole, false);
    }
  });

  test("refuses extensions, trailers, bare ends of lines and sizes that are none", () => {
    for (
      const text of [
        ...[
          "\r\n",
          "x\r\n",
          "-1\r\n",
          "+1\r\n",
          "0x1\r\n",
          " 1\r\n",
          "1 \r\n",
          "1;a=b\r\n",
          "1\n",
          "1\rx",
          "@\r\n",
        ],
        ...["g\r\n", "G\r\n", "`\r\n", ":\r\n", "/\r\n"],
        ...[
          "000000001\r\nx\r\n",
          "1\r\nxy\r\n",
          "1\r\nx\n",
          "1\r\nx\ry",
          "0\r\nx: 1\r\n\r\n",
          "0\r\n\n",
          "0\r\n\rx",
        ],
      ]
    ) {
      for (const size of [1, 1000]) {
        assert.equal(read(text, size), undefined, `${JSON.stringify(text)} by ${size}`);
      }
    }
  });
});

describe("WholeBody", () => {
  test("keeps what fits, grows with what comes, and wipes it in the end", () => {
    const body = new WholeBody(5000);
    for (let piece = 0; piece < 50; piece++) body.take(new Uint8Array(100).fill(piece + 1));
    const { bytes } = body;
    assert.deepEqual([bytes.length, bytes[0], bytes[4999], body.isTooLarge], [5000, 1, 50, false]);
    body.abandon();
    assert.ok(bytes.every((byte) => byte === 0));
  });

  test("keeps nothing of a body that is too large, and gives up on one that is far too large", () => {
    const body = new WholeBody(100);
    body.take(new Uint8Array(100).fill(7));
    const { bytes } = body;
    body.take(new Uint8Array(1));
    assert.deepEqual([body.isTooLarge, body.isHopeless, bytes.some((byte) => byte !== 0)], [
      true,
      false,
      false,
    ]);
    body.take(new Uint8Array(1 << 20));
    assert.equal(body.isHopeless, true);
  });

  test("leaves no copy in memory that it has outgrown", () => {
    const made: Uint8Array[] = [];
    const body = new WholeBody(10_000);
    for (let piece = 0; piece < 100; piece++) {
      body.take(new Uint8Array(100).fill(7));
      if (made.at(-1)?.buffer !== body.bytes.buffer) made.push(body.bytes);
    }
    assert.ok(made.length > 2);
    for (const outgrown of made.slice(0, -1)) assert.ok(outgrown.every((byte) => byte === 0));
  });
});

describe("StreamedBody", () => {
  test("wants more when what came is read, gives copies, and ends", async () => {
    let wanted = 0;
    const body = new StreamedBody(() => wanted++);
    const reader = body.stream.getReader();
    const content = new Uint8Array([1, 2]);
    body.take(content);
    content.fill(0);
    assert.equal(body.wantsMore, false);
    assert.deepEqual((await reader.read()).value, new Uint8Array([1, 2]));
    assert.deepEqual([body.wantsMore, wanted > 0], [true, true]);
    body.end();
    assert.equal((await reader.read()).done, true);
    body.abandon();
  });

  test("throws away what comes after nobody reads it any more, and wants all of it", async () => {
    const body = new StreamedBody(() => {});
    body.take(new Uint8Array(1));
    await body.stream.cancel();
    assert.equal(body.wantsMore, true);
    body.take(new Uint8Array(1));
    body.end();
  });
});
