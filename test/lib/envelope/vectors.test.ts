/**
 * AWS's own test vectors, in the folders that `ENCRYPTION_SDK_VECTORS` names (separated by colons): each with a
 * manifest and its keys as in awslabs/aws-encryption-sdk-test-vectors, or with the C library's
 * `t_commitment_vectors.inc`. They are large, and not part of this repository.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { constants, createDecipheriv, privateDecrypt } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { describe, test } from "#test";
import { SecretBytes } from "../../../mod.ts";
import {
  type DataKeyOpener,
  decryptMessage,
  decryptStream,
  type EncryptionContext,
  EnvelopeError,
} from "../../../lib/envelope/mod.ts";
import { encodeContext } from "../../../lib/envelope/encryption_context.ts";
import { HeaderReader } from "../../../lib/envelope/message_header.ts";
import { MessageVerifier } from "../../../lib/envelope/message_signature.ts";
import { KEY_ARN } from "./fake_kms.ts";
import { collect, streamOf } from "./streams.ts";

const FOLDERS = (process.env["ENCRYPTION_SDK_VECTORS"] ?? "").split(":").filter((folder) => folder !== "");

type OpenRequest = Parameters<DataKeyOpener["decrypt"]>[0];

interface MasterKey {
  readonly type: string;
  readonly key?: string;
  readonly "encryption-algorithm"?: string;
  readonly "padding-algorithm"?: string;
  readonly "padding-hash"?: string;
  readonly underlying?: MasterKey;
  readonly generator?: MasterKey;
  readonly childKeyrings?: readonly MasterKey[];
}

interface Vector {
  readonly name: string;
  readonly message: Uint8Array<ArrayBuffer>;
  /** Undefined when it must be refused. */
  readonly plaintext: Uint8Array | undefined;
  /** Pairs that the writer authenticated, and may have left out. */
  readonly unstoredContext: EncryptionContext | undefined;
  readonly isRaw: boolean;
  /** Opens an encrypted data key, or throws. */
  open(wrapped: Uint8Array, providerInfo: Uint8Array, context: Uint8Array): Uint8Array;
}

interface Entry {
  readonly ciphertext: string;
  readonly result: string | { readonly output?: { readonly plaintext: string } };
  readonly "master-keys"?: readonly MasterKey[];
  readonly decryptKeyDescription?: MasterKey;
  readonly cmm?: string;
  readonly "encryption-context"?: EncryptionContext;
  readonly "reproduced-encryption-context"?: EncryptionContext;
  readonly "decryption-scenario"?: Entry;
}

type Keys = Readonly<Record<string, { readonly material: string; readonly bits: number }>>;

function readManifest(folder: string): Vector[] {
  const name = ["manifest.json", "decrypt-manifest.json"].find((file) => existsSync(join(folder, file)));
  if (name === undefined) return [];
  const read = (url: string) => new Uint8Array(readFileSync(join(folder, url.replace("file://", ""))));
  const parse = (file: string) => JSON.parse(readFileSync(join(folder, file), "utf8"));
  const { keys } = parse("keys.json") as { keys: Keys };
  const { tests } = parse(name) as { tests: Readonly<Record<string, Entry>> };
  return Object.values(tests).map((outer) => {
    const entry = outer["decryption-scenario"] ?? outer;
    const { result } = entry;
    const url = typeof result === "string" ? result : result.output?.plaintext;
    const given = entry["master-keys"] ?? [entry.decryptKeyDescription ?? { type: "none" }];
    const leaves = given.flatMap(leavesOf);
    const isBroken = basename(folder).startsWith("invalid-");
    return {
      name: entry.ciphertext,
      message: read(entry.ciphertext),
      plaintext: url === undefined || isBroken ? undefined : read(url),
      unstoredContext: given.some(({ underlying }) => underlying !== undefined) ||
          entry.cmm === "RequiredEncryptionContext"
        ? entry["reproduced-encryption-context"] ?? entry["encryption-context"]
        : undefined,
      isRaw: leaves.length > 0 && leaves.every(({ type }) => type === "raw"),
      open: (wrapped, providerInfo, context) => openRaw(leaves, keys, wrapped, providerInfo, context),
    };
  });
}

