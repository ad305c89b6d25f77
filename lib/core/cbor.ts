/**
 * Items of CBOR (RFC 8949), read in the form they were written in. The caller of {@link readCbor} judges which forms
 * are allowed where. It needs nothing but the language, and so runs in browsers, too.
 *
 * @module
 */

/** Kind of an item, by major type; floats are told apart from the other simple values. */
export type CborType =
  | "unsigned"
  | "negative"
  | "bytes"
  | "text"
  | "array"
  | "map"
  | "tag"
  | "simple"
  | "float";

/** Item, with its place in the bytes that it was read from. */
export interface CborItem {
  readonly type: CborType;
  /** Number in its head: a value, a length or a tag; above 2^53 rounded to the nearest. Zero for floats. */
  readonly argument: number;
  /** Whether the number in its head is in its shortest form. */
  readonly isShortest: boolean;
  /** Whether its length was left open: a string is then in chunks, its {@link items}. */
  readonly isIndefinite: boolean;
  /** Items inside: elements, keys and values by turns, the tagged item, or chunks. */
  readonly items: readonly CborItem[];
  /** Levels of arrays, maps and tags, itself included: 0 for `1`, 1 for `[1]`. */
  readonly height: number;
  /** View of all its bytes, with its head. */
  readonly encoded: Uint8Array;
  /** View of the bytes after its head, such as those of a string. */
  readonly content: Uint8Array;
}

/** Most levels that are read, since the reader takes stack by the level. A deeper item counts as malformed. */
export const MAX_CBOR_HEIGHT = 64;

/**
 * Reads an item with everything in it, in time and memory proportional to its bytes, whatever they are.
 *
 * The item must be well-formed (RFC 8949, appendix C). The caller judges the rest: heads that are longer than
 * necessary, open lengths, a key that is there twice, text that is not UTF-8, tags and floats are all read.
 *
 * @param bytes One item, complete and with nothing after it
 * @returns The item; undefined when it is not well-formed, or deeper than {@link MAX_CBOR_HEIGHT}
 */
export function readCbor(bytes: Uint8Array): CborItem | undefined {
  try {
    const item = new Reader(bytes).item(0);
    return item.encoded.length === bytes.length ? item : undefined;
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}

/**
 * Decodes the text of an item.
 *
 * @param item Any item, or none
 * @returns The text; undefined when it is no text, in chunks, or not UTF-8
 */
export function cborText(item: CborItem | undefined): string | undefined {
  if (item?.type !== "text" || item.isIndefinite) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(item.content);
  } catch {
    return undefined;
  }
}

/**
 * Pairs the items of a map.
 *
 * @param map An item that is a map
 * @returns Its keys and values, in order
 */
export function cborEntries({ items }: CborItem): (readonly [key: CborItem, value: CborItem])[] {
  return Array.from({ length: items.length / 2 }, (_, i) => [items[2 * i]!, items[2 * i + 1]!]);
}

class MalformedError extends Error {}

const TYPES: readonly CborType[] = ["unsigned", "negative", "bytes", "text", "array", "map", "tag", "simple"];
/** Value of a head's low five bits that stands for a number in the following byte. */
const ONE_BYTE_FOLLOWS = 24;
const TWO_BYTES_FOLLOW = 25;
const EIGHT_BYTES_FOLLOW = 27;
const LENGTH_IS_OPEN = 31;
/** Byte that ends an item of open length. */
const BREAK = 0xff;
/** Least numbers for which heads of 2, 3, 5 and 9 bytes are the shortest. */
const SHORTEST_FROM = [24, 0x100, 0x10000, 0x100000000];
/** Major type of simple values and floats. */
const SIMPLE = 7;
const CAN_BE_OPEN: ReadonlySet<CborType> = new Set(["bytes", "text", "array", "map"]);
const HOLDERS: ReadonlySet<CborType> = new Set(["array", "map", "tag"]);
const NOTHING: readonly CborItem[] = [];

/** Item that makes its views on demand: a document may hold thousands of items. */
class ReadItem implements CborItem {
  readonly type: CborType;
  readonly argument: number;
  readonly isShortest: boolean;
  readonly isIndefinite: boolean;
  readonly items: readonly CborItem[];
  readonly height: number;
  readonly #source: Uint8Array;
  readonly #start: number;
  readonly #contentStart: number;
  readonly #end: number;

  constructor(source: Uint8Array, head: Head, items: readonly CborItem[], end: number) {
    this.type = head.type;
    this.argument = head.argument;
    this.isShortest = head.isShortest;
    this.isIndefinite = head.isIndefinite;
    this.items = items;
    const inner = items.reduce((most, { height }) => Math.max(most, height), 0);
    this.height = HOLDERS.has(head.type) ? 1 + inner : 0;
    this.#source = source;
    this.#start = head.start;
    this.#contentStart = head.end;
    this.#end = end;
  }

