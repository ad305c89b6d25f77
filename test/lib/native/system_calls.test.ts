import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, test } from "#test";
import { loader } from "#loader";
import { EPERM, RNDADDENTROPY, RNDRESEEDCRNG } from "../../../ffi/layouts.ts";
import { LoadFailure } from "../../../ffi/symbols.ts";
import {
  AttestationError,
  LibraryLoadError,
  SdkGenericError,
  SystemCallError,
} from "../../../lib/core/errors.ts";
import { findSdkLibrary } from "../../../lib/kms/find_library.ts";
import { isGranted } from "../../../lib/native/deno_rights.ts";
import { Descriptor } from "../../../lib/native/descriptor.ts";
import { KernelRandom, readHardwareSource } from "../../../lib/native/kernel_random.ts";
import { copyFromC, cString, errno, errnoName, libc, readCString } from "../../../lib/native/libc.ts";
import { NativeMemory } from "../../../lib/native/native_memory.ts";
import { NsmDevice } from "../../../lib/native/nsm_device.ts";
import { checkSdk, loadSdk, type Sdk } from "../../../lib/native/sdk_library.ts";
import { countDescriptors } from "../../support/descriptors.ts";
import { isDisposed } from "../../support/disposed.ts";
import { doublePath, WITHOUT_DOUBLE } from "../../support/sdk_double.ts";
import { spyOnFill } from "../../support/spy_on_fill.ts";
import { fixErrno, replaceCalls } from "./replaced_calls.ts";

const onDeno = "Deno" in globalThis;
const REASON = onDeno ? " (skipped: here Deno itself answers)" : "";

/** The first test: nothing has loaded libc yet. */
describe("libc", () => {
  test("that cannot be loaded is named with the reason, and asked for again the next time", () => {
    const changeable = loader as { open: unknown };
    const { open } = changeable;
    changeable.open = (path: string | null) => {
      throw new LoadFailure(path ?? "libc", "not today");
    };
    try {
      const paths = loader.libcPaths.map((path) => `${path ?? "libc"}: not today`);
      assert.throws(() => libc(), (error) => {
        assert.ok(error instanceof LibraryLoadError);
        assert.equal(error.message, `Cannot load libc: ${paths.join("; ")}`);
        assert.equal(
          error.hint,
          "Is this a Linux with glibc or musl, and does the process run in its own root file system?",
        );
        return true;
      });
      changeable.open = () => {
        throw new RangeError("a defect");
      };
      assert.throws(() => libc(), /^RangeError: a defect$/);
    } finally {
      changeable.open = open;
    }
    assert.equal(libc(), libc());
  });

  test("names error numbers, and has none where C says nothing", () => {
    assert.equal(errnoName(2), "ENOENT");
    for (const code of [0, -1]) assert.equal(errnoName(code), "an unknown error");
    using _none = replaceCalls({ __errno_location: () => null });
    assert.equal(errno(), 0);
  });

  test("texts cross whole: no NUL on the way in, an empty one on the way out", () => {
    assert.deepEqual([...cString("ä")], [0xc3, 0xa4, 0]);
    assert.throws(() => cString("a\0b"), /^TypeError: A string for C must not contain a NUL$/);
    using memory = NativeMemory.create(4);
    const pointer = memory.pointer as never;
    assert.equal(readCString(pointer), "");
    memory.write(new Uint8Array([0x61, 0x62, 0x63, 0]));
    assert.equal(readCString(pointer), "abc");
    assert.equal(readCString(pointer, 2), "ab");
  });
});

