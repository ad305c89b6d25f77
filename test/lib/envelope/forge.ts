import { Buffer } from "node:buffer";
import {
  createCipheriv,
  createSign,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import type { EncryptionContext } from "../../../lib/envelope/mod.ts";
import { FakeKms, KEY_ARN } from "./fake_kms.ts";

export const PUBLIC_KEY_NAME = "aws-crypto-public-key";

/** Parts of a message that somebody with its data key can choose. */
export interface Forgery {
  readonly suite: 0x0478 | 0x0578;
  readonly encryptionContext: EncryptionContext;
  /** Plaintext of each frame; the last is the final one. One alone if `inOnePiece`. */
  readonly frames: readonly Uint8Array[];
  readonly frameBytes: number;
  readonly inOnePiece: boolean;
  /** Pairs that are authenticated and left out of the message. */
  readonly unstored: EncryptionContext;
  /** Key to sign with; nothing is signed without. */
  readonly signingKey: KeyObject | undefined;
  readonly providerInfo: string;
  /** Nonce of a frame. */
  nonce(number: number): Uint8Array;
}

/** Key pair for signatures, and how the context names it. */
export interface SigningKey {
  readonly privateKey: KeyObject;
  readonly pair: EncryptionContext;
}

/** Makes a key pair for signatures. */
export function signingKey(): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const { x = "", y = "" } = publicKey.export({ format: "jwk" });
  const last = Buffer.from(y, "base64url").at(-1) ?? 0;
  const point = Buffer.concat([Uint8Array.of(2 + last % 2), Buffer.from(x, "base64url")]);
  return { privateKey, pair: { [PUBLIC_KEY_NAME]: point.toString("base64") } };
}

/** Writes a message by hand, with a data key of {@link FakeKms}: another writer, or somebody who may decrypt. */
export async function forge(choice: Partial<Forgery> = {}): Promise<Uint8Array<ArrayBuffer>> {
  const all: Forgery = {
    suite: 0x0478,
    encryptionContext: {},
    frames: [new Uint8Array(5)],
    frameBytes: 1024,
    inOnePiece: false,
    signingKey: undefined,
    unstored: {},
    providerInfo: KEY_ARN,
    nonce: (number) => Buffer.concat([new Uint8Array(8), uint(number, 4)]),
    ...choice,
  };
  using dataKey = await new FakeKms().generateDataKey({
    keyId: all.providerInfo,
    keySpec: "AES_256",
    encryptionContext: { ...all.encryptionContext, ...all.unstored },
  });
  return write(all, dataKey.plaintext.bytes, dataKey.ciphertext);
}

function write(all: Forgery, dataKey: Uint8Array, wrapped: Uint8Array): Uint8Array<ArrayBuffer> {
  const id = randomBytes(32);
  const derive = (...info: Uint8Array[]) => hkdfSync("sha512", dataKey, id, Buffer.concat(info), 32);
  const key = new Uint8Array(derive(uint(all.suite, 2), Buffer.from("DERIVEKEY")));
  const body = Buffer.concat([
    uint(2, 1),
    uint(all.suite, 2),
    id,
    sized(contextOf(all.encryptionContext)),
    uint(1, 2),
    ...["aws-kms", all.providerInfo].map((text) => sized(Buffer.from(text))),
    sized(wrapped),
    uint(all.inOnePiece ? 1 : 2, 1),
    uint(all.inOnePiece ? 0 : all.frameBytes, 4),
    new Uint8Array(derive(Buffer.from("COMMITKEY"))),
  ]);
  const associated = Buffer.concat([body, contextOf(all.unstored)]);
  const header = Buffer.concat([body, sealed(key, new Uint8Array(12), associated, new Uint8Array(0))]);
  const frames = all.frames.map((plaintext, index) => frame(all, { key, id, plaintext, number: index + 1 }));
  const message = Buffer.concat([header, ...frames]);
  if (all.signingKey === undefined) return new Uint8Array(message);
  const signature = createSign("sha384").update(message).sign(all.signingKey);
  return new Uint8Array(Buffer.concat([message, sized(signature)]));
}

interface FrameParts {
  readonly key: Uint8Array;
  readonly id: Uint8Array;
  readonly plaintext: Uint8Array;
  readonly number: number;
}

function frame(all: Forgery, { key, id, plaintext, number }: FrameParts): Uint8Array {
  const isFinal = number === all.frames.length;
  const kind = all.inOnePiece ? "Single Block" : isFinal ? "Final Frame" : "Frame";
  const label = Buffer.from(`AWSKMSEncryptionClient ${kind}`);
  const associated = Buffer.concat([id, label, uint(number, 4), uint(plaintext.length, 8)]);
  const nonce = all.nonce(number);
  const content = sealed(key, nonce, associated, plaintext);
  if (all.inOnePiece) return Buffer.concat([nonce, uint(plaintext.length, 8), content]);
  if (!isFinal) return Buffer.concat([uint(number, 4), nonce, content]);
  return Buffer.concat([uint(0xffffffff, 4), uint(number, 4), nonce, uint(plaintext.length, 4), content]);
}

function sealed(
  key: Uint8Array,
  nonce: Uint8Array,
  associated: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(associated);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([ciphertext, cipher.getAuthTag()]);
}

function contextOf(context: EncryptionContext): Uint8Array {
  const pairs = Object.entries(context).map((pair) =>
    pair.map((text) => Buffer.from(text)) as [Buffer, Buffer]
  );
  if (pairs.length === 0) return new Uint8Array(0);
  pairs.sort(([left], [right]) => Buffer.compare(left, right));
  return Buffer.concat([uint(pairs.length, 2), ...pairs.flat().map(sized)]);
}

function sized(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([uint(bytes.length, 2), bytes]);
}

function uint(value: number, length: number): Uint8Array {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntBE(value, Math.max(0, length - 6), Math.min(6, length));
  return bytes;
}
