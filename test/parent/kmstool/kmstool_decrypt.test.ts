import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import type { Endpoint } from "../../../lib/core/endpoint.ts";
import { listen, type Listener } from "../../../lib/transport/listen.ts";
import { kmstoolDecrypt, type KmstoolDecryptOptions } from "../../../parent/mod.ts";
import { DEFAULT_KMSTOOL_TIMEOUTS, KmstoolListener } from "../../../server/kmstool/kmstool_listener.ts";
import { spyOnFill } from "../../support/spy_on_fill.ts";
import { ENCRYPTION_CONTEXT, Fixture, PARENT, PLAINTEXT, RecordingPolicy } from "../../server/fixture.ts";

const simulationFolder = mkdtempSync(join(tmpdir(), "enclave-kms-kmstool-"));
afterAll(() => rmSync(simulationFolder, { recursive: true }));

const CREDENTIALS = { accessKeyId: "AKIA", secretAccessKey: 's3"cr\\3t', sessionToken: "t0ken" };
const place = { enclaveCid: 16, simulationFolder };
const socket = (port: number): Endpoint => ({
  transport: "unix",
  path: join(simulationFolder, `16-${port}.sock`),
});

/** Replies of kmstool_enclave as json-c 0.16 writes them, a bare error after each plaintext included. */
const C = {
  ok: '{ "Status": "Ok" }\0',
  plaintext: '{ "Status": "Ok", "Message": "\\/+8=" }\0{ "Status": "Error" }\0',
  refused: '{ "Status": "Error", "Message": "Could not decrypt ciphertext" }\0',
} as const;

/** Answers each message with the next reply; an undefined one ends the connection. */
async function speak(replies: readonly (string | Uint8Array | undefined)[]) {
  const got: string[] = [];
  const listener = await listen(socket(3000), {}, ({ stream }) => {
    let pending = "";
    stream.on("data", (chunk) => {
      pending += String(chunk);
      for (let end = pending.indexOf("\0"); end >= 0; end = pending.indexOf("\0")) {
        const reply = replies[got.push(pending.slice(0, end)) - 1];
        pending = pending.slice(end + 1);
        if (reply === undefined) stream.destroy();
        else stream.write(reply);
      }
    });
    stream.on("end", () => stream.end());
  });
  return Object.assign(listener, { got });
}

const decrypt = (options: Partial<KmstoolDecryptOptions> = {}) =>
  kmstoolDecrypt({ ...place, credentials: CREDENTIALS, ciphertext: "AQID", ...options });

describe("kmstoolDecrypt() and our server", () => {
  const policy = new RecordingPolicy();
  let fixture: Fixture;
  let server: KmstoolListener;
  let listener: Listener;

  beforeAll(async () => {
    fixture = await Fixture.start({ policy });
    const { service, logger, metrics, refusals } = fixture;
    const parts = { service, logger, metrics, refusals, timeouts: DEFAULT_KMSTOOL_TIMEOUTS };
    server = new KmstoolListener({ ...parts, region: undefined });
    listener = await listen(socket(3001), {}, ({ stream }) => server.accept(stream, PARENT));
  });
  afterAll(async () => {
    await server.close(100);
    await listener[Symbol.asyncDispose]();
    await fixture[Symbol.asyncDispose]();
  });

  const options = () => ({
    port: 3001,
    credentials: fixture.simulator.credentials,
    ciphertext: fixture.ciphertext,
    encryptionContext: ENCRYPTION_CONTEXT,
  });

  test("decrypts with credentials that are given, or that a function provides, as text and bytes", async () => {
    using plaintext = await decrypt({ ...options(), timeoutMs: 60_000 });
    assert.equal(new TextDecoder().decode(plaintext.bytes), PLAINTEXT);
    let asked = 0;
    using again = await decrypt({
      ...options(),
      ciphertext: new Uint8Array(Buffer.from(fixture.ciphertext, "base64")),
      credentials: () => {
        asked++;
        return fixture.simulator.credentials;
      },
    });
    assert.deepEqual([new TextDecoder().decode(again.bytes), asked], [PLAINTEXT, 1]);
  });

  test("is told what was refused, and why that may be", async () => {
    await assert.rejects(decrypt({ ...options(), encryptionContext: { tenant: "other" } }), {
      code: "ERR_KMSTOOL",
      reason: "Could not decrypt ciphertext",
      hint: /encryption context/,
    });
    const wrong = { ...fixture.simulator.credentials, secretAccessKey: "wrong" };
    await assert.rejects(decrypt({ ...options(), credentials: wrong }), { code: "ERR_KMSTOOL" });
  });
});