  get encoded(): Uint8Array {
    return this.#source.subarray(this.#start, this.#end);
  }

  get content(): Uint8Array {
    return this.#source.subarray(this.#contentStart, this.#end);
  }
}

/** First byte of an item, and the number that it holds or announces. */
interface Head extends Pick<CborItem, "type" | "argument" | "isShortest" | "isIndefinite"> {
  readonly start: number;
  readonly end: number;
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  item(depth: number): CborItem {
    const head = this.#head();
    if (head.isIndefinite && !CAN_BE_OPEN.has(head.type)) throw new MalformedError();
    if (HOLDERS.has(head.type) && depth === MAX_CBOR_HEIGHT) throw new MalformedError();
    const items = this.#content(head, depth);
    return new ReadItem(this.#bytes, head, items, this.#at);
  }

  #head(): Head {
    const start = this.#at;
    const initial = this.#byte();
    const [major, info] = [initial >> 5, initial & 0x1f];
    const isFloat = major === SIMPLE && info >= TWO_BYTES_FOLLOW && info <= EIGHT_BYTES_FOLLOW;
    const isIndefinite = info === LENGTH_IS_OPEN;
    const argument = isIndefinite ? 0 : this.#argument(info);
    const isShort = info < ONE_BYTE_FOLLOWS || isIndefinite || isFloat;
    // A simple value has one form only: a longer one is not well-formed.
    if (major === SIMPLE && info === ONE_BYTE_FOLLOWS && argument < 32) throw new MalformedError();
    return {
      type: isFloat ? "float" : TYPES[major]!,
      argument: isFloat ? 0 : argument,
      isShortest: isShort || argument >= SHORTEST_FROM[info - ONE_BYTE_FOLLOWS]!,
      isIndefinite,
      start,
      end: this.#at,
    };
  }

  /** Reads up to the item's end. */
  #content({ type, argument, isIndefinite }: Head, depth: number): readonly CborItem[] {
    switch (type) {
      case "bytes":
      case "text":
        if (isIndefinite) return this.#chunks(type, depth);
        this.#advance(argument);
        return NOTHING;
      case "array":
        return isIndefinite ? this.#itemsToBreak(depth) : this.#items(argument, depth);
      case "map":
        return isIndefinite ? this.#pairsToBreak(depth) : this.#items(2 * argument, depth);
      case "tag":
        return this.#items(1, depth);
      default:
        return NOTHING;
    }
  }

  /** Reads as many items as are announced. Each needs a byte, so a large number fails at the end of the bytes. */
  #items(count: number, depth: number): CborItem[] {
    const items: CborItem[] = [];
    while (items.length < count) items.push(this.item(depth + 1));
    return items;
  }

  #itemsToBreak(depth: number): CborItem[] {
    const items: CborItem[] = [];
    while (!this.#takeBreak()) items.push(this.item(depth + 1));
    return items;
  }

  #pairsToBreak(depth: number): CborItem[] {
    const items = this.#itemsToBreak(depth);
    if (items.length % 2 !== 0) throw new MalformedError();
    return items;
  }

  #chunks(type: "bytes" | "text", depth: number): CborItem[] {
    const chunks: CborItem[] = [];
    while (!this.#takeBreak()) {
      // Looked at first: a chunk in chunks would take stack without a limit.
      if (TYPES[this.#peek() >> 5] !== type || (this.#peek() & 0x1f) === LENGTH_IS_OPEN) {
        throw new MalformedError();
      }
      chunks.push(this.item(depth));
    }
    return chunks;
  }

  #argument(info: number): number {
    if (info < ONE_BYTE_FOLLOWS) return info;
    if (info > EIGHT_BYTES_FOLLOW) throw new MalformedError();
    const start = this.#at;
    this.#advance(1 << (info - ONE_BYTE_FOLLOWS));
    return this.#bytes.subarray(start, this.#at).reduce((number, byte) => number * 0x100 + byte, 0);
  }

  #takeBreak(): boolean {
    if (this.#peek() !== BREAK) return false;
    this.#at++;
    return true;
  }

  #byte(): number {
    const byte = this.#peek();
    this.#at++;
    return byte;
  }

  #peek(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new MalformedError();
    return byte;
  }

  #advance(length: number): void {
    if (length > this.#bytes.length - this.#at) throw new MalformedError();
    this.#at += length;
  }
}