describe("NativeMemory", () => {
  test("is zeroed, holds what it is given, and no more", () => {
    using memory = NativeMemory.create(4);
    assert.equal(memory.extent.length, 4);
    assert.equal(memory.extent.address, memory.pointer);
    assert.deepEqual([...memory.read(4)], [0, 0, 0, 0]);
    memory.write(new Uint8Array([1, 2, 3, 4]));
    assert.deepEqual([...memory.read(2)], [1, 2]);
    assert.throws(() => memory.write(new Uint8Array(5)), /^RangeError: More bytes than the memory has$/);
    assert.throws(() => memory.read(5), /^RangeError: More bytes than the memory has$/);
  });

  test("is wiped, then freed", () => {
    const done: string[] = [];
    const { explicit_bzero, free } = libc().call;
    const memory = NativeMemory.create(8);
    const { pointer } = memory;
    using _watched = replaceCalls({
      explicit_bzero: (address, length) => {
        done.push(`wipe ${address === pointer} ${length}`);
        explicit_bzero(address, length);
      },
      free: (address) => {
        done.push(`free ${address === pointer}`);
        free(address);
      },
    });
    memory[Symbol.dispose]();
    memory[Symbol.dispose]();
    assert.deepEqual(done, ["wipe true 8", "free true"]);
    assert.throws(() => memory.read(1), isDisposed("NativeMemory"));
  });

  test("that there is too little of is a SystemCallError", () => {
    fails(() => NativeMemory.create(2 ** 50), {
      message: `Cannot allocate ${2 ** 50} bytes: calloc returned NULL`,
      cFunction: "calloc",
      hint: "Is the enclave out of memory?",
    });
  });
});

describe("Descriptor", () => {
  const HINT = "Is the enclave out of memory or descriptors?";

  test("memoryFile() that the kernel refuses or does not fill leaves no descriptor", () => {
    const before = countDescriptors(/^\/memfd:/);
    const content = new Uint8Array([1]);
    const name = "x".repeat(300);
    fails(() => Descriptor.memoryFile(name, content), {
      message: `Cannot make a file in memory for ${name}: memfd_create failed with EINVAL`,
      cFunction: "memfd_create",
      hint: HINT,
    });
    for (const written of [0, -1]) {
      using _refused = replaceCalls({ write: () => written });
      using _errno = fixErrno(28);
      fails(() => Descriptor.memoryFile("certificates", content), {
        message: "Cannot fill the file in memory for certificates: write failed with ENOSPC",
        cFunction: "write",
        hint: HINT,
      });
    }
    assert.equal(countDescriptors(/^\/memfd:/), before);
  });

  test("memoryFile() goes on where the kernel stopped", () => {
    const { write } = libc().call;
    using _slow = replaceCalls({ write: (fd, bytes) => write(fd, bytes, 1) });
    using file = Descriptor.memoryFile("certificates", new Uint8Array([7, 8, 9]));
    assert.deepEqual([...readFileSync(`/proc/self/fd/${file.fd}`)], [7, 8, 9]);
  });

  test("is of no use once it is released or closed", () => {
    const file = Descriptor.memoryFile("x", new Uint8Array(1));
    using again = new Descriptor(file.release());
    assert.throws(() => file.fd, isDisposed("Descriptor"));
    assert.throws(() => file.release(), isDisposed("Descriptor"));
    file[Symbol.dispose]();
    assert.ok(existsSync(`/proc/self/fd/${again.fd}`));
  });
});

