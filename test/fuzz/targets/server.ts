import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { OwnedCredentials } from "../../../lib/aws/credentials.ts";
import { checkJson, type OperationName, operationOf } from "../../../lib/kms/operations/operations.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { checkForm } from "../../../enclave/check_form.ts";
import { HttpListener } from "../../../enclave/http/http_listener.ts";
import {
  field,
  KMSTOOL_ERRORS,
  KmstoolRefusal,
  MAX_MESSAGE_BYTES,
  MessageBuffer,
  parseMessage,
  readEncryptionContext,
} from "../../../lib/wire/kmstool_messages.ts";
import { Metrics } from "../../../enclave/telemetry/metrics.ts";
import { RefusalLog } from "../../../enclave/telemetry/refusal_log.ts";
import type { BodyOf } from "../../../server/kms_route.ts";
import { KMS_ROUTES } from "../../../server/kms_routes.ts";
import { attestationQuery, decodeNonce } from "../../../enclave/routes/attestation.ts";
import { parseCredentials } from "../../../enclave/routes/credentials.ts";
import { MAX_BODY_BYTES } from "../../../enclave/http/request_body.ts";
import { parse } from "../../../enclave/parse.ts";
import { BadRequestError } from "../../../enclave/service_errors.ts";
import { isSampled } from "../sampling.ts";
import { dictionary, expect, expectSame, type FuzzTarget, utf8 } from "../target.ts";

/** Stands for what must not come back in an error. */
const SECRET = "s3cr3t-of-the-tests";

const JSON_WORDS = [
  "null",
  '""',
  "[]",
  "{}",
  "[[[[",
  "1e999",
  "-1",
  "0.5",
  "\\u0000",
  '"__proto__":{},',
  "true",
  SECRET,
];

/**
 * A stream of kmstool messages. The first byte decides in what chunks it comes, which must not matter; and
 * the stream is cut as a simple split at the NULs cuts it.
 */
export const kmstool: FuzzTarget = {
  name: "kmstool",
  maxLength: 2 * MAX_MESSAGE_BYTES + 100,
  covers: ["lib/wire/kmstool_messages.ts"],
  dictionary: dictionary(
    ...JSON_WORDS,
    "0x00",
    "0x0000",
    '"Operation":"Decrypt"',
    '"Operation":"SetClient"',
    '"Ciphertext":',
    '"EncryptionContext":',
    '"AwsAccessKeyId":',
    "0xff",
    "0xefbbbf",
    "0xeda080",
  ),
  seeds: () =>
    Promise.resolve([
      '{"Operation":"Decrypt","Ciphertext":"AQID","EncryptionContext":{"a":"b"}}\0',
      '{"Operation":"SetClient","AwsAccessKeyId":"A","AwsSecretAccessKey":"B"}\0{"Operation":null}\0',
      '{"Operation":"Decrypt","EncryptionContext":"{\\"a\\":\\"b\\"}"}\0{"EncryptionContext":"x"}\0',
      "[]\0null\0\0{}\0",
      `{}${" ".repeat(MAX_MESSAGE_BYTES - 3)}\0{}\0`,
      `{}${" ".repeat(MAX_MESSAGE_BYTES - 2)}\0{}\0`,
    ].map((text) => utf8(`c${text}`))),
  run(input) {
    const [chunkBytes = 0] = input;
    const stream = input.subarray(1);
    // A long stream in single bytes would take as long as a hundred others.
    const verdicts = readMessages(stream, 1 + chunkBytes + (stream.length >> 6));
    if (isSampled(input, 8)) {
      expectSame(readMessages(stream, stream.length + 1), verdicts, "in one chunk");
      expectSame(splitSimply(stream), verdicts, "a simple split");
    }
    return verdicts.at(-1) ?? "no message";
  },
};

/**
 * The bodies and the query of HTTP requests, as JSON. Errors name places and expectations, never what was
 * sent.
 */
