import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import { KmsClient, kmsDecrypt } from "../../../mod.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";

const CANARY = "canary-4711";

let enclave: Simulator;
let client: KmsClient;

beforeAll(async () => {
  enclave = await startSimulator();
  client = await KmsClient.open(enclave.clientOptions);
});
afterAll(async () => {
  await client.close();
  await enclave[Symbol.asyncDispose]();
});

/** Calls with what TypeScript would not let through. */
const decrypt = (request: unknown) => client.decrypt(request as { ciphertext: string });
const open = (options: unknown) => KmsClient.open(options as { region: string; credentials: never });

type Mistake = readonly [
  name: string,
  value: unknown,
  expected: typeof TypeError | typeof RangeError,
  message: RegExp,
];

const bytes = (length: number) => new Uint8Array(length);
const request = (fields: object) => ({ ciphertext: bytes(100), ...fields });

const BAD_REQUESTS: readonly Mistake[] = [
  ["no object", undefined, TypeError, /decrypt request must be a plain object/],
  ["no ciphertext", {}, TypeError, /^ciphertext must be/],
  [
    "an empty ciphertext",
    { ciphertext: bytes(0) },
    RangeError,
    /^ciphertext must have 1 to 6144 bytes, not 0/,
  ],
  ["a ciphertext of 6145 bytes", { ciphertext: bytes(6145) }, RangeError, /1 to 6144 bytes, not 6145/],
  ["an array of numbers", { ciphertext: [1, 2, 3] }, TypeError, /^ciphertext must be/],
  ["an ArrayBuffer", { ciphertext: new ArrayBuffer(8) }, TypeError, /^ciphertext must be/],
  ["an empty string", { ciphertext: "" }, RangeError, /^ciphertext/],
  ["base64 without padding", { ciphertext: "YQ" }, TypeError, /ciphertext/],
  ["base64 with a line break", { ciphertext: "YWJj\nYWJj" }, TypeError, /ciphertext/],
  ["base64 with bits that are not zero", { ciphertext: "YR==" }, TypeError, /ciphertext/],
  ["base64url", { ciphertext: "-_-_" }, TypeError, /ciphertext/],
  [
    "a field that does not exist",
    request({ encryptioncontext: {} }),
    TypeError,
    /no field `encryptioncontext`/,
  ],
  [
    "a context that is an array",
    request({ encryptionContext: ["a"] }),
    TypeError,
    /^encryptionContext must be/,
  ],
  ["a context that is null", request({ encryptionContext: null }), TypeError, /^encryptionContext must be/],
  [
    "a context with a number",
    request({ encryptionContext: { a: 1 } }),
    TypeError,
    /^encryptionContext must have/,
  ],
  [
    "a lone surrogate as a value",
    request({ encryptionContext: { a: "\ud800" } }),
    TypeError,
    /encryptionContext's values .*surrogate/,
  ],
  [
    "a lone surrogate as a name",
    request({ encryptionContext: { "\udc00": "a" } }),
    TypeError,
    /encryptionContext's names .*surrogate/,
  ],
  [
    "a NUL in the context",
    request({ encryptionContext: { a: `${CANARY}\0` } }),
    TypeError,
    /values must not contain a NUL/,
  ],
  ["an empty key id", request({ keyId: "" }), RangeError, /^keyId must have 1 to 2048/],
  ["a key id with a NUL", request({ keyId: "a\0b" }), TypeError, /^keyId must not contain a NUL/],
  ["a key id with a blank", request({ keyId: "alias/my key" }), TypeError, /^keyId must be a key id/],
  ["a key id that is a number", request({ keyId: 7 }), TypeError, /^keyId must be a string/],
  [
    "an unknown algorithm",
    request({ encryptionAlgorithm: "ROT13" }),
    TypeError,
    /^encryptionAlgorithm must be one of/,
  ],
  [
    "an asymmetric algorithm without a key",
    request({ encryptionAlgorithm: "RSAES_OAEP_SHA_256" }),
    TypeError,
    /needs a keyId/,
  ],
  ["a negative time-out", request({ timeoutMs: -1 }), RangeError, /^timeoutMs must be an integer/],
  ["a fractional time-out", request({ timeoutMs: 1.5 }), RangeError, /^timeoutMs must be an integer/],
  ["a time-out in words", request({ timeoutMs: "1s" }), TypeError, /^timeoutMs must be a number/],
  ["a signal that is none", request({ signal: {} }), TypeError, /^signal must be an AbortSignal/],
];