describe("devices", () => {
  test("one that is no NSM answers nothing, and that is an AttestationError", async () => {
    using device = NsmDevice.open("/dev/null");
    await assert.rejects(device.exchange(new Uint8Array(1)), (error) => {
      assert.ok(error instanceof AttestationError);
      assert.equal(error.code, "ERR_ATTESTATION_UNAVAILABLE");
      assert.equal(error.message, "Cannot ask the NSM: ioctl returned -1");
      assert.match(error.hint, /^The driver answered with an error or nothing at all/);
      return true;
    });
  });

  test("the kernel is given the bytes themselves, with their count, and the copies are wiped", () => {
    const before = countDescriptors(/^\/dev\/null$/);
    const bytes = Uint8Array.from({ length: 40 }, (_, index) => index + 1);
    const wiped: Uint8Array[] = [];
    const given: [number, Uint8Array][] = [];
    {
      using kernel = KernelRandom.open("/dev/null");
      using _calls = replaceCalls({
        ioctl: (_fd, request, pointer) => {
          given.push([request, copyFromC(pointer as never, request === RNDADDENTROPY ? 48 : 1)]);
          return 0;
        },
      });
      using _spy = spyOnFill((filled) => wiped.push(Uint8Array.from(filled)));
      assert.equal(kernel.add(bytes), true);
      assert.equal(kernel.reseed(), true);
    }
    const struct = new Uint8Array([64, 1, 0, 0, 40, 0, 0, 0, ...bytes]); // 320 bits, 40 bytes
    assert.deepEqual(given, [[RNDADDENTROPY, struct], [RNDRESEEDCRNG, new Uint8Array(1)]]);
    assert.deepEqual(wiped, [struct]);
    assert.equal(countDescriptors(/^\/dev\/null$/), before);
  });

  test("those that are not there say what to look at", async () => {
    fails(() => KernelRandom.open("/proc/nonexistent"), {
      message: "Cannot open /proc/nonexistent: open failed with ENOENT",
      cFunction: "open",
      hint: "Is /dev mounted in this enclave?",
    });
    assert.throws(() => NsmDevice.open("/proc/nonexistent"), {
      name: "AttestationError",
      message: "Cannot open /proc/nonexistent: open failed with ENOENT",
      hint: "Is this process inside a Nitro Enclave? On a laptop, use the simulator and its `nsm`",
    });
    using device = NsmDevice.open("/dev/null");
    await assert.rejects(
      device.exchange(new Uint8Array(4097)),
      /^RangeError: An NSM request has at most 4096 bytes, not 4097$/,
    );
    await assert.rejects(device.exchange(new Uint8Array(4096)), AttestationError);
    device[Symbol.dispose]();
    await assert.rejects(device.exchange(new Uint8Array(1)), isDisposed("NsmDevice"));
  });

  test("the kernel without CAP_SYS_ADMIN is written to, and what it does not take is an error", () => {
    using kernel = KernelRandom.open("/dev/null");
    const bytes = new Uint8Array(40).fill(7);
    const written: Uint8Array[] = [];
    let taken = 40;
    using _calls = replaceCalls({
      ioctl: () => -1,
      write: (_fd, source) => {
        written.push(source.slice());
        return taken;
      },
    });
    {
      using _errno = fixErrno(EPERM);
      assert.equal(kernel.add(bytes), false);
      assert.deepEqual(written, [bytes]);
      taken = 39;
      fails(() => kernel.add(bytes), {
        message: "Cannot mix bytes into the kernel's pool: write failed with EPERM",
        cFunction: "write",
        hint: "Is that the kernel's own /dev/random?",
      });
      assert.equal(kernel.reseed(), false);
    }
    written.length = 0;
    using _errno = fixErrno(25);
    fails(() => kernel.add(bytes), {
      message: "Cannot seed the kernel: ioctl failed with ENOTTY",
      cFunction: "ioctl",
      hint: "Is that the kernel's own /dev/random?",
    });
    assert.deepEqual(written, []);
  });

  test("what cannot be read has no name", () => {
    assert.equal(readHardwareSource("/nonexistent"), undefined);
    assert.equal(readHardwareSource("/proc"), undefined);
    assert.equal(readHardwareSource("/proc/self/comm")?.includes("\n"), false);
  });
});

describe("isGranted()", () => {
  test.skipIf(onDeno)(`asks Deno for every right, and Node for none${REASON}`, () => {
    const rights = [{ name: "read", path: "/a" }, { name: "env" }];
    assert.equal(isGranted(...rights), true);
    for (
      const [states, granted] of [
        [["granted", "granted"], true],
        [["granted", "prompt"], false],
        [["denied", "granted"], false],
      ] as const
    ) {
      const querySync = (right: unknown) => ({ state: states[rights.indexOf(right as never)] });
      Object.assign(globalThis, { Deno: { permissions: { querySync } } });
      try {
        assert.equal(isGranted(...rights), granted);
      } finally {
        delete (globalThis as { Deno?: unknown }).Deno;
      }
    }
  });
});

