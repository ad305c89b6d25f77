import {
  Aes128Gcm,
  Aes256Gcm,
  CipherSuite as TheirSuite,
  DhkemX25519HkdfSha256,
  HkdfSha256,
} from "@hpke/core";
import { BHttpDecoder } from "bhttp-js";
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_X25519_HKDF_SHA256 } from "hpke";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { decodeHex } from "../../../lib/core/encoding.ts";
import { ProtocolError } from "../../../lib/core/errors.ts";
import {
  type BinaryRequest,
  type BinaryResponse,
  decodeBinaryRequest,
  decodeBinaryResponse,
  encodeBinaryRequest,
  encodeBinaryResponse,
} from "../../../lib/wire/binary_http.ts";
import { openRequestChunks } from "../../../lib/wire/answer_chunks.ts";
import { readContent, readResponseHead } from "../../../lib/wire/binary_http_stream.ts";
import { ByteSource } from "../../../lib/wire/byte_source.ts";
import { GatewayKey, readKeyConfig, sealRequest } from "../../../lib/wire/oblivious_http.ts";
import { RFC_9292 } from "../../lib/wire/rfc_9292.ts";
import { dictionary, expect, expectSame, type FuzzTarget, utf8 } from "../target.ts";

const REQUEST: BinaryRequest = {
  method: "POST",
  scheme: "https",
  authority: "enclave",
  path: "/v1/orders?a=b",
  headers: [["content-type", "text/plain"], ["content-length", "2"], [
    "date",
    "Mon, 27 Jul 2009 12:28:53 GMT",
  ]],
  content: utf8("hi"),
};
const RESPONSE: BinaryResponse = { status: 404, headers: [["x-a", "b"]], content: utf8("not here") };

/** Answers whose bodies fetch leaves out. */
const BODILESS: readonly number[] = [204, 205, 304];

/**
 * A binary HTTP message, as a request and as an answer. Whatever is taken comes to the same when it is written again;
 * bhttp-js reads the same answers.
 */
export const bhttp: FuzzTarget = {
  name: "bhttp",
  maxLength: 20_000,
  covers: [
    "lib/wire/binary_http.ts",
    "lib/wire/answer_chunks.ts",
    "lib/wire/binary_http_stream.ts",
    "lib/wire/field_list.ts",
    "lib/wire/varint.ts",
  ],
  dictionary: dictionary(
    "0x00034745540568747470730b6578616d706c652e636f6d012f",
    "0x0140c8",
    "0x0340c8",
    "0x4066",
    "0x41f4",
    "0x80000001",
    "0xc000000000000001",
    "0xffffffffffffffff",
    "0x0000000000",
    "content-length",
    "connection",
    "transfer-encoding",
    "0x0161",
    ":path",
    "http",
  ),
  seeds: () => {
    const padded = [encodeBinaryRequest(REQUEST), encodeBinaryResponse(RESPONSE)];
    const { knownRequest, openRequest, openResponse, trailerResponse } = RFC_9292;
    const examples = [knownRequest, openRequest, openResponse, trailerResponse].map((hex) => decodeHex(hex));
    const withoutInterim = concatBytes([[3], examples[2]!.subarray(RFC_9292.interimEnd)]);
    return Promise.resolve([...padded, ...examples, withoutInterim]);
  },
  async run(input) {
    if (input[0] === 3) await checkStream(input);
    await checkChunks(input);
    const [request, response] = [attempt(decodeBinaryRequest, input), attempt(decodeBinaryResponse, input)];
    expect(typeof request === "string" || typeof response === "string", "a request that is an answer");
    if (typeof request !== "string") return checkRequest(request);
    return typeof response === "string" ? `${request}; ${response}` : checkResponse(response, input);
  },
};

/** Reads an answer as it comes, in two cuts: what that reader takes, the other one takes, too, and as the same. */
async function checkStream(input: Uint8Array): Promise<void> {
  const readIn = async (size: number) => {
    let at = 0;
    const source = new ByteSource(() => {
      const piece = input.slice(at, at += size);
      return Promise.resolve(piece.length === 0 ? undefined : piece);
    });
    try {
      const head = await readResponseHead(source);
      return { ...head, content: concatBytes(await Array.fromAsync(readContent(source))) };
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return error.message;
    }
  };
  const streamed = await readIn(7);
  expectSame(streamed, await readIn(input.length), "in one piece");
  if (typeof streamed !== "string") {
    expectSame(streamed, copyOf(decodeBinaryResponse(input)), "the answer as it comes");
  }
}