function leavesOf(key: MasterKey): MasterKey[] {
  const inner = [key.underlying, key.generator, ...(key.childKeyrings ?? [])].filter((one) =>
    one !== undefined
  );
  return inner.length > 0 ? inner.flatMap(leavesOf) : [key];
}

/** Opens a data key as AWS's raw keyrings do. */
function openRaw(
  masterKeys: readonly MasterKey[],
  keys: Keys,
  wrapped: Uint8Array,
  providerInfo: Uint8Array,
  context: Uint8Array,
): Uint8Array {
  for (const masterKey of masterKeys) {
    const { material, bits } = keys[masterKey.key ?? ""] ?? { material: "", bits: 0 };
    try {
      if (masterKey["encryption-algorithm"] === "rsa") return openRsa(masterKey, material, wrapped);
      const key = Buffer.from(material, "base64");
      const cipher = createDecipheriv(`aes-${bits}-gcm` as "aes-256-gcm", key, providerInfo.subarray(-12));
      cipher.setAAD(context).setAuthTag(wrapped.subarray(-16));
      return new Uint8Array(Buffer.concat([cipher.update(wrapped.subarray(0, -16)), cipher.final()]));
    } catch {
      // Another of them may fit.
    }
  }
  throw new EnvelopeError("KEY", "None of the raw keys fits", { hint: "" });
}

function openRsa(masterKey: MasterKey, key: string, wrapped: Uint8Array): Uint8Array {
  const isOaep = masterKey["padding-algorithm"] === "oaep-mgf1";
  const padding = isOaep ? constants.RSA_PKCS1_OAEP_PADDING : constants.RSA_PKCS1_PADDING;
  const hash = isOaep ? { oaepHash: masterKey["padding-hash"] ?? "sha1" } : {};
  return new Uint8Array(privateDecrypt({ key, padding, ...hash }, wrapped));
}

