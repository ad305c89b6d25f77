import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, test } from "#test";
import { LIBCRYPTO_SYMBOLS } from "../../../ffi/libcrypto_symbols.ts";
import { OpensslError } from "../../../lib/core/errors.ts";
import { checkOpenssl, findLibcrypto, openLibcrypto, takeError } from "../../../lib/native/libcrypto.ts";
import { libc } from "../../../lib/native/libc.ts";
import { compileLibrary, hasCompiler } from "../../support/c_compiler.ts";

const onDeno = "Deno" in globalThis;
const libcrypto = openLibcrypto();
const REASON = libcrypto === undefined ? ` (skipped: ${findLibcrypto().reason})` : "";

const withoutCompiler = !hasCompiler();
const NO_COMPILER = withoutCompiler ? " (skipped: no C compiler)" : "";

describe("openLibcrypto()", () => {
  test.skipIf(libcrypto === undefined)(`finds OpenSSL 3, and says which${REASON}`, () => {
    assert.match(libcrypto!.version, /^[3-9]\.\d+\.\d+/);
    if (onDeno) assert.match(libcrypto!.origin, /^\/.*\/libcrypto\.so\.3$/);
    else {
      assert.equal(libcrypto!.origin, "node");
      assert.equal(libcrypto!.version.replace(/\+.*/, ""), process.versions["openssl"]?.replace(/\+.*/, ""));
    }
  });

  test("keeps what it found", () => {
    assert.equal(openLibcrypto(), libcrypto);
    assert.equal(
      findLibcrypto({ path: "/no/libcrypto.so.3" }),
      findLibcrypto({ path: "/no/libcrypto.so.3" }),
    );
  });

  const FAILURES: readonly [name: string, path: string, reason: RegExp, hint: RegExp][] = [
    ["off", "off", /^OpenSSL is switched off$/, /ENCLAVE_KMS_LIBCRYPTO/],
    ["a bare name", "libcrypto.so.3", /^the path of libcrypto is not absolute$/, /absolute path/],
    [
      "a missing file",
      "/no/libcrypto.so.3",
      /^no OpenSSL 3: \/no\/libcrypto\.so\.3: .*No such file/,
      /Is it libcrypto/,
    ],
    [
      "a file of another format",
      "/etc/passwd",
      /^no OpenSSL 3: \/etc\/passwd: .*invalid ELF header/,
      /for this arch/,
    ],
  ];
  for (const [name, path, reason, hint] of FAILURES) {
    test(`${name}: none, with a reason and a hint`, () => {
      assert.equal(openLibcrypto({ path }), undefined);
      const search = findLibcrypto({ path });
      assert.match(search.reason ?? "", reason);
      assert.match(search.hint ?? "", hint);
    });
  }

  test.skipIf(!onDeno)("a library of another kind: none, and it says what is missing", () => {
    const path = libc().path ?? "";
    assert.match(findLibcrypto({ path }).reason ?? "", /symbol OpenSSL_version_num is missing$/);
  });
});

/** Library that says what it is told to say, and has some of OpenSSL's functions, which return NULL or 0. */
function fakeLibrary(number: string, text: string, functions: readonly string[]): string {
  const answers: Readonly<Record<string, string>> = {
    OpenSSL_version_num: `unsigned long OpenSSL_version_num(void) { return ${number}; }`,
    OpenSSL_version: `const char *OpenSSL_version(int type) { return ${JSON.stringify(text)}; }`,
    OPENSSL_strlcpy: `size_t OPENSSL_strlcpy(char *to, const char *from, size_t size) {
      size_t length = strlen(from), copied = length < size ? length : size - 1;
      memcpy(to, from, copied);
      to[copied] = 0;
      return length;
    }`,
  };
  const bodies = functions.map((name) => answers[name] ?? `void *${name}(void) { return 0; }`);
  return `#include <stddef.h>\n#include <string.h>\n${bodies.join("\n")}\n`;
}