const options = (fields: object) => ({ ...enclave.clientOptions, ...fields });

const BAD_OPTIONS: readonly (readonly [
  name: string,
  value: () => unknown,
  expected: typeof TypeError | typeof RangeError,
  message: RegExp,
])[] = [
  ["nothing", () => undefined, TypeError, /options must be a plain object/],
  ["no region", () => options({ region: undefined }), TypeError, /region/],
  ["a region with a slash", () => options({ region: "us-east-1/x" }), TypeError, /region/],
  ["a region that leads elsewhere", () => options({ region: "x.example.com#" }), TypeError, /region/],
  [
    "an unknown engine",
    () => options({ engine: "fast" }),
    TypeError,
    /^engine must be one of auto, direct/,
  ],
  [
    "a misspelt option",
    () => options({ trustedCertificate: "" }),
    TypeError,
    /no field `trustedCertificate`/,
  ],
  [
    "an endpoint without a transport",
    () => options({ endpoint: { host: "a", port: 1 } }),
    TypeError,
    /endpoint\.transport/,
  ],
  [
    "a negative port",
    () => options({ endpoint: { transport: "tcp", host: "a", port: -1 } }),
    RangeError,
    /^endpoint\.port/,
  ],
  [
    "TCP port 0",
    () => options({ endpoint: { transport: "tcp", host: "a", port: 0 } }),
    RangeError,
    /^endpoint\.port/,
  ],
  [
    "a negative vsock port",
    () => options({ endpoint: { transport: "vsock", cid: 3, port: -8000 } }),
    RangeError,
    /^endpoint\.port/,
  ],
  [
    "a CID of 2^32",
    () => options({ endpoint: { transport: "vsock", cid: 2 ** 32, port: 1 } }),
    RangeError,
    /^endpoint\.cid/,
  ],
  [
    "a unix path of 108 bytes",
    () => options({ endpoint: { transport: "unix", path: "ä".repeat(54) } }),
    RangeError,
    /^endpoint\.path/,
  ],
  [
    "a relative library",
    () => options({ library: "lib.so" }),
    TypeError,
    /^library must be an absolute path/,
  ],
  [
    "a library with a NUL",
    () => options({ library: "/lib\0.so" }),
    TypeError,
    /^library must not contain a NUL/,
  ],
  [
    "certificates that are not PEM",
    () => options({ trustedCertificates: "MIIB" }),
    TypeError,
    /^Cannot use trustedCertificates: text 0 holds no PEM certificate$/,
  ],
  [
    "a list of no certificates",
    () => options({ trustedCertificates: [] }),
    TypeError,
    /^Cannot use trustedCertificates: expected PEM text or a list of it$/,
  ],
  [
    "certificates that are empty",
    () => options({ trustedCertificates: "" }),
    RangeError,
    /^trustedCertificates must/,
  ],
  [
    "certificates whose file is named",
    () => options({ trustedCertificates: ["/etc/ssl/cert.pem"] }),
    TypeError,
    /^Cannot use trustedCertificates: text 0 holds no PEM certificate: it looks like a file name/,
  ],
  [
    "certificates that cannot be read",
    () => options({ trustedCertificates: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n" }),
    TypeError,
    /^Cannot use trustedCertificates: certificate 0 of text 0 cannot be read$/,
  ],
  ["a host name with a port", () => options({ hostName: "kms.example.com:443" }), TypeError, /host/i],
  ["no attempts", () => options({ maxAttempts: 0 }), RangeError, /^maxAttempts/],
  ["no connections", () => options({ maxConnections: 0 }), RangeError, /^maxConnections/],
  ["no idle time", () => options({ connectionMaxIdleMs: 0 }), RangeError, /^connectionMaxIdleMs/],
  [
    "an attestation age of a day",
    () => options({ attestationMaxAgeMs: 86_400_000 }),
    RangeError,
    /^attestationMaxAgeMs/,
  ],
  ["a key pair for moments", () => options({ keyPairMaxAgeMs: 999 }), RangeError, /^keyPairMaxAgeMs/],
  ["a key pair for no use", () => options({ keyPairMaxUses: 0 }), RangeError, /^keyPairMaxUses/],
  [
    "an expiration in seconds",
    () =>
      options({ credentials: { accessKeyId: "AKIA", secretAccessKey: CANARY, expiration: 1_794_000_000 } }),
    TypeError,
    /credentials\.expiration: expected .* milliseconds/,
  ],
  ["an NSM that is none", () => options({ nsm: {} }), TypeError, /^nsm must be/],
  ["no credentials", () => options({ credentials: undefined }), TypeError, /credentials/],
  [
    "a secret key with a line break",
    () => options({ credentials: { accessKeyId: "AKIA", secretAccessKey: `${CANARY}\n` } }),
    TypeError,
    /credentials\.secretAccessKey/,
  ],
];

describe("KmsClient.decrypt() refuses", () => {
  for (const [name, value, expected, message] of BAD_REQUESTS) {
    test(name, async () => {
      const before = enclave.kms.requestCount;
      await assert.rejects(decrypt(value), (error) => isMistake(error, expected, message));
      assert.equal(enclave.kms.requestCount, before);
    });
  }
});

describe("KmsClient.open() refuses", () => {
  for (const [name, value, expected, message] of BAD_OPTIONS) {
    test(name, async () => {
      await assert.rejects(open(value()), (error) => isMistake(error, expected, message));
    });
  }
});

describe("kmsDecrypt()", () => {
  test("refuses what open() and decrypt() refuse, before it makes a key pair", async () => {
    const asked = enclave.nsm.requestCount;
    await assert.rejects(kmsDecrypt({ ...enclave.clientOptions, ciphertext: "" }), RangeError);
    await assert.rejects(kmsDecrypt({ ...enclave.clientOptions, ciphertext: "YQ==", region: "" }), TypeError);
    await assert.rejects(kmsDecrypt({ ...enclave.clientOptions, ciphertxt: "YQ==" } as never), TypeError);
    assert.equal(enclave.nsm.requestCount, asked);
  });

  test("decrypts once, and closes what it opened", async () => {
    const { keyId } = await enclave.createKey();
    const ciphertext = await enclave.encrypt({ keyId, plaintext: "hello" });
    using plaintext = await kmsDecrypt({ ...enclave.clientOptions, ciphertext, keyId, timeoutMs: 60_000 });
    assert.equal(new TextDecoder().decode(plaintext.bytes), "hello");
  });

  test("the caller's request may change after the call: it was copied", async () => {
    const { keyId } = await enclave.createKey();
    const encryptionContext: Record<string, string> = { tenant: "a" };
    const ciphertext = await enclave.encrypt({ keyId, plaintext: "hello", encryptionContext });
    const pending = client.decrypt({ ciphertext, encryptionContext });
    ciphertext.fill(0);
    encryptionContext["tenant"] = "b";
    using plaintext = await pending;
    assert.equal(plaintext.length, 5);
  });
});

function isMistake(error: unknown, expected: typeof TypeError | typeof RangeError, message: RegExp): boolean {
  assert.ok(error instanceof Error);
  assert.equal(error.name, expected.name, error.message);
  assert.match(error.message, message);
  assert.ok(!`${error.message}${error.stack}`.includes(CANARY), "the message quotes the value");
  return true;
}
