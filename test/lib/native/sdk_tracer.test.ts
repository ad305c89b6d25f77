import assert from "node:assert/strict";
import { createCipheriv, createPublicKey, publicEncrypt, randomBytes } from "node:crypto";
import { Buffer } from "node:buffer";
import process from "node:process";
import { loader } from "#loader";
import { afterAll, beforeAll, beforeEach, describe, test } from "#test";
import type { SymbolTable } from "../../../ffi/symbols.ts";
import { decodeAttestationDocument } from "../../../lib/attestation/document.ts";
import { type Envelope, readEnvelope } from "../../../lib/kms/recipient/read_envelope.ts";
import { AttestationError } from "../../../lib/core/errors.ts";
import { SdkByteBuffer } from "../../../lib/native/sdk_byte_buffer.ts";
import { SdkClientConfiguration, SdkSocketEndpoint } from "../../../lib/native/sdk_client.ts";
import { SdkKeyPair } from "../../../lib/native/sdk_key_pair.ts";
import { loadSdk, SdkLibrary } from "../../../lib/native/sdk_library.ts";
import { SdkString } from "../../../lib/native/sdk_string.ts";
import { sealEnvelope } from "../../../sim/kms/cms_envelope.ts";
import { SUPERVISED_VARIABLE } from "../../../sim/instruments.ts";
import { type Enclave, startEnclave } from "../../support/engines.ts";
import { doublePath } from "../../support/sdk_double.ts";

/** `enum aws_mem_trace_level`: count allocations and their bytes. */
const AWS_MEMTRACE_BYTES = 1;
const LENGTHS = [1, 32, 4096];

/** <aws/common/allocator.h>, what only this test needs. */
const TRACER_SYMBOLS = {
  aws_mem_tracer_destroy: {
    parameters: [["pointer aws_allocator", "struct aws_allocator *trace_allocator"]],
    result: ["pointer aws_allocator", "struct aws_allocator *"],
  },
} as const satisfies SymbolTable;

const realPath = process.env["ENCLAVE_KMS_SDK_LIBRARY"];
const unsupervised = process.env[SUPERVISED_VARIABLE] === undefined
  ? "no /dev/nsm: run through npm test, with a C compiler"
  : undefined;

const LIBRARIES = [
  { name: "double", path: doublePath, reason: doublePath === undefined ? "no C compiler" : unsupervised },
  {
    name: "real C SDK",
    path: realPath,
    reason: realPath === undefined ? "ENCLAVE_KMS_SDK_LIBRARY is not set" : unsupervised,
  },
];

for (const { name, path = "", reason } of LIBRARIES) {
  const skipped = reason === undefined ? "" : ` (skipped: ${reason})`;
  describe.skipIf(reason !== undefined)(`outstanding C memory, ${name}${skipped}`, () => suite(path));
}

