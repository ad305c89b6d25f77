import assert from "node:assert/strict";
import { BHttpDecoder } from "bhttp-js";
import { describe, test } from "#test";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { ProtocolError } from "../../../lib/core/errors.ts";
import { decodeBinaryResponse, encodeBinaryResponse, type FieldLine } from "../../../lib/wire/binary_http.ts";
import {
  encodeContent,
  encodeContentEnd,
  encodeResponseHead,
  readContent,
  readResponseHead,
} from "../../../lib/wire/binary_http_stream.ts";
import { ByteSource } from "../../../lib/wire/byte_source.ts";

const HEADERS: readonly FieldLine[] = [["content-type", "text/plain"], ["x-a", "\x80\xff"], ["x-b", ""]];
const CONTENT = ["one", "x".repeat(70), "y".repeat(20_000)];

/** Writes a message as an enclave does. */
function write(contents: readonly string[] = CONTENT, headers = HEADERS): Uint8Array<ArrayBuffer> {
  const parts = [
    encodeResponseHead({ status: 201, headers }),
    ...contents.map((content) => encodeContent(new TextEncoder().encode(content))),
  ];
  return concatBytes([...parts, encodeContentEnd(concatBytes(parts).length)]);
}

function sourceOf(message: Uint8Array, size = message.length): ByteSource {
  let at = 0;
  return new ByteSource(() => {
    const piece = message.subarray(at, at + size);
    at += size;
    return Promise.resolve(piece.length === 0 ? undefined : piece);
  });
}

async function read(message: Uint8Array, size?: number) {
  const source = sourceOf(message, size);
  const head = await readResponseHead(source);
  return { ...head, content: concatBytes(await Array.fromAsync(readContent(source))) };
}

const refused = (message: Uint8Array, what: string) => assert.rejects(read(message), ProtocolError, what);

describe("answers of indeterminate length", () => {
  test("are read as they were written, in pieces of any size, and as the other reader reads them", async () => {
    for (const contents of [CONTENT, []]) {
      const message = write(contents);
      assert.equal(message.length % 256, 0);
      const expected = decodeBinaryResponse(message);
      assert.equal(new TextDecoder().decode(expected.content), contents.join(""));
      for (const size of [1, 3, 255, message.length]) {
        assert.deepEqual(await read(message, size), {
          ...expected,
          content: new Uint8Array(expected.content),
        });
      }
    }
  });

  test("are understood by bhttp-js", async () => {
    const response = new BHttpDecoder().decodeResponse(write(CONTENT, HEADERS.slice(0, 1)));
    assert.equal(response.status, 201);
    assert.equal(response.headers.get("content-type"), "text/plain");
    assert.equal(await response.text(), CONTENT.join(""));
  });

  test("give their content as it comes", async () => {
    const message = write(["one", "two"]);
    const end = new TextDecoder("latin1").decode(message).indexOf("two") + 3;
    let isLate = false;
    const source = new ByteSource(() => {
      if (isLate) return Promise.reject(new Error("nothing more is there"));
      isLate = true;
      return Promise.resolve(message.subarray(0, end));
    });
    await readResponseHead(source);
    const content = readContent(source);
    assert.equal(new TextDecoder().decode((await content.next()).value ?? undefined), "one");
    assert.equal(new TextDecoder().decode((await content.next()).value ?? undefined), "two");
    await assert.rejects(content.next(), /nothing more/);
  });

  test("are refused when they are cut off before their padding", async () => {
    const message = write(["one"]);
    const end = message.findLastIndex((byte) => byte !== 0) + 1;
    for (let length = 0; length < end + 2; length++) {
      await refused(message.subarray(0, length), String(length));
    }
    assert.equal((await read(message.subarray(0, end + 2))).status, 201, "padding may be left out");
  });

  test("are refused in another form, with trailers, with padding that says something, and over the limits", async () => {
    const known = encodeBinaryResponse({ status: 200, headers: [], content: new Uint8Array(1) });
    await refused(known, "of known length");
    await refused(Uint8Array.of(2, 64, 200, 0, 0, 0), "a request");
    await refused(Uint8Array.of(3, 100, 0, 0, 0), "1xx");
    await refused(Uint8Array.of(3, 64, 200, 0, 0, 1, 97, 1, 98, 0), "trailers");
    await refused(Uint8Array.of(3, 64, 200, 0, 0, 0, 1), "padding");
    await refused(Uint8Array.of(3, 64, 200, 1, 65, 1, 98, 0, 0, 0), "a name in uppercase");
    await refused(Uint8Array.of(3, 64, 200, 0xbf, 0xff, 0xff, 0xff, 97), "a name of a gigabyte");
    const many = Array.from({ length: 101 }, (): FieldLine => ["a", "b"]);
    await refused(write([], many), "too many headers");
    await refused(write([], [["a", "b".repeat(16_384)]]), "headers that are too long");
    for (const line of [["connection", "close"], ["A", "b"], ["a", "b\n"]] as const) {
      assert.throws(() => encodeResponseHead({ status: 200, headers: [line] }), ProtocolError);
    }
    assert.throws(() => encodeResponseHead({ status: 100, headers: [] }), ProtocolError);
  });
});
