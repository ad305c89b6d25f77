import { ProtocolError } from "../lib/core/errors.ts";
import { checkHostName } from "../lib/aws/region.ts";

const SERVER_NAME_EXTENSION = 0;
const HOST_NAME_TYPE = 0;
const NULL_COMPRESSION = 0;
const RANDOM_LENGTH = 32;
const MAX_SESSION_ID = 32;

/**
 * Reads the name in a ClientHello: RFC 8446, section 4.1.2, and RFC 6066, section 3.
 *
 * @param body Body of the message, without its header of four bytes
 * @returns Name of the server, in lower case
 * @throws {ProtocolError} When it is malformed, or has no name or more than one
 */
export function readServerName(body: Uint8Array): string {
  const hello = new Fields(body);
  if (hello.uint8() !== 3 || hello.uint8() > 3) throw malformed("its version is none of TLS");
  hello.take(RANDOM_LENGTH);
  if (hello.vector8().length > MAX_SESSION_ID) throw malformed("its session id is too long");
  const suites = hello.vector16();
  if (suites.length < 2 || suites.length % 2 !== 0) throw malformed("its cipher suites are no list");
  if (!hello.vector8().includes(NULL_COMPRESSION)) throw malformed("it wants compression");
  if (hello.isAtEnd) throw noName();
  const extensions = readExtensions(hello.vector16());
  hello.end();
  const names = extensions.get(SERVER_NAME_EXTENSION);
  if (names === undefined) throw noName();
  return readHostName(names);
}

function readExtensions(bytes: Uint8Array): ReadonlyMap<number, Uint8Array> {
  const fields = new Fields(bytes);
  const extensions = new Map<number, Uint8Array>();
  while (!fields.isAtEnd) {
    const type = fields.uint16();
    if (extensions.has(type)) throw malformed(`it has extension ${type} twice`);
    extensions.set(type, fields.vector16());
  }
  return extensions;
}

function readHostName(extension: Uint8Array): string {
  const fields = new Fields(extension);
  const list = new Fields(fields.vector16());
  fields.end();
  if (list.uint8() !== HOST_NAME_TYPE) throw malformed("its name is no host name");
  const name = list.vector16();
  list.end();
  try {
    return checkHostName(String.fromCharCode(...name.subarray(0, 254)));
  } catch {
    throw malformed("its name is no DNS name");
  }
}

/** Reader of fields, one after the other, none of which may go beyond the end. */
class Fields {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#bytes.length;
  }

  end(): void {
    if (!this.isAtEnd) throw malformed("a field of it goes on after its end");
  }

  take(length: number): Uint8Array {
    const end = this.#offset + length;
    if (end > this.#bytes.length) throw malformed("it ends within a field");
    const bytes = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return bytes;
  }

  uint8(): number {
    return this.take(1)[0] as number;
  }

  uint16(): number {
    return this.uint8() * 256 + this.uint8();
  }

  vector8(): Uint8Array {
    return this.take(this.uint8());
  }

  vector16(): Uint8Array {
    return this.take(this.uint16());
  }
}

function malformed(reason: string): ProtocolError {
  return new ProtocolError(`Cannot read the ClientHello: ${reason}`, {
    hint: "Is the caller a TLS client, and is nothing between it and here that changes bytes?",
  });
}

function noName(): ProtocolError {
  return new ProtocolError("Cannot read the ClientHello: it has no server name", {
    hint: "Does the caller connect by IP address? The relay needs the name (SNI) to know where to",
  });
}