export const body: FuzzTarget = {
  name: "body",
  maxLength: MAX_BODY_BYTES,
  covers: [
    "enclave/routes/attestation.ts",
    "enclave/routes/credentials.ts",
    "server/field_schemas.ts",
    "enclave/check_form.ts",
    "lib/kms/operations/request_fields.ts",
    "lib/kms/operations/message.ts",
    "lib/kms/operations/signing.ts",
    "lib/aws/credentials_shape.ts",
    "lib/core/encoding.ts",
  ],
  dictionary: dictionary(
    ...JSON_WORDS,
    '"ciphertext":',
    '"plaintext":',
    '"encryptionContext":{',
    '"keyId":',
    '"grantTokens":[',
    '"dryRun":true',
    '"keySpec":"AES_256"',
    '"numberOfBytes":',
    '"keyPairSpec":"RSA_2048"',
    '"message":"AQID"',
    '"macAlgorithm":"HMAC_SHA_256"',
    '"mac":"AQID"',
    '"signingAlgorithm":"ECDSA_SHA_256"',
    '"messageType":"DIGEST"',
    '"signature":"AQID"',
    '"publicKey":',
    '"accessKeyId":',
    '"secretAccessKey":',
    '"sessionToken":',
    '"expiration":',
    '"Credentials":{',
    '"AccessKeyId":',
    '"SecretAccessKey":',
    '"SessionToken":',
    '"Token":',
    '"Expiration":',
    '"Code":"Success"',
    '"Version":1',
    '"nonce":',
    '"encoding":"hex"',
    "AQID",
    "=",
    "2026-11-21T12:00:00Z",
  ),
  seeds() {
    const keyId = "arn:aws:kms:us-east-1:111122223333:key/1234abcd";
    const bodies: readonly unknown[] = [
      { ciphertext: "AQID", encryptionContext: { a: "b" }, keyId, grantTokens: ["x"], dryRun: false },
      { plaintext: "AQID", keyId, encryptionContext: {} },
      { keyId, keySpec: "AES_256", encryptionContext: { a: "b" } },
      { keyId, keyPairSpec: "ECC_NIST_P256" },
      { numberOfBytes: 32 },
      { keyId, publicKey: "AQID" },
      { accessKeyId: "AKIA", secretAccessKey: SECRET, sessionToken: SECRET },
      { AccessKeyId: "ASIA", SecretAccessKey: SECRET, Token: SECRET, Code: "Success" },
      { Credentials: { AccessKeyId: "ASIA", SecretAccessKey: SECRET, Expiration: "2026-11-21T12:00:00Z" } },
      { nonce: "AQ_-" },
      { nonce: "0102", encoding: "hex" },
    ];
    const mac = { keyId, message: "AQID", macAlgorithm: "HMAC_SHA_256" };
    const signed = { keyId, message: "AQID", signingAlgorithm: "ECDSA_SHA_256" };
    const digest = { messageType: "DIGEST", message: "A".repeat(43) + "=" };
    const later: readonly (readonly [reader: number, body: object])[] = [
      [8, mac],
      [9, { ...mac, mac: "AQID" }],
      [10, signed],
      [10, { ...signed, ...digest }],
      [11, { ...signed, signature: "AQID" }],
      [12, { keyId }],
    ];
    const all = [...bodies.map((body, index) => [Math.min(index, 7), body] as const), ...later];
    return Promise.resolve(
      all.map(([reader, body]) => Uint8Array.of(reader, ...utf8(JSON.stringify(body)))),
    );
  },
  run(input) {
    const index = (input[0] ?? 0) % READERS.length;
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder().decode(input.subarray(1)));
    } catch {
      return "not JSON";
    }
    try {
      READERS[index]?.(value);
      return `ok ${index}`;
    } catch (error) {
      if (!(error instanceof BadRequestError)) throw error;
      const told = JSON.stringify(error.problems);
      expect(error.problems.length > 0 && error.problems.length <= 10, "no problem, or too many");
      expect(!told.includes(SECRET), "the error repeats what was sent");
      expect(told.length < 3000 && error.cause === undefined, "the error tells too much");
      return `${index}: ${error.problems[0]?.expected.replaceAll(/\d+/g, "n").slice(0, 40)}`;
    }
  },
};

