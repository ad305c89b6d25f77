import { ProtocolError } from "../lib/core/errors.ts";
import { readServerName } from "./client_hello_body.ts";

/** Most bytes of a connection in which the ClientHello must end. */
export const MAX_CLIENT_HELLO_BYTES = 16_384;

/** Size of the memory at first, in bytes; most are no longer. */
const FIRST_SIZE = 2048;

const RECORD_HEADER = 5;
const HANDSHAKE_HEADER = 4;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;

/** Largest fragment of a TLSPlaintext: RFC 8446, section 5.1. */
const MAX_FRAGMENT = 16_384;

/**
 * Reader of the name in the first message of a TLS connection, its ClientHello, which may come in any number of records
 * and pieces: RFC 8446, sections 4.1.2 and 5.1, and RFC 6066, section 3. It reads strictly: what does not end where its
 * lengths say, comes twice, or does not belong there, is refused.
 *
 * Not guaranteed: that it is the name that the client means. With Encrypted Client Hello it is the outer one.
 */
export class ClientHelloReader {
  #bytes = new Uint8Array(FIRST_SIZE);
  #length = 0;
  /** Place of the next record in `#bytes`. */
  #record = 0;
  #message = new Uint8Array(FIRST_SIZE);
  #messageLength = 0;

  /** Bytes that were taken so far, at most 16384: valid until the next ones are. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /**
   * Takes the next bytes of the connection.
   *
   * @param chunk Bytes, at least one
   * @returns Name of the server in lower case; undefined while the message is not complete
   * @throws {ProtocolError} When it is no ClientHello with exactly one name, or is not complete within 16384 bytes
   */
  push(chunk: Uint8Array): string | undefined {
    const taken = chunk.subarray(0, MAX_CLIENT_HELLO_BYTES - this.#length);
    this.#bytes = withRoom(this.#bytes, this.#length + taken.length);
    this.#bytes.set(taken, this.#length);
    this.#length += taken.length;
    const body = this.#readRecords();
    if (body !== undefined) return readServerName(body);
    if (this.#length === MAX_CLIENT_HELLO_BYTES) {
      throw notAHello(`it is not complete within ${MAX_CLIENT_HELLO_BYTES} bytes`);
    }
    return undefined;
  }

  /** Reads the records that are complete. */
  #readRecords(): Uint8Array | undefined {
    for (;;) {
      const header = this.#bytes.subarray(this.#record, this.#length);
      checkRecordHeader(header);
      if (header.length < RECORD_HEADER) return undefined;
      const end = RECORD_HEADER + uint16(header, 3);
      if (header.length < end) return undefined;
      const fragment = header.subarray(RECORD_HEADER, end);
      this.#message = withRoom(this.#message, this.#messageLength + fragment.length);
      this.#message.set(fragment, this.#messageLength);
      this.#messageLength += fragment.length;
      this.#record += end;
      const body = this.#readMessage();
      if (body !== undefined) return body;
    }
  }

  #readMessage(): Uint8Array | undefined {
    const message = this.#message.subarray(0, this.#messageLength);
    if (message[0] !== CLIENT_HELLO) throw notAHello("its first message is another one");
    if (message.length < HANDSHAKE_HEADER) return undefined;
    const length = ((message[1] ?? 0) << 16) + uint16(message, 2);
    if (length + HANDSHAKE_HEADER + RECORD_HEADER > MAX_CLIENT_HELLO_BYTES) {
      throw notAHello(`it is longer than ${MAX_CLIENT_HELLO_BYTES} bytes`);
    }
    const body = message.subarray(HANDSHAKE_HEADER);
    if (body.length > length) throw notAHello("its record goes on after it");
    return body.length === length ? body : undefined;
  }
}

/** Makes memory of twice the size, as often as it takes: a caller that sends nothing holds little. */
function withRoom(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  let size = bytes.length;
  while (size < length) size *= 2;
  if (size === bytes.length) return bytes;
  const larger = new Uint8Array(size);
  larger.set(bytes);
  return larger;
}

function checkRecordHeader(header: Uint8Array): void {
  const [type = HANDSHAKE_RECORD, major = 3, minor = 1] = header;
  if (type !== HANDSHAKE_RECORD || major !== 3 || minor > 3) throw notAHello("it does not begin as TLS does");
  if (header.length < RECORD_HEADER) return;
  const length = uint16(header, 3);
  if (length === 0 || length > MAX_FRAGMENT) throw notAHello("a record of it is empty or too long");
}

/**
 * Reads an unsigned number of two bytes.
 *
 * @param bytes Bytes, at least `offset + 2`
 * @param offset Place of the first
 */
export function uint16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) + (bytes[offset + 1] ?? 0);
}

function notAHello(reason: string): ProtocolError {
  return new ProtocolError(`Cannot read the ClientHello: ${reason}`, {
    hint: "Does the caller speak TLS on this port, and nothing before it?",
  });
}
