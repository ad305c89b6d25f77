import assert from "node:assert/strict";
import { beforeEach, describe, test } from "#test";
import { AttestationError, SdkGenericError, SdkInitError } from "../../../lib/core/errors.ts";
import { SdkByteBuffer } from "../../../lib/native/sdk_byte_buffer.ts";
import { SdkClientConfiguration, SdkSocketEndpoint } from "../../../lib/native/sdk_client.ts";
import { SdkKeyPair } from "../../../lib/native/sdk_key_pair.ts";
import { SdkLibrary } from "../../../lib/native/sdk_library.ts";
import { SdkString } from "../../../lib/native/sdk_string.ts";
import { isDisposed } from "../../support/disposed.ts";
import { doublePath, SdkDouble, WITHOUT_DOUBLE } from "../../support/sdk_double.ts";

const bytes = (length: number, value = 7) => new Uint8Array(new ArrayBuffer(length)).fill(value);

describe.skipIf(doublePath === undefined)(`handles over the C SDK${WITHOUT_DOUBLE}`, () => {
  const double = new SdkDouble(doublePath ?? "");

  beforeEach(() => double.reset());

  function assertClean(): void {
    assert.equal(double.live(), 0);
    assert.deepEqual(double.violations(), []);
  }

  test("SdkLibrary initialises once for all users and cleans up after the last", () => {
    const first = SdkLibrary.acquire(doublePath);
    const second = SdkLibrary.acquire(doublePath);
    const third = second.share();
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    second[Symbol.dispose]();
    assert.equal(double.live(), 1);
    third[Symbol.dispose]();
    assert.deepEqual(double.log().filter((line) => line.includes("library_")), [
      "acquire aws_nitro_enclaves_library_init #1",
      "release aws_nitro_enclaves_library_clean_up #1",
    ]);
    assert.throws(() => first.sdk, isDisposed("SdkLibrary"));
    assertClean();
  });

  test("SdkLibrary says where it was loaded from", () => {
    using library = SdkLibrary.acquire(doublePath);
    assert.equal(library.path, doublePath);
  });

  test("SdkLibrary without an allocator is an SdkInitError, and cleaned up", () => {
    double.fail("aws_nitro_enclaves_get_allocator");
    assert.throws(() => SdkLibrary.acquire(doublePath), (error) => {
      assert.ok(error instanceof SdkInitError);
      assert.equal(error.code, "ERR_SDK_INIT");
      assert.equal(error.cFunction, "aws_nitro_enclaves_get_allocator");
      assert.match(
        error.message,
        /^Cannot initialise the C SDK: aws_nitro_enclaves_get_allocator returned NULL/,
      );
      assert.equal(error.hint, "Is the enclave out of memory?");
      return true;
    });
    assertClean();
    using again = SdkLibrary.acquire(doublePath);
    assert.equal(typeof again.allocator, "bigint");
  });

  test("a failure carries the C function, C's error number and its name", () => {
    using library = SdkLibrary.acquire(doublePath);
    double.fail("aws_string_new_from_array");
    double.setLastError(1);
    assert.throws(
      () => SdkString.create(library.sdk, library.allocator, bytes(3), { name: "region" }),
      (error) => {
        assert.ok(error instanceof SdkGenericError);
        assert.equal(error.cFunction, "aws_string_new_from_array");
        assert.equal(error.nativeCode, 1);
        assert.equal(error.hint, "Is the enclave out of memory?");
        assert.match(
          error.message,
          /^Cannot copy the region into C memory: aws_string_new_from_array returned NULL \(AWS_ERROR_OOM\)$/,
        );
        return true;
      },
    );
  });

  test("SdkString: a secret goes through the secure function, an empty one is no NULL", () => {
    {
      using library = SdkLibrary.acquire(doublePath);
      using secret = SdkString.create(library.sdk, library.allocator, bytes(8), {
        name: "key",
        secret: true,
      });
      using plain = SdkString.create(library.sdk, library.allocator, bytes(0), { name: "token" });
      assert.notEqual(secret.pointer, plain.pointer);
      plain[Symbol.dispose]();
      assert.throws(() => plain.pointer, isDisposed("SdkString"));
    }
    assert.deepEqual(double.log().filter((line) => line.includes("string")), [
      "acquire aws_string_new_from_array #2",
      "acquire aws_string_new_from_array #3",
      "release aws_string_destroy #3",
      "release aws_string_destroy_secure #2",
    ]);
    assertClean();
  });

  test("SdkSocketEndpoint and SdkClientConfiguration are of no use once they are given back", () => {
    {
      using library = SdkLibrary.acquire(doublePath);
      const { sdk, allocator } = library;
      using region = SdkString.create(sdk, allocator, bytes(9), { name: "region" });
      using endpoint = SdkSocketEndpoint.create(sdk, allocator, "3", 8000);
      const configuration = SdkClientConfiguration.create(sdk, {
        region,
        endpoint,
        domain: "VSOCK",
        accessKeyId: region,
        secretAccessKey: region,
        sessionToken: region,
        hostName: undefined,
      });
      configuration[Symbol.dispose]();
      assert.throws(() => configuration.pointer, isDisposed("SdkClientConfiguration"));
      endpoint[Symbol.dispose]();
      assert.throws(() => endpoint.pointer, isDisposed("SdkSocketEndpoint"));
    }
    assertClean();
  });

  test("SdkByteBuffer copies in and out, and its dispose wipes", () => {
    {
      using library = SdkLibrary.acquire(doublePath);
      using buffer = SdkByteBuffer.copyOf(library.sdk, library.allocator, bytes(100));
      using empty = SdkByteBuffer.empty(library.sdk);
      assert.equal(buffer.length, 100);
      assert.deepEqual(buffer.copyOut(), bytes(100));
      assert.deepEqual(empty.copyOut(), bytes(0));
      buffer[Symbol.dispose]();
      assert.throws(() => buffer.copyOut(), isDisposed("SdkByteBuffer"));
    }
    assertClean();
  });

  const COPY_FAILURES = [
    { cFunction: "aws_byte_buf_init", action: "allocate a buffer in C memory" },
    { cFunction: "aws_byte_buf_write", action: "copy bytes into C memory" },
  ];

  for (const { cFunction, action } of COPY_FAILURES) {
    test(`SdkByteBuffer.copyOf() leaves nothing when ${cFunction} fails`, () => {
      {
        using library = SdkLibrary.acquire(doublePath);
        double.fail(cFunction);
        assert.throws(() => SdkByteBuffer.copyOf(library.sdk, library.allocator, bytes(4)), (error) => {
          assert.ok(error instanceof SdkGenericError);
          assert.ok(error.message.startsWith(`Cannot ${action}: ${cFunction} returned `), error.message);
          assert.equal(error.cFunction, cFunction);
          assert.equal(error.hint, "Is the enclave out of memory?");
          return true;
        });
        assert.equal(double.live(), 1);
      }
      assertClean();
    });
  }

  test("SdkKeyPair holds the library until it is destroyed", async () => {
    const library = SdkLibrary.acquire(doublePath);
    const keyPair = await SdkKeyPair.create(library);
    library[Symbol.dispose]();
    assert.equal(double.live(), 2);
    keyPair[Symbol.dispose]();
    keyPair[Symbol.dispose]();
    assert.deepEqual(double.log().slice(-2), [
      "release aws_attestation_rsa_keypair_destroy #2",
      "release aws_nitro_enclaves_library_clean_up #1",
    ]);
    double.reset();
    assert.throws(() => keyPair.open(bytes(256), bytes(16), bytes(16)), isDisposed("SdkKeyPair"));
    await assert.rejects(keyPair.attestationDocument(), isDisposed("SdkKeyPair"));
    assert.deepEqual(double.log(), []);
    assertClean();
  });

  test("SdkKeyPair.create() leaves nothing when C makes none", async () => {
    {
      using library = SdkLibrary.acquire(doublePath);
      double.fail("aws_attestation_rsa_keypair_new");
      await assert.rejects(SdkKeyPair.create(library), (error) => {
        assert.ok(error instanceof SdkGenericError);
        const { message, cFunction, hint } = error;
        assert.equal(message, "Cannot make an RSA key pair: aws_attestation_rsa_keypair_new returned NULL");
        assert.equal(cFunction, "aws_attestation_rsa_keypair_new");
        assert.equal(hint, "Is the enclave out of memory, or without entropy?");
        return true;
      });
      assert.equal(double.live(), 1);
    }
    assertClean();
  });

  test("SdkKeyPair without a document is an AttestationError, which says what C said", async () => {
    {
      using library = SdkLibrary.acquire(doublePath);
      using keyPair = await SdkKeyPair.create(library);
      double.fail("aws_attestation_request");
      await assert.rejects(keyPair.attestationDocument(), (error) => {
        assert.ok(error instanceof AttestationError);
        assert.equal(error.code, "ERR_ATTESTATION_UNAVAILABLE");
        assert.match(
          error.message,
          /^Cannot get an attestation document: aws_attestation_request returned -?[1-9]\d*$/,
        );
        assert.match(error.hint, /^Is this an enclave, with \/dev\/nsm\? The C SDK does not tell /);
        return true;
      });
      assert.equal(double.live(), 2);
    }
    assertClean();
  });

  test("SdkKeyPair.open() without C memory throws, and everything goes back", async () => {
    {
      using library = SdkLibrary.acquire(doublePath);
      using keyPair = await SdkKeyPair.create(library);
      double.fail("aws_byte_buf_init", 6);
      assert.throws(() => keyPair.open(bytes(256), bytes(16), bytes(16)), SdkGenericError);
      assert.equal(double.live(), 2);
    }
    assertClean();
  });

  test("SdkKeyPair disposed while C uses it is destroyed when C returns, not before", async () => {
    const library = SdkLibrary.acquire(doublePath);
    const keyPair = await SdkKeyPair.create(library);
    double.stall("aws_attestation_request");
    const document = keyPair.attestationDocument();
    while (double.stalled() === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    keyPair[Symbol.dispose]();
    library[Symbol.dispose]();
    assert.equal(double.live(), 2);
    double.releaseStalls();
    await document.catch(() => {});
    assertClean();
  });

  test("SdkKeyPair.open() of rubbish is undefined, and everything goes back in reverse", async () => {
    {
      using library = SdkLibrary.acquire(doublePath);
      using keyPair = await SdkKeyPair.create(library);
      double.reset();
      assert.equal(keyPair.open(bytes(256), bytes(16), bytes(16)), undefined);
      const acquired = [3, 4, 5, 6, 7, 8].flatMap((
        id,
      ) => [`acquire aws_byte_buf_init #${id}`, "call aws_byte_buf_write"]);
      const released = (ids: number[]) => ids.map((id) => `release aws_byte_buf_clean_up_secure #${id}`);
      assert.deepEqual(double.log(), [
        ...acquired,
        "call aws_attestation_rsa_decrypt",
        "fail aws_attestation_rsa_decrypt",
        ...released([8, 7, 6]),
        // Of zeros, over the stack where the plaintext would be.
        "call aws_cms_cipher_decrypt",
        "fail aws_cms_cipher_decrypt",
        ...released([5, 4, 3]),
      ]);
    }
    assertClean();
  });
});
