import { ProtocolError } from "../../../lib/core/errors.ts";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { ClientHelloReader, MAX_CLIENT_HELLO_BYTES } from "../../../parent/client_hello.ts";
import { dictionary, expect, expectSame, type FuzzTarget } from "../target.ts";

/**
 * The first message of a TLS connection, whose name decides where the connection goes. The first byte decides in what
 * chunks it comes; that must not matter.
 */
export const hello: FuzzTarget = {
  name: "hello",
  maxLength: MAX_CLIENT_HELLO_BYTES + 100,
  covers: ["parent/client_hello.ts", "parent/client_hello_body.ts"],
  dictionary: dictionary(
    "0x160301",
    "0x160303",
    "0x150301",
    "0x0100",
    "0x0303",
    "0x00000000",
    "0x002b",
    "0x0015",
    "0x1301",
    "0xfe0d",
    "a.example",
    "127.0.0.1",
    "*.example",
    "0x4000",
    "0x4001",
    "0xffff",
  ),
  seeds: () => Promise.resolve(SEEDS.map((bytes) => Uint8Array.of(99, ...bytes))),
  run(input) {
    const [chunkBytes = 0] = input;
    const bytes = input.subarray(1);
    const verdict = read(bytes, 1 + chunkBytes);
    if (!verdict.startsWith("Cannot")) expectSame(read(bytes, bytes.length + 1), verdict, "in one chunk");
    if (verdict.startsWith("name ")) checkName(verdict.slice(5), bytes);
    return verdict.startsWith("name ") ? "name" : verdict;
  },
};

function read(bytes: Uint8Array, chunkBytes: number): string {
  const reader = new ClientHelloReader();
  try {
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      const name = reader.push(bytes.subarray(at, at + chunkBytes));
      if (name !== undefined) return `name ${name}`;
    }
    return "incomplete";
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return error.message.replaceAll(/\d+/g, "N");
  }
}

/** Finds the name by another way: the records joined, and from the end of the message's fixed parts on. */
function checkName(name: string, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fragments: Uint8Array[] = [];
  for (let at = 0; at + 5 <= bytes.length && bytes[at] === 22; at += 5 + view.getUint16(at + 3)) {
    fragments.push(bytes.subarray(at + 5, at + 5 + view.getUint16(at + 3)));
  }
  const message = concatBytes(fragments);
  const joined = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = 4 + 2 + 32;
  at += 1 + joined.getUint8(at);
  at += 2 + joined.getUint16(at);
  at += 1 + joined.getUint8(at);
  const end = at + 2 + joined.getUint16(at);
  const found: string[] = [];
  for (at += 2; at < end; at += 4 + joined.getUint16(at + 2)) {
    if (joined.getUint16(at) !== 0) continue;
    const length = joined.getUint16(at + 7);
    found.push(String.fromCharCode(...message.subarray(at + 9, at + 9 + length)).toLowerCase());
  }
  expectSame(found, [name], "the names of the message");
  expect(end === 4 + joined.getUint32(0) % 0x100_0000, "the extensions are not the message's end");
  expect(/^[a-z0-9.-]{1,253}$/.test(name) && !/^[0-9.]+$/.test(name), "it is no DNS name");
}

const u16 = (value: number) => [value >> 8, value & 0xff];
const vector = (bytes: readonly number[]) => [...u16(bytes.length), ...bytes];
const record = (fragment: readonly number[]) => [22, 3, 1, ...vector(fragment)];
const name = vector(vector([0, ...vector([...new TextEncoder().encode("a.s3.eu-central-1.amazonaws.com")])]));
const body = (extensions: readonly number[]) => [
  ...[3, 3, ...new Array<number>(32).fill(7), 0, 0, 2, 0x13, 1, 1, 0],
  ...vector(extensions),
];
const message = (content: readonly number[]) => [1, 0, ...vector(content)];
const plain = message(body([0, 0, ...name]));

const SEEDS: readonly (readonly number[])[] = [
  record(plain),
  record(message(body([0, 43, 0, 3, 2, 3, 4, 0, 0, ...name, 0, 21, 0, 9, ...new Array<number>(9).fill(0)]))),
  [...record(plain.slice(0, 2)), ...record(plain.slice(2, 50)), ...record(plain.slice(50))],
  record(message(body([0, 43, 0, 3, 2, 3, 4]))),
];