describe("kmstoolDecrypt() and replies of kmstool_enclave", () => {
  test("sends what kmstool_instance sends, and reads spaces, escapes and what follows a plaintext", async () => {
    await using enclave = await speak([C.ok, C.plaintext]);
    using plaintext = await decrypt({ region: "eu-central-1", encryptionContext: { b: "2", a: "é" } });
    assert.deepEqual([...plaintext.bytes], [0xff, 0xef]);
    assert.deepEqual(enclave.got.map((message) => JSON.parse(message)), [
      {
        Operation: "SetClient",
        AwsAccessKeyId: CREDENTIALS.accessKeyId,
        AwsSecretAccessKey: CREDENTIALS.secretAccessKey,
        AwsSessionToken: CREDENTIALS.sessionToken,
        AwsRegion: "eu-central-1",
      },
      { Operation: "Decrypt", Ciphertext: "AQID", EncryptionContext: { b: "2", a: "é" } },
    ]);
  });

  test("leaves out a token, a region and a context that are not there", async () => {
    await using enclave = await speak([C.ok, C.plaintext]);
    const credentials = { accessKeyId: "AKIA", secretAccessKey: "s" };
    using _ = await decrypt({ credentials, encryptionContext: {} });
    assert.deepEqual(enclave.got, [
      '{"Operation":"SetClient","AwsAccessKeyId":"AKIA","AwsSecretAccessKey":"s"}',
      '{"Operation":"Decrypt","Ciphertext":"AQID"}',
    ]);
  });

  test("takes an empty plaintext, and a reply in pieces", async () => {
    await using _ = await listen(socket(3000), {}, async ({ stream }) => {
      stream.on("error", () => {});
      for (const byte of `${C.ok}{ "Status": "Ok", "Message": "" }\0`) {
        stream.write(byte);
        await new Promise((resolve) => setTimeout(resolve));
      }
    });
    using plaintext = await decrypt();
    assert.equal(plaintext.length, 0);
  });

  test("ends at a refused SetClient: no ciphertext is sent", async () => {
    await using enclave = await speak([
      '{ "Status": "Error", "Message": "Could not create new client" }\0',
      C.plaintext,
    ]);
    await assert.rejects(decrypt(), {
      code: "ERR_KMSTOOL",
      message: "Cannot set the client by kmstool: Could not create new client",
    });
    assert.equal(enclave.got.length, 1);
  });

  for (
    const [what, replies, expected] of [
      ["refuses to decrypt", [C.ok, C.refused], {
        code: "ERR_KMSTOOL",
        reason: "Could not decrypt ciphertext",
      }],
      ["refuses and does not say why", [C.ok, '{ "Status": "Error" }\0'], {
        code: "ERR_KMSTOOL",
        reason: "",
      }],
      ["sends control sequences", [C.ok, '{"Status":"Error","Message":"\\u001b[31mx"}\0'], {
        reason: "?[31mx",
      }],
      ["hangs up at once", [undefined], { code: "ERR_CONNECTION" }],
      ["hangs up after SetClient", [C.ok, undefined], { code: "ERR_CONNECTION" }],
      ["answers no JSON", ["HTTP/1.1 400\0"], { code: "ERR_PROTOCOL" }],
      ["answers another status", ['{"Status":"ok"}\0'], { code: "ERR_PROTOCOL" }],
      ["answers what was not asked for", ['{"Status":"Ok","Message":"AQID"}\0'], { code: "ERR_PROTOCOL" }],
      ["answers more members", ['{"Status":"Ok","More":1}\0'], { code: "ERR_PROTOCOL" }],
      ["answers no plaintext", [C.ok, C.ok], { code: "ERR_PROTOCOL" }],
      ["answers no base64", [C.ok, '{"Status":"Ok","Message":"AQI"}\0'], { code: "ERR_PROTOCOL" }],
      ["answers more than 8192 bytes", ["x".repeat(9000)], { code: "ERR_PROTOCOL" }],
    ] as const
  ) {
    test(`an enclave that ${what}`, async () => {
      await using _ = await speak(replies);
      await assert.rejects(decrypt({ timeoutMs: 60_000 }), expected);
    });
  }

  test("an enclave that hangs: TimeoutError, or the reason of the signal", async () => {
    await using _ = await speak(["", ""]);
    await assert.rejects(decrypt({ timeoutMs: 50 }), { code: "ERR_TIMEOUT", stage: "enclave" });
    const reason = new Error("enough");
    await assert.rejects(decrypt({ signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
    await assert.rejects(decrypt({ signal: AbortSignal.abort(reason) }), (error) => error === reason);
  });

  test("nobody there: ConnectionError", async () => {
    await assert.rejects(decrypt({ port: 3999 }), {
      code: "ERR_CONNECTION",
      message: /^Cannot connect to the enclave/,
    });
  });

  test("refuses options that are none, and what fits no message, before it connects", async () => {
    await using enclave = await speak([]);
    const refuses = (options: object, pattern: RegExp) =>
      assert.rejects(decrypt(options), (error) => pattern.test(String(error)));
    await refuses({ ciphertext: "AQI" }, /^TypeError: Cannot decode ciphertext/);
    await refuses({ ciphertext: "" }, /^RangeError: ciphertext/);
    await refuses({ enclaveCid: 3 }, /^RangeError: enclaveCid/);
    await refuses({ endpoint: socket(3000) }, /^TypeError: endpoint stands/);
    await refuses({ region: "nowhere/" }, /region/);
    await refuses({ encryptionContext: { a: 1 } }, /^TypeError: encryptionContext/);
    await refuses({ context: {} }, /no field `context`/);
    await refuses({ ciphertext: new Uint8Array(6200) }, /^RangeError: ciphertext and/);
    await refuses(
      { credentials: { ...CREDENTIALS, sessionToken: "t".repeat(8192) } },
      /^RangeError: credentials must fit/,
    );
    await refuses({ credentials: () => Promise.reject(new Error("s3cr3t")) }, /^CredentialsError/);
    assert.equal(enclave.got.length, 0);
  });

  test("wipes what it sent and received", async () => {
    await using _ = await speak([C.ok, C.plaintext]);
    const wiped: string[] = [];
    {
      using _spy = spyOnFill((bytes) => wiped.push(new TextDecoder().decode(bytes)));
      (await decrypt())[Symbol.dispose]();
    }
    const has = (text: string) => wiped.some((bytes) => bytes.includes(text));
    assert.ok(has('"AwsSecretAccessKey":"s3\\"cr\\\\3t"'));
    // As it came, and as it was read.
    assert.ok(has("\\/+8="));
    assert.ok(has('"/+8='));
  });
});