/** Reads the list of the C library, which has the data keys themselves. */
function readList(folder: string): Vector[] {
  const path = join(folder, "t_commitment_vectors.inc");
  if (!existsSync(path)) return [];
  const field = (text: string, name: string) =>
    [...(new RegExp(`\\.${name} =\\s*((?:\\s*"[^"]*")+)`).exec(text)?.[1] ?? "").matchAll(/"([^"]*)"/g)]
      .map(([, part]) => part).join("");
  return readFileSync(path, "utf8").split(/^ {4}\{$/m).slice(1).map((text) => {
    const succeeds = /should_succeed = true/.test(text);
    const dataKey = new Uint8Array(Buffer.from(field(text, "datakey_b64"), "base64"));
    return {
      name: field(text, "comment"),
      message: new Uint8Array(Buffer.from(field(text, "ciphertext_b64"), "base64")),
      plaintext: succeeds ? new Uint8Array(0) : undefined,
      unstoredContext: undefined,
      isRaw: true,
      open: () => dataKey,
    };
  });
}

/** Cuts the provider information of each encrypted data key out of a header: it need not be text. */
function providerInfosOf(body: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  let at = 35;
  const take = () => {
    const length = view.getUint16(at);
    at += 2 + length;
    return body.subarray(at - length, at);
  };
  take();
  const count = view.getUint16(at);
  at += 2;
  return Array.from({ length: count }, () => {
    take();
    const info = take();
    take();
    return info;
  });
}

/** Decrypts at once and as a stream. Only here, raw keys pass for keys of KMS. */
async function decrypt(vector: Vector): Promise<Uint8Array> {
  const { read } = HeaderReader.prototype;
  let providerInfos: readonly Uint8Array[] = [];
  HeaderReader.prototype.read = function (bytes) {
    const header = read.call(this, bytes);
    if (typeof header === "number") return header;
    providerInfos = providerInfosOf(header.body);
    const dataKeys = header.dataKeys.map((one) => ({ ...one, providerId: "aws-kms", providerInfo: KEY_ARN }));
    return { ...header, dataKeys };
  };
  const client = {
    decrypt({ ciphertext, encryptionContext = {} }: OpenRequest): Promise<SecretBytes> {
      for (const info of providerInfos) {
        try {
          const dataKey = vector.open(ciphertext, info, encodeContext(encryptionContext));
          return Promise.resolve(SecretBytes.copyOf(dataKey));
        } catch {
          // Another may fit.
        }
      }
      return Promise.reject(new EnvelopeError("KEY", "None of the raw keys fits", { hint: "" }));
    },
  };
  try {
    const options = { keyId: KEY_ARN, unstoredContext: vector.unstoredContext };
    const streamed = await collect(streamOf(vector.message).pipeThrough(decryptStream(client, options)));
    using atOnce = await decryptMessage(client, vector.message, options);
    assert.deepEqual(atOnce.bytes, streamed, vector.name);
    return streamed;
  } finally {
    HeaderReader.prototype.read = read;
  }
}

async function codeOf(vector: Vector): Promise<string> {
  try {
    await decrypt(vector);
  } catch (error) {
    if (error instanceof EnvelopeError) return error.code;
    throw error;
  }
  return "opened";
}

const all = FOLDERS.flatMap((folder) => [...readManifest(folder), ...readList(folder)]);
const suiteOf = ({ message }: Vector) => message[0] === 2 ? (message[1] ?? 0) * 256 + (message[2] ?? 0) : 0;
const ours = all.filter((vector) => suiteOf(vector) === 0x0478 || suiteOf(vector) === 0x0578);
const others = all.filter((vector) => !ours.includes(vector));
const raw = ours.filter(({ isRaw }) => isRaw);
const good = raw.filter(({ plaintext }) => plaintext !== undefined);
const bad = raw.filter(({ plaintext }) => plaintext === undefined);
const hidden = good.filter(({ unstoredContext }) => unstoredContext !== undefined).length;
const elsewhere = ours.filter(({ isRaw }) => !isRaw);
const signed = good.filter((vector) => suiteOf(vector) === 0x0578).length;

const why = FOLDERS.length === 0 ? " (skipped: ENCRYPTION_SDK_VECTORS names no folders of them)" : "";
describe.skipIf(FOLDERS.length === 0)(`AWS's test vectors${why}`, () => {
  test("are there", () => assert.ok(all.length > 0 && good.length > 0));

  test(`decrypt: ${good.length} with raw keys, of which ${signed} are signed and ${hidden} left pairs of the context out`, async () => {
    const failed: string[] = [];
    for (const vector of good) {
      const opened = await decrypt(vector).catch((error: Error) => `${error.name} ${error.message}`);
      const isList = vector.plaintext?.length === 0;
      if (typeof opened === "string") failed.push(`${vector.name}: ${opened}`);
      else if (!isList) assert.deepEqual(opened, vector.plaintext, vector.name);
    }
    assert.deepEqual(failed, []);
  });

  test(`are refused: ${bad.length} that must not open`, async () => {
    const codes = await Array.fromAsync(bad, async (vector) => `${vector.name}: ${await codeOf(vector)}`);
    for (const code of codes) assert.match(code, /: ERR_ENVELOPE_(?:COMMITMENT|AUTHENTICATION)$/);
  });

  test(`are read to the header's end: ${elsewhere.length} under keys that are not published`, () => {
    for (const { message, name } of elsewhere) {
      const header = new HeaderReader().read(message);
      assert.ok(typeof header === "object", name);
      assert.equal(MessageVerifier.forHeader(header) !== undefined, header.suiteId === 0x0578);
    }
  });

  test(`are refused by their number: ${others.length} of suites that do not commit to their key`, async () => {
    for (const vector of others) assert.equal(await codeOf(vector), "ERR_ENVELOPE_SUITE", vector.name);
  });
});