/** Bytes on a connection of HTTP: each request is answered, and the connection ends. */
export const http: FuzzTarget = {
  name: "http",
  maxLength: 40_000,
  batch: 128,
  covers: [
    "enclave/http/chunked_body.ts",
    "enclave/http/http_connection.ts",
    "enclave/http/http_listener.ts",
    "enclave/http/request_head.ts",
    "enclave/http/request_reader.ts",
  ],
  dictionary: dictionary(
    "\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "POST ",
    "HEAD ",
    "CONNECT ",
    " HTTP/1.0",
    " HTTP/1.1",
    "content-length: 5\r\n",
    "content-length: -1\r\n",
    "content-length: 99999999999999999999\r\n",
    "transfer-encoding: chunked\r\n",
    "connection: close\r\n",
    "connection: upgrade\r\nupgrade: websocket\r\n",
    "expect: 100-continue\r\n",
    "content-type: application/json\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    "http://a/",
    "//a",
    "0x00",
    "0x0a",
    "%00",
    "\r",
  ),
  seeds: () =>
    Promise.resolve([
      "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n",
      "POST /v1/decrypt HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
      "GET /a HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
      "POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ].map(utf8)),
  async run(input) {
    const stream = new Connection(input);
    const closed = new Promise<void>((resolve) => stream.once("close", resolve));
    listener.accept(stream, 7);
    await stream.untilQuiet();
    stream.push(null);
    await closed;
    const answered = Buffer.concat(stream.written).toString("latin1");
    const statuses = [...answered.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status);
    expect(answered === "" || answered.startsWith("HTTP/1.1 "), "it did not answer in HTTP");
    expect(!answered.includes(SECRET), "the answer repeats what was sent");
    return statuses.slice(0, 3).join(" ");
  },
};

/** Gives the input; keeps what is written. */
class Connection extends Duplex {
  readonly written: Uint8Array[] = [];

  constructor(input: Uint8Array) {
    super();
    this.push(input);
  }

  /** Waits until the other side has nothing more to say. */
  async untilQuiet(): Promise<void> {
    for (let quiet = 0, before = 0; quiet < 6 && !this.destroyed; quiet++) {
      await setImmediate();
      if (this.written.length > before) quiet = 0;
      before = this.written.length;
    }
  }

  override _read(): void {}

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.written.push(chunk.slice());
    done();
  }
}

const logger = createLogger("silent");
const listener = new HttpListener({
  logger,
  metrics: new Metrics(),
  refusals: new RefusalLog({ logger }),
  timeouts: { headersMs: 2000, bodyMs: 2000, answerMs: 2000, idleMs: 2000 },
  fetch: async (request, { cid }) => {
    expect(cid === 7, "another caller");
    const { byteLength } = await request.arrayBuffer();
    return new Response(`${request.method} ${byteLength}`);
  },
});

const READERS: readonly ((value: unknown) => void)[] = [
  (value) => {
    const { ciphertext, encryptionContext = {} } = readBody("decrypt", value);
    expectCanonical(ciphertext);
    expect(Object.values(encryptionContext).every((item) => typeof item === "string"), "not a text");
  },
  (value) => expectCanonical(readBody("encrypt", value).plaintext),
  (value) => expect(typeof readBody("generateDataKey", value).keyId === "string", "no key"),
  (value) => expect(typeof readBody("generateDataKeyPair", value).keyPairSpec === "string", "no kind"),
  (value) => expect(Number.isInteger(readBody("generateRandom", value).numberOfBytes), "no number"),
  (value) => expect(readBody("deriveSharedSecret", value).publicKey.length > 0, "no key"),
  (value) => {
    using owned = OwnedCredentials.copyOf(parseCredentials(value));
    expect(owned.secretAccessKey.length > 0, "no secret");
  },
  (value) => expect(decodeNonce(parse(attestationQuery, value)).length > 0, "an empty nonce"),
  (value) => expectCanonical(readBody("generateMac", value).message),
  (value) => expectCanonical(readBody("verifyMac", value).mac),
  (value) => expectCanonical(readBody("sign", value).message),
  (value) => expectCanonical(readBody("verify", value).signature),
  (value) => expect(readBody("getPublicKey", value).keyId.length > 0, "no key"),
];

/** Reads the body of a route, as far as the server does before anything else: its shape, then its operation's check. */
function readBody<K extends OperationName>(name: K, value: unknown): BodyOf<K> {
  const route = KMS_ROUTES.find(({ operation }) => operation === name);
  expect(route !== undefined, "no route");
  return checked(name, parse<object>(route!.body, value)) as BodyOf<K>;
}

/** Returns the body once the operation's own check has passed it, as the server does before anything else. */
function checked<K extends OperationName, Body extends object>(
  name: K,
  body: Body,
): Body {
  const { dryRun: _, ...request } = body as Body & { dryRun?: boolean };
  const checked = checkForm(() => checkJson(name, request as never));
  operationOf(name).release?.(checked);
  return body;
}

function expectCanonical(base64: string): void {
  expectSame(Buffer.from(base64, "base64").toString("base64"), base64, "node:buffer");
}

function readMessages(stream: Uint8Array, chunkBytes: number): string[] {
  using buffer = new MessageBuffer();
  const verdicts: string[] = [];
  const copy = stream.slice();
  for (let at = 0; at < copy.length; at += chunkBytes) {
    try {
      for (const message of buffer.take(copy.subarray(at, at + chunkBytes))) {
        verdicts.push(readMessage(message));
      }
    } catch (error) {
      if (!(error instanceof KmstoolRefusal)) throw error;
      return [...verdicts, error.text];
    }
  }
  expect(copy.every((byte) => byte === 0), "what was taken over is not wiped");
  return verdicts;
}

function readMessage(bytes: Uint8Array): string {
  try {
    const message = parseMessage(bytes);
    const context = readEncryptionContext(message);
    expect(context === undefined || typeof context !== "string", "a context that is text");
    const operation = field(message, "Operation");
    return operation === "Decrypt" || operation === "SetClient" ? operation : typeof operation;
  } catch (error) {
    if (!(error instanceof KmstoolRefusal)) throw error;
    expect(error.cause === undefined, "the refusal has a cause of what was sent");
    return error.text;
  }
}

/** Splits a stream as MessageBuffer does, without state and wiping. */
function splitSimply(stream: Uint8Array): string[] {
  const verdicts: string[] = [];
  for (let start = 0; start < stream.length;) {
    const nul = stream.indexOf(0, start);
    const end = nul < 0 ? stream.length : nul;
    if (end - start >= MAX_MESSAGE_BYTES) return [...verdicts, KMSTOOL_ERRORS.tooLarge];
    if (nul >= 0) verdicts.push(readMessage(stream.subarray(start, end)));
    start = end + 1;
  }
  return verdicts;
}
