/** Place in the framing that the next byte belongs to. */
type Place = "size" | "size-end" | "data" | "data-end" | "data-line" | "last-end" | "last-line" | "end";

/** Digits of a chunk's size, at most. */
const MAX_DIGITS = 8;

const CR = 13;
const LF = 10;

/**
 * Reader of a chunked body (RFC 9112, section 7.1). Extensions of chunks and trailers are refused: nobody sends them,
 * and they are bytes without a bound.
 */
export class ChunkedBody {
  #place: Place = "size";
  #size = 0;
  #digits = 0;

  /** Whether the body has come whole. */
  get isWhole(): boolean {
    return this.#place === "end";
  }

  /**
   * Reads on, to the end of the body or of the bytes.
   *
   * @param bytes Bytes that came
   * @param take Gets the content, in views of `bytes`
   * @returns The number of bytes that belong to the body; -1 when they are no chunks
   */
  push(bytes: Uint8Array, take: (content: Uint8Array) => void): number {
    let at = 0;
    while (at < bytes.length && this.#place !== "end") {
      if (this.#place !== "data") {
        if (!this.#step(bytes[at++] as number)) return -1;
        continue;
      }
      const content = bytes.subarray(at, at + this.#size);
      at += content.length;
      this.#size -= content.length;
      if (this.#size === 0) this.#place = "data-end";
      take(content);
    }
    return at;
  }

  #step(byte: number): boolean {
    switch (this.#place) {
      case "size":
        return this.#readSize(byte);
      case "size-end":
        this.#digits = 0;
        return this.#expect(byte, LF, this.#size === 0 ? "last-end" : "data");
      case "data-end":
        return this.#expect(byte, CR, "data-line");
      case "data-line":
        return this.#expect(byte, LF, "size");
      case "last-end":
        return this.#expect(byte, CR, "last-line");
      default:
        return this.#expect(byte, LF, "end");
    }
  }

  #readSize(byte: number): boolean {
    if (byte === CR) return this.#digits > 0 && this.#expect(byte, CR, "size-end");
    const digit = digitOf(byte);
    if (digit === undefined || ++this.#digits > MAX_DIGITS) return false;
    this.#size = this.#size * 16 + digit;
    return true;
  }

  #expect(byte: number, expected: number, next: Place): boolean {
    this.#place = next;
    return byte === expected;
  }
}

function digitOf(byte: number): number | undefined {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : undefined;
}