function suite(path: string): void {
  let enclave: Enclave;
  let library: SdkLibrary;
  let outstanding: () => number;
  let destroyTracer: () => void;
  let atStart: number;

  beforeAll(async () => {
    enclave = await startEnclave();
  });

  // The first to initialise the library chooses its allocator. By the first test and not before all: mutation
  // testing must see which tests use it.
  beforeEach(() => {
    if (library !== undefined) return;
    const { call } = loadSdk(path);
    const allocator = call.aws_default_allocator();
    assert.ok(allocator !== null);
    const tracer = call.aws_mem_tracer_new(allocator, null, AWS_MEMTRACE_BYTES, 0);
    assert.ok(tracer !== null);
    call.aws_nitro_enclaves_library_init(tracer);
    outstanding = () => call.aws_mem_tracer_count(tracer);
    const { aws_mem_tracer_destroy: destroy } = loader.open(path, TRACER_SYMBOLS, { isolated: true }).call;
    destroyTracer = () => destroy(tracer);
    library = SdkLibrary.acquire(path);
    assert.equal(library.allocator, tracer);
    atStart = outstanding();
  });
  afterAll(async () => {
    destroyTracer();
    await enclave[Symbol.asyncDispose]();
  });

  async function seal(keyPair: SdkKeyPair, plaintext: Uint8Array): Promise<Envelope> {
    const { publicKey } = decodeAttestationDocument(await keyPair.attestationDocument());
    assert.ok(publicKey !== undefined);
    return readEnvelope(sealEnvelope(plaintext, publicKey, "constructed"));
  }

  test("strings, buffers, endpoint and configuration: none", () => {
    const { sdk, allocator } = library;
    {
      const string = (text: string, secret: boolean) =>
        SdkString.create(sdk, allocator, new TextEncoder().encode(text), { name: "test", secret });
      using region = string("us-east-1", false);
      using accessKeyId = string("AKIA", false);
      using secretAccessKey = string("secret", true);
      using sessionToken = string("", true);
      using hostName = string("kms.example.com", false);
      using endpoint = SdkSocketEndpoint.create(sdk, allocator, "3", 8000);
      const domain = "VSOCK";
      const credentials = { accessKeyId, secretAccessKey, sessionToken };
      using _configuration = SdkClientConfiguration.create(sdk, {
        ...credentials,
        region,
        endpoint,
        domain,
        hostName,
      });
      using _buffer = SdkByteBuffer.copyOf(sdk, allocator, new Uint8Array(randomBytes(6144)));
      assert.ok(outstanding() > atStart);
    }
    assert.equal(outstanding(), atStart);
  });

  test("a key pair that attests and opens envelopes: none", async () => {
    {
      using keyPair = await SdkKeyPair.create(library);
      const held = outstanding();
      assert.ok(held > atStart);
      for (const length of LENGTHS) {
        const plaintext = new Uint8Array(randomBytes(length));
        const { wrappedKey, iv, ciphertext } = await seal(keyPair, plaintext);
        assert.deepEqual(keyPair.open(wrappedKey, iv, ciphertext), plaintext);
        assert.equal(outstanding(), held);
      }
    }
    assert.equal(outstanding(), atStart);
  });

  test("envelopes that do not open: none", async () => {
    using keyPair = await SdkKeyPair.create(library);
    const held = outstanding();
    const plaintext = new Uint8Array(randomBytes(48));
    const { wrappedKey, iv, ciphertext } = await seal(keyPair, plaintext);
    const wrong = (bytes: Uint8Array<ArrayBuffer>) => bytes.map((byte) => byte ^ 1);
    assert.equal(keyPair.open(wrong(wrappedKey), iv, ciphertext), undefined);
    assert.equal(keyPair.open(wrappedKey, iv, wrong(ciphertext)), undefined);
    assert.equal(outstanding(), held);
  });

  test("a content key with a byte too many, which otherwise is right: not opened, and none", async () => {
    using keyPair = await SdkKeyPair.create(library);
    const held = outstanding();
    const { publicKey } = decodeAttestationDocument(await keyPair.attestationDocument());
    assert.ok(publicKey !== undefined);
    const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
    const contentKey = randomBytes(33);
    const iv = new Uint8Array(randomBytes(16));
    const cipher = createCipheriv("aes-256-cbc", contentKey.subarray(0, 32), iv);
    const ciphertext = new Uint8Array(Buffer.concat([cipher.update("plaintext"), cipher.final()]));
    const wrap = (bytes: Uint8Array) => new Uint8Array(publicEncrypt({ key, oaepHash: "sha256" }, bytes));
    const opened = keyPair.open(wrap(contentKey.subarray(0, 32)), iv, ciphertext);
    assert.equal(new TextDecoder().decode(opened), "plaintext");
    assert.equal(keyPair.open(wrap(contentKey), iv, ciphertext), undefined);
    assert.equal(outstanding(), held);
  });

  test("an NSM that refuses or talks rubbish: none", async () => {
    using keyPair = await SdkKeyPair.create(library);
    const held = outstanding();
    for (const fault of [{ kind: "refuse", errorName: "InternalError" }, { kind: "garbage" }] as const) {
      using _fault = enclave.simulator.nsm.injectFault(fault, { times: 1 });
      await assert.rejects(keyPair.attestationDocument(), AttestationError);
      assert.equal(outstanding(), held);
    }
  });

  test("after the library's clean-up: nothing at all", () => {
    assert.equal(outstanding(), atStart);
    library[Symbol.dispose]();
    assert.equal(outstanding(), 0);
  });
}
