import assert from "node:assert/strict";
import process from "node:process";
import { beforeEach, describe, test } from "#test";
import type { Pointer } from "../../../ffi/symbols.ts";
import { DisposedError, SdkGenericError } from "../../../lib/core/errors.ts";
import { Handle } from "../../../lib/native/handle.ts";
import { SdkByteBuffer } from "../../../lib/native/sdk_byte_buffer.ts";
import { SdkKeyPair } from "../../../lib/native/sdk_key_pair.ts";
import { SdkLibrary } from "../../../lib/native/sdk_library.ts";
import { garbageCollector } from "../../support/garbage.ts";
import { doublePath, SdkDouble, WITHOUT_DOUBLE } from "../../support/sdk_double.ts";

const zeros = (length: number) => new Uint8Array(new ArrayBuffer(length));

class TestHandle extends Handle<"test"> {
  constructor(address: bigint, release: (pointer: Pointer<"test">) => void) {
    super("TestHandle", address as Pointer<"test">, release);
  }
}

/** Handles that write down their release, and whose release throws where it is told to. */
function makeHandles(failing: readonly bigint[] = []) {
  const released: bigint[] = [];
  const acquire = (address: bigint) =>
    new TestHandle(address, (pointer) => {
      released.push(pointer);
      if (failing.includes(pointer)) throw new RangeError(`release ${pointer}`);
    });
  return { released, acquire };
}

describe("Handle", () => {
  test("releases once, with the pointer it owned; afterwards the pointer is an error", () => {
    const { released, acquire } = makeHandles();
    const handle = acquire(0x10n);
    assert.equal(handle.pointer, 0x10n);
    handle[Symbol.dispose]();
    handle[Symbol.dispose]();
    assert.deepEqual(released, [0x10n]);
    assert.throws(() => handle.pointer, (error) => {
      assert.ok(error instanceof DisposedError);
      assert.match(error.message, /TestHandle/);
      return true;
    });
  });

  test("counts as released when its release throws: never twice", () => {
    const { released, acquire } = makeHandles([0x10n]);
    const handle = acquire(0x10n);
    assert.throws(() => handle[Symbol.dispose](), RangeError);
    assert.throws(() => handle.pointer, DisposedError);
    handle[Symbol.dispose]();
    assert.deepEqual(released, [0x10n]);
  });

  test("that is collected without dispose is told of; one that was disposed is not; neither is freed", async () => {
    const { released, acquire } = makeHandles();
    const told: string[] = [];
    const tell = ({ name, message }: Error) => name === "EnclaveKmsLeak" && told.push(message);
    process.on("warning", tell);
    try {
      acquire(0x10n)[Symbol.dispose]();
      acquire(0x20n);
      const collect = garbageCollector();
      for (let round = 0; round < 100 && told.length === 0; round++) {
        collect();
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    } finally {
      process.off("warning", tell);
    }
    assert.deepEqual(told, ["TestHandle was collected without dispose; its C memory is lost"]);
    assert.deepEqual(released, [0x10n]);
  });

  test("a release that throws does not stop the others, and its error arrives", () => {
    const { released, acquire } = makeHandles([0x20n]);
    assert.throws(() => {
      using _first = acquire(0x10n);
      using _second = acquire(0x20n);
      using _third = acquire(0x30n);
    }, /^RangeError: release 32$/);
    assert.deepEqual(released, [0x30n, 0x20n, 0x10n]);
  });

  test("when all releases throw, all are tried, and no error is lost", () => {
    const { released, acquire } = makeHandles([0x10n, 0x20n]);
    assert.throws(() => {
      using _first = acquire(0x10n);
      using _second = acquire(0x20n);
      throw new TypeError("the work failed");
    }, (error) => {
      assert.ok(error instanceof SuppressedError);
      assert.match(String(error.error), /release 16/);
      assert.match(String(error.suppressed.error), /release 32/);
      assert.match(String(error.suppressed.suppressed), /the work failed/);
      return true;
    });
    assert.deepEqual(released, [0x20n, 0x10n]);
  });
});

describe.skipIf(doublePath === undefined)(`handles that fail, over the double${WITHOUT_DOUBLE}`, () => {
  const double = new SdkDouble(doublePath ?? "");

  beforeEach(() => double.reset());

  /** The library as it is, but for one function that does its work and then throws. */
  function sabotage<N extends "aws_attestation_rsa_keypair_destroy" | "aws_byte_buf_clean_up_secure">(
    library: SdkLibrary,
    cFunction: N,
  ): SdkLibrary {
    const { sdk, allocator } = library;
    const release = sdk.call[cFunction] as (argument: unknown) => void;
    const releaseAndThrow = (argument: unknown) => {
      release(argument);
      throw new RangeError(`${cFunction} throws`);
    };
    return {
      sdk: { ...sdk, call: { ...sdk.call, [cFunction]: releaseAndThrow } },
      allocator,
      share: () => sabotage(library.share(), cFunction),
      [Symbol.dispose]: () => library[Symbol.dispose](),
    } as unknown as SdkLibrary;
  }

  test("SdkKeyPair leaves the library although its key pair's release throws", async () => {
    const library = SdkLibrary.acquire(doublePath);
    const keyPair = await SdkKeyPair.create(sabotage(library, "aws_attestation_rsa_keypair_destroy"));
    library[Symbol.dispose]();
    assert.equal(double.live(), 2);
    assert.throws(() => keyPair[Symbol.dispose](), /keypair_destroy throws/);
    keyPair[Symbol.dispose]();
    assert.deepEqual(double.log().slice(-2), [
      "release aws_attestation_rsa_keypair_destroy #2",
      "release aws_nitro_enclaves_library_clean_up #1",
    ]);
    assert.equal(double.live(), 0);
  });

  test("SdkKeyPair.open() wipes every buffer although each release throws", async () => {
    using library = SdkLibrary.acquire(doublePath);
    using keyPair = await SdkKeyPair.create(sabotage(library, "aws_byte_buf_clean_up_secure"));
    assert.throws(() => keyPair.open(zeros(256), zeros(16), zeros(16)), SuppressedError);
    assert.equal(double.live(), 2);
    assert.deepEqual(double.violations(), []);
  });

  test("the reason of an earlier failure is not taken for that of a later one", async () => {
    using library = SdkLibrary.acquire(doublePath);
    using keyPair = await SdkKeyPair.create(library);
    double.setLastError(34);
    assert.equal(keyPair.open(zeros(256), zeros(16), zeros(16)), undefined);
    double.fail("aws_attestation_rsa_keypair_new");
    await assert.rejects(SdkKeyPair.create(library), hasNoNativeCode);
    double.fail("aws_byte_buf_init");
    assert.throws(() => SdkByteBuffer.copyOf(library.sdk, library.allocator, zeros(1)), hasNoNativeCode);
  });
});

function hasNoNativeCode(error: unknown): boolean {
  assert.ok(error instanceof SdkGenericError);
  assert.equal(error.nativeCode, 0);
  return true;
}
