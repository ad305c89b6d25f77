import assert from "node:assert/strict";
import { describe, test } from "#test";
import { ReadBuffer } from "../../../lib/core/read_buffer.ts";

/** Reads so many bytes at a time, and tells the size of the buffer before each read and after the last. */
function sizesOf(counts: readonly number[]): number[] {
  const buffer = new ReadBuffer();
  const sizes = counts.map((count) => {
    const { length } = buffer.target;
    buffer.take(count);
    return length;
  });
  return [...sizes, buffer.target.length];
}

describe("ReadBuffer", () => {
  test("grows from 1 KiB to 64 KiB while reads fill it", () => {
    assert.deepEqual(sizesOf([1024, 8192, 65_536, 65_536]), [1024, 8192, 65_536, 65_536, 65_536]);
  });

  test("shrinks to what suits a small read at once", () => {
    assert.deepEqual(sizesOf([1024, 8192, 300]), [1024, 8192, 65_536, 1024]);
    assert.deepEqual(sizesOf([1024, 8192, 8192]), [1024, 8192, 65_536, 8192]);
    assert.deepEqual(sizesOf([1024, 8192, 8193]), [1024, 8192, 65_536, 65_536]);
  });

  test("stays small for small reads, in the same memory", () => {
    const buffer = new ReadBuffer();
    const first = buffer.target;
    for (const count of [1, 100, 512]) {
      buffer.take(count);
      assert.equal(buffer.target, first);
    }
  });

  test("gives bytes that the next read does not overwrite, copied or given away", () => {
    for (const count of [1, 512, 513, 1023, 1024]) {
      const buffer = new ReadBuffer();
      buffer.target.fill(7);
      const bytes = buffer.take(count);
      buffer.target.fill(9);
      assert.deepEqual(bytes, new Uint8Array(count).fill(7));
    }
  });

  test("keeps no copy of what it gives", () => {
    for (const count of [1, 512, 513, 1023, 1024]) {
      const buffer = new ReadBuffer();
      const { target } = buffer;
      target.fill(7, 0, count);
      const bytes = buffer.take(count);
      if (bytes.buffer !== target.buffer) assert.ok(target.every((byte) => byte === 0), `${count}`);
    }
  });

  test("holds no more than twice the bytes that it gives away", () => {
    for (const count of [1, 512, 513, 1024]) {
      const buffer = new ReadBuffer();
      assert.ok(buffer.take(count).buffer.byteLength <= 2 * count, `${count}`);
    }
  });

  test("uses memory again that was sent from, unless somebody holds it", () => {
    const buffer = new ReadBuffer();
    const first = buffer.target;
    buffer.release(100, true);
    assert.equal(buffer.target, first);
    buffer.release(100, false);
    assert.notEqual(buffer.target, first);
    const second = buffer.target;
    buffer.release(second.length, true);
    assert.equal(buffer.target.length, 8 * second.length);
  });

  test("asks for memory of the size that it needs", () => {
    const asked: number[] = [];
    const buffer = new ReadBuffer((size) => (asked.push(size), new Uint8Array(size)));
    for (const count of [1024, 8192, 1]) buffer.take(Math.min(count, buffer.target.length));
    assert.equal(buffer.target.length, 1024);
    assert.deepEqual(asked, [1024, 8192, 65_536, 1024]);
  });
});