describe.skipIf(withoutCompiler)(`a library that is not OpenSSL 3${NO_COMPILER}`, () => {
  let folder = "";
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "enclave-kms-libcrypto-"))));
  afterAll(() => rmSync(folder, { recursive: true }));

  const ALL = Object.keys(LIBCRYPTO_SYMBOLS);
  const NUMBER = ["OpenSSL_version_num"];
  const THREE = "0x30000000";
  const LONG = `LibreSSL \t${"x".repeat(1000)}`;
  const CASES: readonly [name: string, number: string, text: string, functions: string[], reason: string][] =
    [
      [
        "BoringSSL or AWS-LC",
        "0x1010107f",
        "",
        NUMBER,
        "it is of version 1, or another library of that number",
      ],
      ["LibreSSL", "0x20000000", "", ALL, "it is of version 2, or another library of that number"],
      [
        "one that hides what was not needed so far",
        THREE,
        "OpenSSL 3.0.0",
        ALL.filter((name) => name !== "EVP_PKEY_decrypt"),
        "symbol EVP_PKEY_decrypt is missing",
      ],
      [
        "LibreSSL with a number of 3",
        THREE,
        "LibreSSL 4.0.0",
        ALL,
        'it is another library than OpenSSL: "LibreSSL 4.0.0"',
      ],
      [
        "AWS-LC with a number of 3",
        THREE,
        "OpenSSL 3.0.0 (compatible; AWS-LC 1.73.0)",
        ALL,
        'it is another library than OpenSSL: "OpenSSL 3.0.0 (compatible; AWS-LC 1.73.0)"',
      ],
      [
        "one that says too much",
        THREE,
        LONG,
        ALL,
        `it is another library than OpenSSL: ${JSON.stringify(LONG.slice(0, 64))}`,
      ],
      ["OpenSSL without algorithms", THREE, "OpenSSL 3.0.0 1 Jan 2026", ALL, "it has no AES-256-GCM"],
    ];
  for (const [index, [name, number, text, functions, reason]] of CASES.entries()) {
    test(`${name}: none, and it says what is wrong`, () => {
      const path = join(folder, `lib${index}.so.3`);
      compileLibrary(fakeLibrary(number, text, functions), path);
      assert.equal(openLibcrypto({ path }), undefined);
      const search = findLibcrypto({ path });
      assert.equal(search.reason, `no OpenSSL 3: ${path}: ${reason}`);
      assert.equal(search.hint, "Is it libcrypto of OpenSSL 3, for this architecture and libc?");
    });
  }
});

describe.skipIf(libcrypto === undefined)(`checkOpenssl()${REASON}`, () => {
  test("passes pointers and positive numbers on", () => {
    const failed = { action: "test", cFunction: "test" };
    assert.equal(checkOpenssl(libcrypto!, 1, failed), 1);
    assert.equal(checkOpenssl(libcrypto!, 17n, failed), 17n);
  });

  test("a failure has OpenSSL's words, and leaves the error queue empty", () => {
    const { call } = libcrypto!;
    for (let round = 0; round < 3; round++) {
      const name = new TextEncoder().encode("NO-SUCH-CIPHER\0");
      const result = call.EVP_CIPHER_fetch(null, name, null);
      const fail = () =>
        checkOpenssl(libcrypto!, result, {
          action: "fetch a cipher",
          cFunction: "EVP_CIPHER_fetch",
          hint: "why",
        });
      assert.throws(fail, (error) => {
        assert.ok(error instanceof OpensslError);
        assert.match(
          error.message,
          /^Cannot fetch a cipher: EVP_CIPHER_fetch returned NULL \(error:[0-9A-F]{8}:.*unsupported.*\)$/,
        );
        assert.deepEqual([error.code, error.cFunction, error.hint], [
          "ERR_OPENSSL",
          "EVP_CIPHER_fetch",
          "why",
        ]);
        assert.ok(error.nativeCode > 0);
        return true;
      });
      assert.equal(call.ERR_peek_error(), 0);
    }
  });

  test("a failure without a queued error says what was returned", () => {
    for (const [result, text] of [[0, "0"], [-2, "-2"], [null, "NULL"]] as const) {
      assert.throws(() => checkOpenssl(libcrypto!, result, { action: "test", cFunction: "f" }), {
        message: `Cannot test: f returned ${text}`,
        nativeCode: 0,
      });
    }
    assert.deepEqual(takeError(libcrypto!), { code: 0, text: "" });
  });
});