/**
 * Reads the chunks of a request, with an encryption that changes nothing: each byte is given once and in order, and only
 * the last chunk as the last.
 */
async function checkChunks(input: Uint8Array): Promise<void> {
  const opened: Uint8Array[] = [];
  const ends: boolean[] = [];
  const context = {
    Open(sealed: Uint8Array, aad: Uint8Array = new Uint8Array(0)) {
      opened.push(sealed.slice());
      ends.push(new TextDecoder().decode(aad) === "final");
      return Promise.resolve(sealed.slice());
    },
  };
  try {
    expectSame(await openRequestChunks(context, input), concatBytes(opened), "the chunks together");
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return;
  }
  expect(opened.length <= 64 && ends.indexOf(true) === opened.length - 1, "another chunk is the last");
  expect(opened.slice(0, -1).every(({ length }) => length > 0), "an empty chunk before the last");
  const length = opened.reduce((sum, chunk) => sum + chunk.length + 1, 0);
  expect(length <= input.length, "bytes that were not there");
}

function attempt<T>(decode: (bytes: Uint8Array) => T, input: Uint8Array): T | string {
  try {
    return decode(input);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return error.message;
  }
}

function checkRequest(request: BinaryRequest): string {
  expectSame(decodeBinaryRequest(encodeBinaryRequest(request)), copyOf(request), "the request written again");
  const url = new URL(`http://enclave${request.path}`);
  expect(url.host === "enclave" && url.hash === "", "a path that names another host");
  new Headers(request.headers.map(([name, value]) => [name, value]));
  return "a request";
}

function checkResponse(response: BinaryResponse, input: Uint8Array): string {
  expectSame(
    decodeBinaryResponse(encodeBinaryResponse(response)),
    copyOf(response),
    "the answer written again",
  );
  const isAscii = response.headers.every(([, value]) => /^[ -~]*$/.test(value));
  if (isAscii && !BODILESS.includes(response.status)) {
    expect(
      new BHttpDecoder().decodeResponse(input).status === response.status,
      "bhttp-js reads another status",
    );
  }
  return "an answer";
}

function copyOf<T extends { readonly content: Uint8Array }>(message: T): T {
  return { ...message, content: new Uint8Array(message.content) };
}

/**
 * A key configuration, and a request sealed to a key that is always the same. No mutation makes a right tag: what is
 * taken is what another implementation takes.
 */
export const sealed: FuzzTarget = {
  name: "sealed",
  maxLength: 1024,
  batch: 64,
  covers: ["lib/wire/oblivious_http.ts", "lib/wire/hpke_suites.ts"],
  dictionary: dictionary(
    "0x01002000010001",
    "0x01002000010002",
    "0x01001000010001",
    "0x00010003",
    "0x00080001000200010001",
    "0x".padEnd(66, "0"),
  ),
  async seeds() {
    const { config } = await gateway;
    const read = readKeyConfig(config);
    const messages = await Promise.all(
      [1, 2].map((aeadId) => sealRequest({ ...read, aeadId }, utf8("hello"))),
    );
    return [config, ...messages.map(({ message }) => message)];
  },
  async run(input) {
    const config = attempt(readKeyConfig, input);
    if (typeof config !== "string") {
      expectSame(config.publicKey, new Uint8Array(input.subarray(3, 35)), "the public key");
      return `a configuration, ${config.aeadId}`;
    }
    try {
      const { request } = await (await gateway).open(input);
      expectSame(request, await openByOther(input), "the request");
      return "a request";
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return error.message;
    }
  },
};

const SECRET_KEY = decodeHex("3c168975674b2fa8e465970b79c8dcf09f1c741626480bd4c6162fc5b6a98e1a");
const PUBLIC_KEY = decodeHex("31e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e798155");

const gateway = (async () => {
  const suite = new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);
  const privateKey = await suite.DeserializePrivateKey(SECRET_KEY);
  return await GatewayKey.create(1, {
    pair: { privateKey, publicKey: await suite.DeserializePublicKey(PUBLIC_KEY) },
  });
})();

async function openByOther(message: Uint8Array): Promise<Uint8Array> {
  const aead = message[6] === 1 ? new Aes128Gcm() : new Aes256Gcm();
  const suite = new TheirSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead });
  const context = await suite.createRecipientContext({
    recipientKey: await suite.kem.deserializePrivateKey(SECRET_KEY),
    enc: message.subarray(7, 39),
    info: concatBytes([utf8("message/bhttp request\0"), message.subarray(0, 7)]),
  });
  return new Uint8Array(await context.open(message.subarray(39)));
}
