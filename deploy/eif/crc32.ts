/** Tables of the polynomial 0xEDB88320: entry `k * 256 + b` is byte b followed by k zero bytes. */
const TABLES = makeTables();

function makeTables(): Uint32Array {
  const tables = new Uint32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    tables[byte] = value;
  }
  for (let at = 256; at < tables.length; at++) {
    const before = tables[at - 256]!;
    tables[at] = (before >>> 8) ^ tables[before & 0xff]!;
  }
  return tables;
}

/** CRC-32 of bytes that come in pieces, as zlib computes it (CRC-32/ISO-HDLC). It protects from accidents only. */
export class Crc32 {
  #register = 0xffffffff;

  /** CRC-32 of the bytes so far, from 0 to 2^32 - 1. */
  get value(): number {
    return ~this.#register >>> 0;
  }

  /**
   * Takes bytes in, eight at a time.
   *
   * @param bytes Any number of bytes
   */
  update(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const inEights = bytes.length & ~7;
    let crc = this.#register;
    for (let at = 0; at < inEights; at += 8) {
      const low = (view.getUint32(at, true) ^ crc) >>> 0;
      const high = view.getUint32(at + 4, true);
      crc = TABLES[1792 + (low & 0xff)]! ^ TABLES[1536 + (low >>> 8 & 0xff)]! ^
        TABLES[1280 + (low >>> 16 & 0xff)]! ^ TABLES[1024 + (low >>> 24)]! ^
        TABLES[768 + (high & 0xff)]! ^ TABLES[512 + (high >>> 8 & 0xff)]! ^
        TABLES[256 + (high >>> 16 & 0xff)]! ^ TABLES[high >>> 24]!;
    }
    for (let at = inEights; at < bytes.length; at++) crc = (crc >>> 8) ^ TABLES[(crc ^ bytes[at]!) & 0xff]!;
    this.#register = crc;
  }
}
