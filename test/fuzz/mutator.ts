import type { Random } from "./random.ts";

/** The bytes that limits and signs are made of. */
const EDGES = [
  0,
  1,
  2,
  0x0f,
  0x10,
  0x1f,
  0x20,
  0x7e,
  0x7f,
  0x80,
  0x81,
  0x82,
  0x84,
  0xa0,
  0xfe,
  0xff,
] as const;
/** Bytes that fill a block: NUL, blanks, brackets, the heads of nested DER and CBOR. */
const FILLERS = [0, 0x20, 0x2c, 0x30, 0x5b, 0x7b, 0x80, 0x81, 0xa1, 0xff] as const;
const MAX_STEPS = 6;
const MAX_BLOCK = 64;

type Bytes = Uint8Array<ArrayBuffer>;
type Step = (bytes: Bytes, random: Random, others: Others) => Bytes;

interface Others {
  readonly corpus: readonly Uint8Array[];
  readonly dictionary: readonly Uint8Array[];
}

/**
 * Changes an input in one to six places, as AFL's havoc does.
 *
 * @param input Not changed itself
 * @param random Decides everything
 * @param others Inputs to splice in
 * @param maxLength In bytes
 */
export function mutate(input: Uint8Array, random: Random, others: Others, maxLength: number): Bytes {
  let bytes: Bytes = input.slice() as Bytes;
  const steps = random.below(2) === 0 ? 1 : 1 + random.below(MAX_STEPS);
  for (let step = 0; step < steps; step++) {
    bytes = random.pick(STEPS)(bytes, random, others);
  }
  return bytes.length > maxLength ? bytes.slice(0, maxLength) : bytes;
}

const flipBit: Step = (bytes, random) => {
  const at = place(bytes, random);
  if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) ^ 1 << random.below(8);
  return bytes;
};

const setByte: Step = (bytes, random) => {
  if (bytes.length > 0) bytes[place(bytes, random)] = random.below(256);
  return bytes;
};

const setEdge: Step = (bytes, random) => {
  if (bytes.length > 0) bytes[place(bytes, random)] = random.pick(EDGES);
  return bytes;
};

const addToByte: Step = (bytes, random) => {
  const at = place(bytes, random);
  if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) + random.below(35) - 17;
  return bytes;
};

/** Lengths are numbers of two or four bytes. */
const setNumber: Step = (bytes, random) => {
  const size = random.pick([2, 4]);
  if (bytes.length < size) return bytes;
  const view = new DataView(bytes.buffer);
  const at = random.below(bytes.length - size + 1);
  const value = random.pick([
    0,
    1,
    bytes.length,
    bytes.length - at,
    0x7fff,
    0x8000,
    0xffff,
    0x7fffffff,
    0xffffffff,
  ]);
  if (size === 2) view.setUint16(at, value & 0xffff);
  else view.setUint32(at, value >>> 0);
  return bytes;
};

/** The next longer form of a length that says the same, as DER or as CBOR writes it. */
const lengthen: Step = (bytes, random) => {
  const at = place(bytes, random);
  const byte = bytes[at] ?? 0;
  if (random.below(2) === 0) {
    return replace(bytes, at, 1, byte < 0x80 ? Uint8Array.of(0x81, byte) : Uint8Array.of(byte + 1, 0));
  }
  const [major, rest] = [byte & 0xe0, byte & 0x1f];
  return replace(
    bytes,
    at,
    1,
    rest < 24 ? Uint8Array.of(major | 24, rest) : Uint8Array.of(byte + 1, ...new Uint8Array(1 << (rest & 3))),
  );
};

const remove: Step = (bytes, random) => {
  const at = place(bytes, random);
  return replace(bytes, at, 1 + random.below(blockLength(bytes, random)), new Uint8Array());
};

const repeat: Step = (bytes, random) => {
  const from = random.below(bytes.length);
  const block = bytes.slice(from, from + 1 + random.below(blockLength(bytes, random)));
  return replace(bytes, random.below(bytes.length + 1), 0, block);
};

const move: Step = (bytes, random) => {
  const from = random.below(bytes.length);
  const block = bytes.slice(from, from + 1 + random.below(blockLength(bytes, random)));
  return replace(bytes, random.below(bytes.length), block.length, block);
};

const insert: Step = (bytes, random) => {
  const block = Uint8Array.from({ length: 1 + random.below(8) }, () => random.below(256));
  return replace(bytes, random.below(bytes.length + 1), 0, block);
};

const fill: Step = (bytes, random) => {
  const block = new Uint8Array(1 + random.below(random.below(8) === 0 ? 5000 : MAX_BLOCK)).fill(
    random.pick(FILLERS),
  );
  const over = random.below(2) * block.length;
  return replace(bytes, random.below(bytes.length + 1), over, block);
};

const putWord: Step = (bytes, random, { dictionary }) => {
  if (dictionary.length === 0) return bytes;
  const word = random.pick(dictionary);
  return replace(bytes, random.below(bytes.length + 1), random.below(2) * word.length, word);
};

/** The beginning of this input, and the end of another one. */
const cross: Step = (bytes, random, { corpus }) => {
  const other = random.pick(corpus);
  return replace(
    bytes,
    random.below(bytes.length + 1),
    bytes.length,
    other.subarray(random.below(other.length)),
  );
};

const borrow: Step = (bytes, random, { corpus }) => {
  const other = random.pick(corpus);
  const from = random.below(other.length);
  const block = other.subarray(from, from + 1 + random.below(MAX_BLOCK));
  return replace(bytes, random.below(bytes.length + 1), random.below(2) * block.length, block);
};

const cut: Step = (bytes, random) => bytes.slice(0, random.below(bytes.length + 1));

const STEPS: readonly Step[] = [
  flipBit,
  flipBit,
  setByte,
  setEdge,
  setEdge,
  addToByte,
  setNumber,
  lengthen,
  remove,
  repeat,
  move,
  insert,
  fill,
  putWord,
  putWord,
  cross,
  borrow,
  cut,
];

/** Chooses a place, more often near the beginning or the end, where the structure of formats is. */
function place(bytes: Uint8Array, random: Random): number {
  const near = random.below(Math.min(bytes.length, 64));
  const where = random.below(4);
  if (where === 0) return near;
  return where === 1 ? Math.max(0, bytes.length - 1 - near) : random.below(bytes.length);
}

function blockLength(bytes: Uint8Array, random: Random): number {
  return random.below(4) === 0 ? bytes.length : Math.min(bytes.length, MAX_BLOCK);
}

function replace(bytes: Uint8Array, at: number, length: number, by: Uint8Array): Bytes {
  const rest = bytes.subarray(at + length);
  const whole = new Uint8Array(Math.min(at, bytes.length) + by.length + rest.length);
  whole.set(bytes.subarray(0, at));
  whole.set(by, Math.min(at, bytes.length));
  whole.set(rest, Math.min(at, bytes.length) + by.length);
  return whole;
}
