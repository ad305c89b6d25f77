import { Decrypter } from "age-encryption";
import { decode, encode } from "cbor2";
import {
  checkAgeHeader,
  MAX_AGE_HEADER_BYTES,
  MAX_AGE_STANZAS,
} from "../../../enclave/secrets/age_header.ts";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { ProtocolError, SecretError } from "../../../lib/core/errors.ts";
import { encodeSecretFrame, SecretFrameReader } from "../../../lib/wire/secret_frame.ts";
import { encodeSecretReceipt, parseSecretReceipt } from "../../../lib/wire/secret_receipt.ts";
import { encodeSecretShare, parseSecretShares } from "../../../lib/wire/secret_shares.ts";
import { encodeSignedSecret, parseSignedSecret, type SignedSecret } from "../../../lib/wire/signed_secret.ts";
import { dictionary, expect, expectSame, type FuzzTarget, oracle, utf8 } from "../target.ts";

const MAX_BYTES = 600;

/**
 * A secret as it arrives, and what may be in it. The first byte decides in what chunks it comes; that must not matter.
 * What is taken for a signed secret, cbor2 reads to the same; all forms are written again, byte for byte.
 */
export const secret: FuzzTarget = {
  name: "secret",
  maxLength: MAX_BYTES + 20,
  covers: [
    ...["secret_frame", "secret_receipt", "secret_shares", "signed_secret"].map((name) =>
      `lib/wire/${name}.ts`
    ),
    "lib/core/cbor.ts",
  ],
  dictionary: dictionary(
    "0x89454b46",
    "0x89454b4600000010",
    "0x89454b53",
    "0x89454b5385",
    "0x89454b50",
    "0x5820",
    "0x5840",
    "0x1bffffffffffffffff",
    "age-key",
    '{"ok":true,"name":"',
    '{"ok":false,"code":"ERR_',
    '"sha256":"',
  ),
  seeds: () => Promise.resolve(SEEDS.map((bytes) => Uint8Array.of(7, ...bytes))),
  run(input) {
    const [chunkBytes = 0] = input;
    const bytes = input.subarray(1);
    const content = read(bytes, 1 + chunkBytes);
    expectSame(read(bytes, bytes.length + 1), content, "in one chunk");
    if (typeof content === "string") return content;
    return `${ofSigned(content)}, ${ofShares(content)}, ${ofReceipt(content)}`;
  },
};

function read(bytes: Uint8Array, chunkBytes: number): Uint8Array | string {
  const reader = new SecretFrameReader({ maxBytes: MAX_BYTES });
  return codeOr(() => {
    for (let at = 0; at < bytes.length; at += chunkBytes) reader.push(bytes.subarray(at, at + chunkBytes));
    return reader.end();
  });
}

function ofSigned(content: Uint8Array): string {
  const signed = codeOr(() => parseSignedSecret(content));
  if (signed === undefined) return "not signed";
  if (typeof signed === "string") return signed;
  expectSame(encodeSignedSecret(signed), content, "written again");
  const { statement: { name, version, sha256 }, signature, sealed } = signed;
  const parts = [name, version, sha256, signature, sealed].map((part) =>
    typeof part === "object" ? [...part] : part
  );
  const theirs = oracle("cbor2", () => decode(content.subarray(4)) as (string | number | Uint8Array)[]);
  expectSame(parts, theirs.map((part) => typeof part === "object" ? [...part] : part), "cbor2");
  return "signed";
}

function ofShares(content: Uint8Array): string {
  const shares = codeOr(() => parseSecretShares(content));
  if (typeof shares === "string") return shares;
  expectSame(concatBytes(shares.map(encodeSecretShare)), concatBytes([content]), "written again");
  return "shares";
}

function ofReceipt(content: Uint8Array): string {
  const receipt = codeOr(() => parseSecretReceipt(content));
  if (typeof receipt === "string") return receipt;
  expectSame(parseSecretReceipt(encodeSecretReceipt(receipt)), receipt, "written again");
  return receipt.ok ? "receipt" : "refusal";
}

/** Header of an age file. The library reads no more stanzas of what is taken, and needs no more bytes. */
export const age: FuzzTarget = {
  name: "age",
  maxLength: MAX_AGE_HEADER_BYTES + 100,
  covers: ["enclave/secrets/age_header.ts", "node_modules/age-encryption/dist/format.js"],
  dictionary: dictionary("age-encryption.org/v1\n", "-> X25519 ", "-> ", "\n---", "\n--- ", "\n", "--"),
  seeds: () => Promise.resolve(AGE_SEEDS),
  async run(input) {
    const length = codeOr(() => checkAgeHeader(input));
    if (typeof length === "string") return length;
    expect(length <= MAX_AGE_HEADER_BYTES, "the header is longer than the cap");
    const stanzas = await countStanzas(input);
    expect((stanzas ?? 0) <= MAX_AGE_STANZAS, "the library reads more stanzas");
    expectSame(await countStanzas(input.slice(0, length)), stanzas, "the header alone");
    return stanzas === undefined ? "not by the library" : "header";
  },
};

/** Counts the stanzas that the library reads; undefined when it refuses the header. */
async function countStanzas(file: Uint8Array<ArrayBuffer>): Promise<number | undefined> {
  let count: number | undefined;
  const decrypter = new Decrypter();
  decrypter.addIdentity({
    unwrapFileKey(stanzas: readonly unknown[]) {
      count = stanzas.length;
      return null;
    },
  });
  await decrypter.decryptHeader(file).catch(() => {});
  return count;
}

/** Calls a reader; the code of its own errors. */
function codeOr<T>(call: () => T): T | string {
  try {
    return call();
  } catch (error) {
    if (error instanceof SecretError || error instanceof ProtocolError) return error.code;
    throw error;
  }
}

const STATEMENT = { name: "age-key", version: 300, sha256: new Uint8Array(32).fill(1) };
const SIGNED: SignedSecret = {
  statement: STATEMENT,
  signature: new Uint8Array(64).fill(2),
  sealed: utf8("sealed"),
};
const SHARE = encodeSecretShare({
  splitId: new Uint8Array(8),
  threshold: 2,
  share: new Uint8Array(17).fill(3),
});

const SEEDS: readonly Uint8Array[] = [
  utf8("raw"),
  encodeSecretFrame(utf8("framed")),
  encodeSignedSecret(SIGNED),
  encodeSecretFrame(encodeSignedSecret(SIGNED)),
  concatBytes([SHARE, SHARE]),
  encodeSecretReceipt({ ok: true, name: "age-key", sha256: "ab".repeat(32) }),
  encodeSecretReceipt({ ok: false, code: "ERR_SECRET_LATE", message: "Cannot take", hint: "Start it" }),
  concatBytes([[0x89, 0x45, 0x4b, 0x53], encode(["age-key", 1, [], [], "x"])]),
];

const STANZA = `-> X25519 ${"A".repeat(43)}\n${"B".repeat(43)}\n`;
const AGE_SEEDS: readonly Uint8Array[] = [1, 2, 20, 21].map((count) =>
  utf8(`age-encryption.org/v1\n${STANZA.repeat(count)}--- ${"C".repeat(43)}\n0123456789abcdef`)
);