describe("the C SDK's library", () => {
  const USUAL = ["/usr/lib64", "/usr/lib", "/usr/local/lib64", "/usr/local/lib"].flatMap((folder) =>
    ["libaws-nitro-enclaves-sdk-c.so.0unstable", "libaws-nitro-enclaves-sdk-c.so"].map((name) =>
      `${folder}/${name}`
    )
  );
  const installed = USUAL.some((path) => existsSync(path));

  test.skipIf(installed)(
    `is looked for at ten places${installed ? " (skipped: it is installed)" : ""}`,
    () => {
      assert.throws(() => loadSdk(), (error) => {
        assert.ok(error instanceof LibraryLoadError);
        const tried = [...error.message.matchAll(/(?:^[^/]*|; )(\/\S+): /g)].map(([, path]) => path ?? "");
        assert.deepEqual(tried.slice(0, 8), USUAL);
        assert.deepEqual(
          tried.slice(8).map((path) => path.replace(/^\/usr\/lib\/(?:x86_64|aarch64)-linux-gnu\//, "")),
          ["libaws-nitro-enclaves-sdk-c.so.0unstable", "libaws-nitro-enclaves-sdk-c.so"],
        );
        assert.match(error.message, /^Cannot load aws-nitro-enclaves-sdk-c: \/usr/);
        assert.doesNotMatch(error.message, /is missing/);
        assert.match(error.hint, /`library` names its path, and engine direct does without$/);
        return true;
      });
    },
  );

  test("that is another one lacks a symbol", () => {
    const other = /\S+\/libm\.so\S*$/m.exec(readFileSync("/proc/self/maps", "utf8"))?.[0];
    if (other === undefined) return;
    assert.throws(() => loadSdk(other), (error) => {
      assert.ok(error instanceof LibraryLoadError);
      const start = `Cannot load aws-nitro-enclaves-sdk-c: ${other}: symbol `;
      assert.match(error.message.replace(start, ""), /^aws_\w+ is missing$/);
      return true;
    });
  });

  test.skipIf(doublePath === undefined)(`is found where it is said to be${WITHOUT_DOUBLE}`, () => {
    assert.equal(findSdkLibrary(doublePath), doublePath);
    assert.equal(loadSdk(doublePath), loadSdk(doublePath));
  });

  /** Makes the part of a library that checkSdk() calls. */
  function withLastError(code: number, name: string | null): { sdk: Sdk; reset: () => number } {
    let resets = 0;
    const text = NativeMemory.create(32);
    if (name !== null) text.write(cString(name));
    const call = {
      aws_last_error: () => code,
      aws_error_name: () => name === null ? null : text.pointer,
      aws_reset_error: () => void resets++,
    };
    return { sdk: { call } as unknown as Sdk, reset: () => resets };
  }

  const failed = { action: "do it", cFunction: "aws_do", hint: "Why?" };

  test("a result that is none of C's failures is passed on", () => {
    const { sdk, reset } = withLastError(34, "AWS_ERROR_X");
    for (const result of [0, 5n, true, "text"]) {
      assert.equal(checkSdk(sdk, result, SdkGenericError, failed), result);
    }
    assert.equal(reset(), 0);
  });

  test("a failure says what C returned, and C's own error once", () => {
    const cases = [
      [null, 34, "AWS_ERROR_X", "NULL (AWS_ERROR_X)"],
      [undefined, 34, null, "NULL (error 34)"],
      [false, 0, null, "false"],
      [-1, 0, null, "-1"],
      [1, 7, "AWS_ERROR_Y", "1 (AWS_ERROR_Y)"],
    ] as const;
    for (const [result, code, name, returned] of cases) {
      const { sdk, reset } = withLastError(code, name);
      assert.throws(() => checkSdk(sdk, result, SdkGenericError, failed), (error) => {
        assert.ok(error instanceof SdkGenericError);
        assert.equal(error.message, `Cannot do it: aws_do returned ${returned}`);
        assert.deepEqual([error.cFunction, error.nativeCode, error.hint], ["aws_do", code, "Why?"]);
        return true;
      });
      assert.equal(reset(), 1);
    }
  });
});

function fails(run: () => unknown, expected: { message: string; cFunction: string; hint: string }): void {
  assert.throws(run, (error) => {
    assert.ok(error instanceof SystemCallError, String(error));
    const { message, cFunction, hint } = error;
    assert.deepEqual({ message, cFunction, hint }, expected);
    return true;
  });
}
