import assert from "node:assert/strict";
import { describe, test } from "#test";
import { loader } from "#loader";
import { LIBC_SYMBOLS } from "../../ffi/libc_symbols.ts";
import { FfiFailure, LoadFailure, type Pointer, type SymbolTable } from "../../ffi/symbols.ts";
import { libc } from "../../lib/native/libc.ts";

const onDeno = "Deno" in globalThis;
const NOT_KOFFI = onDeno ? " (skipped: Deno has its own FFI)" : "";

const text = (value: string) => new TextEncoder().encode(`${value}\0`);

/** Calls with arguments that TypeScript would not let through. */
function callUnchecked(name: keyof typeof LIBC_SYMBOLS, ...args: unknown[]): unknown {
  return (libc().call[name] as (...args: unknown[]) => unknown)(...args);
}

describe("loader", () => {
  test("calls cross with their types: pointers, sizes, integers, bytes", () => {
    const { call } = libc();
    const pointer = call.calloc(4, 8);
    assert.equal(typeof pointer, "bigint");
    if (pointer === null) return assert.fail("calloc returned NULL");
    const out = new Uint8Array(5);
    call.memmove(pointer, text("hello"), 6);
    call.memcpy(out, pointer, 5);
    assert.equal(new TextDecoder().decode(out), "hello");
    assert.equal(call.strnlen(pointer as Pointer<string> as Pointer<"c_char">, 32), 5);
    assert.equal(call.free(pointer), undefined);
  });

  test("a negative result stays negative, NULL is null", () => {
    assert.equal(libc().call.close(-1), -1);
    assert.equal(libc().call.write(-1, text("x"), 1), -1);
    assert.equal(libc().call.getenv(text("ENCLAVE_KMS_NO_SUCH_VARIABLE")), null);
  });

  test("asynchronous calls run elsewhere and leave this thread free", async () => {
    const fds = new Uint8Array(8);
    new DataView(fds.buffer).setInt32(0, -1, true);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    assert.equal(await libc().callAsync.poll(fds, 1, 100), 0);
    clearInterval(timer);
    assert.ok(ticks > 0);
  });

  test("every kind crosses in a library that is opened anew, and only blocking calls on another thread", async () => {
    const { close, write, calloc, free, memmove, memcpy, strnlen, poll, memfd_create } = LIBC_SYMBOLS;
    const table = { close, write, calloc, free, memmove, memcpy, strnlen, poll, memfd_create };
    const { call, callAsync } = loader.open(libc().path, table);
    assert.deepEqual([call.close(-1), call.write(-1, text("x"), 1)], [-1, -1]);
    const pointer = call.calloc(2, 8);
    assert.equal(typeof pointer, "bigint");
    call.memmove(pointer!, text("hello"), 6);
    const out = new Uint8Array(8);
    call.memcpy(out, pointer!, 8);
    assert.deepEqual(out, new Uint8Array([...text("hello"), 0, 0]));
    assert.equal(call.strnlen(pointer as Pointer<string> as Pointer<"c_char">, 16), 5);
    assert.equal(call.free(pointer!), undefined);
    // More than 2^31: no such flags.
    assert.equal(call.memfd_create(text("x"), 0xffff_ffff), -1);
    assert.deepEqual(Object.keys(callAsync), ["poll"]);
    assert.equal(await callAsync.poll(new Uint8Array([255, 255, 255, 255, 0, 0, 0, 0]), 1, 0), 0);
  });

  test.skipIf(onDeno)(`asynchronous calls have stacks of 4 MiB${NOT_KOFFI}`, async () => {
    loader.open(libc().path, {});
    const { default: koffi } = await import("koffi");
    assert.equal(koffi.config().async_stack_size, 4 << 20);
  });

  test.skipIf(onDeno)(`stacks that are too small already are an FfiFailure${NOT_KOFFI}`, async () => {
    const { default: koffi } = await import("koffi");
    const { config } = koffi;
    const sizes: unknown[] = [];
    let size: number | undefined;
    const changed = (options?: { async_stack_size?: number }) => {
      if (options === undefined) return { async_stack_size: size };
      sizes.push(options.async_stack_size);
      if (size !== undefined) throw new Error("too late");
    };
    Object.assign(koffi, { config: changed });
    try {
      loader.open(libc().path, {});
      assert.deepEqual(sizes, [4 << 20]);
      size = 131_072;
      for (const path of [null, "/no/such/library.so"]) {
        assert.throws(() => loader.open(path, {}), (error) => {
          assert.ok(error instanceof FfiFailure);
          assert.equal(error.hint, "Load this library before what else uses koffi");
          assert.equal(
            error.message,
            "koffi was already in use with a stack of 131072 bytes for asynchronous calls, and C needs 4194304",
          );
          return true;
        });
      }
      size = 4 << 20;
      sizes.length = 0;
      loader.open(libc().path, {});
      assert.deepEqual(sizes, []);
    } finally {
      Object.assign(koffi, { config });
    }
  });

  test("a library of no name is libc, and its failures say so", () => {
    for (const path of loader.libcPaths) {
      const table = { no_such_symbol: { parameters: [], result: ["void", "void"] } } as const;
      assert.throws(() => loader.open(path, table), (error) => {
        assert.ok(error instanceof LoadFailure);
        assert.equal(error.path, path ?? "libc");
        assert.notEqual(error.message, "");
        return true;
      });
      if (!onDeno) return;
    }
  });

  test("bad arguments never reach C on another thread either", async () => {
    const fds = new Uint8Array(8);
    const poll = (...args: unknown[]) => async () =>
      await (libc().callAsync.poll as (...args: unknown[]) => Promise<unknown>)(...args);
    await assert.rejects(poll(fds, -1, 0), /^RangeError: Cannot call poll: argument/);
    await assert.rejects(poll(new Uint8Array(0), 1, 0), /^RangeError: .* must not be empty/);
    await assert.rejects(poll(fds, 1), /^TypeError: Cannot call poll: expected 3 arguments, got 2$/);
  });

  test("bad arguments never reach C", () => {
    const bad: [keyof typeof LIBC_SYMBOLS, unknown[], RegExp][] = [
      ["close", [], /expected 1 arguments, got 0/],
      ["close", ["1"], /`int fd` must be a number/],
      ["close", [1.5], /`int fd` must be an integer/],
      ["close", [2 ** 31], /must be an integer from -2147483648 to 2147483647/],
      ["close", [NaN], /must be an integer/],
      ["calloc", [-1, 1], /`size_t nmemb` must be an integer from 0/],
      ["calloc", [2 ** 53, 1], /must be an integer from 0/],
      ["memfd_create", [text("x"), -1], /`unsigned int flags` must be an integer from 0/],
      ["getenv", ["PATH"], /`const char \*name` must be a Uint8Array/],
      ["getenv", [new Uint8Array(0)], /must not be empty: C would see NULL/],
      ["getenv", [null], /must be a Uint8Array/],
      ["getenv", [new Uint8Array(new SharedArrayBuffer(4))], /over an ArrayBuffer/],
      ["free", [4096], /`void \*ptr` must be a pointer/],
      ["free", [null], /must be a pointer/],
      ["free", [0n], /must be an address/],
      ["free", [1n << 64n], /must be an address/],
    ];
    for (const [name, args, message] of bad) {
      assert.throws(() => callUnchecked(name, ...args), (error: Error) => {
        assert.ok(error instanceof TypeError || error instanceof RangeError);
        assert.match(error.message, message);
        return true;
      });
    }
  });

  test("memory that was transferred away counts as empty", () => {
    const gone = text("x");
    structuredClone(gone, { transfer: [gone.buffer] });
    assert.throws(() => callUnchecked("getenv", gone), /must not be empty/);
  });

  test("a missing library is a LoadFailure with its path", () => {
    assert.throws(() => loader.open("/no/such/library.so", {}), (error) => {
      assert.ok(error instanceof LoadFailure);
      assert.equal(error.path, "/no/such/library.so");
      assert.equal(error.symbol, undefined);
      return true;
    });
  });

  test("a missing symbol is a LoadFailure with its name, an optional one is undefined", () => {
    const missing = {
      no_such_symbol: { parameters: [], result: ["i32", "int"] },
    } as const satisfies SymbolTable;
    const optional = { no_such_symbol: { ...missing.no_such_symbol, optional: true } } as const;
    const path = libc().path;
    assert.throws(() => loader.open(path, missing), (error) => {
      assert.ok(error instanceof LoadFailure);
      assert.equal(error.symbol, "no_such_symbol");
      return true;
    });
    assert.equal(loader.open(path, optional).call.no_such_symbol, undefined);
  });
});
