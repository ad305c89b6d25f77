import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, test } from "#test";
import { libc } from "../../../lib/native/libc.ts";
import { findLibcrypto } from "../../../lib/native/libcrypto.ts";

const CHILD = fileURLToPath(new URL("../../support/libcrypto_child.ts", import.meta.url));
const ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

const onDeno = "Deno" in globalThis;
const { libcrypto, reason } = findLibcrypto();
const REASON = libcrypto === undefined ? ` (skipped: ${reason})` : "";
const ON_DENO = onDeno ? " (skipped: Deno has other flags)" : "";
const ON_NODE = onDeno ? "" : " (skipped: Node.js has no permission for FFI by path)";

/** The system's own library, beside the one that Node.js exports. */
const SYSTEMS = ["x86_64", "aarch64"].flatMap((architecture) =>
  [`/usr/lib/${architecture}-linux-gnu`, "/usr/lib64", "/usr/lib"].map((folder) => `${folder}/libcrypto.so.3`)
).find((path) => existsSync(path) && process.platform === "linux");
const NO_SYSTEMS = SYSTEMS === undefined ? " (skipped: there is no libcrypto.so.3)" : "";

interface Surroundings {
  readonly flags?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** Runs the child in this runtime. */
async function run(
  way: string,
  { flags = onDeno ? ["--allow-all"] : [], environment = {} }: Surroundings = {},
): Promise<Record<string, unknown>> {
  const first = onDeno ? ["run", "--quiet", "--no-prompt", "--no-check"] : ["--no-warnings"];
  const { ENCLAVE_KMS_LIBCRYPTO: _, ...env } = process.env;
  const options = { env: { ...env, ...environment } };
  const { stdout } = await promisify(execFile)(
    onDeno ? "deno" : process.execPath,
    [...first, ...flags, CHILD, way],
    options,
  );
  return JSON.parse(stdout);
}

const works = (origin: string | undefined = libcrypto?.origin) => ({
  version: libcrypto?.version,
  origin,
  digest: ABC,
  queued: 0,
});

describe.skipIf(libcrypto === undefined)(`libcrypto in a process of its own${REASON}`, () => {
  test("is found, and works", async () => {
    assert.deepEqual(await run("here"), works());
  });

  test("works on several threads at once, and here after they ended", async () => {
    const { here, threads, after } = await run("threads");
    assert.deepEqual([here, after, threads], [works(), works(), new Array(4).fill(works())]);
  });

  test("works here after the thread that loaded it first ended", async () => {
    assert.deepEqual(await run("threadFirst"), { told: works(), after: works() });
  });

  test("works here after a thread was ended in the middle of a call", async () => {
    assert.deepEqual(await run("terminate"), { told: { version: libcrypto?.version }, after: works() });
  });

  test("lets the process end in the middle of a call, with its own exit code", async () => {
    await assert.rejects(run("exit"), (error) => {
      const { code, signal, stdout, stderr } = error as Record<string, unknown>;
      assert.deepEqual([code, signal, stderr], [7, null, ""]);
      assert.deepEqual(JSON.parse(String(stdout)), { version: libcrypto?.version });
      return true;
    });
  });

  test("is not used when the variable says off", async () => {
    assert.deepEqual(await run("here", { environment: { ENCLAVE_KMS_LIBCRYPTO: "off" } }), {
      reason: "OpenSSL is switched off",
      hint: "Is ENCLAVE_KMS_LIBCRYPTO off?",
    });
  });

  test.skipIf(SYSTEMS === undefined)(`is the one that the variable names${NO_SYSTEMS}`, async () => {
    const told = await run("here", { environment: { ENCLAVE_KMS_LIBCRYPTO: SYSTEMS! } });
    assert.deepEqual({ ...told, version: "" }, { ...works(SYSTEMS), version: "" });
    assert.match(String(told["version"]), /^3\./);
  });

  test("is none when the variable names another file: no place is tried instead", async () => {
    const told = await run("here", { environment: { ENCLAVE_KMS_LIBCRYPTO: "/no/libcrypto.so.3" } });
    assert.match(String(told["reason"]), /^no OpenSSL 3: \/no\/libcrypto\.so\.3: /);
  });
});

describe.skipIf(onDeno)(`Node.js with fewer rights${ON_DENO}`, () => {
  const DISABLED = {
    reason: "Cannot call C: Node.js may not load native code",
    hint: "Run node with --allow-addons, or without --permission and --no-addons",
  };
  for (const flags of [["--no-addons"], ["--permission", "--allow-fs-read=*"]]) {
    test(`${flags[0]}: none, and it says which flag is missing`, async () => {
      assert.deepEqual(await run("here", { flags }), DISABLED);
    });
  }

  test.skipIf(libcrypto === undefined)(`--permission with --allow-addons: works${REASON}`, async () => {
    const flags = ["--permission", "--allow-fs-read=*", "--allow-addons"];
    assert.deepEqual(await run("here", { flags }), works());
  });
});

describe.skipIf(!onDeno || libcrypto === undefined)(`Deno with fewer rights${ON_NODE}`, () => {
  const path = libcrypto?.origin ?? "";
  const missing = {
    reason: "Deno may not load libcrypto.so.3",
    hint: `Run deno with --allow-ffi, or with --allow-ffi=${path} where that is its place`,
  };

  test("--allow-ffi for the one path: works, without libc", async () => {
    assert.deepEqual(await run("here", { flags: [`--allow-ffi=${path}`] }), works());
  });

  test("--allow-ffi for the one path: none for key pairs, which take libc, and it says so", async () => {
    const { version, reason, hint } = await run("forKeyPairs", { flags: [`--allow-ffi=${path}`] });
    assert.equal(version, undefined);
    assert.match(String(reason), /^Cannot load libc: \/\S+: permission missing/);
    assert.match(String(hint), /--allow-ffi/);
    const told = await run("forKeyPairs", { flags: [`--allow-ffi=${path},${libc().path}`] });
    assert.deepEqual(told, { version: libcrypto?.version });
  });

  test("no --allow-ffi, or for another path: none, and it says which flag is missing", async () => {
    for (const flags of [[], ["--allow-ffi=/usr/lib/libm.so.6"]]) {
      assert.deepEqual(await run("here", { flags }), missing);
    }
  });

  test("the variable counts only where it may be read", async () => {
    const environment = { ENCLAVE_KMS_LIBCRYPTO: "off" };
    const ffi = `--allow-ffi=${path}`;
    assert.deepEqual(await run("here", { flags: [ffi], environment }), works());
    const told = await run("here", { flags: [ffi, "--allow-env=ENCLAVE_KMS_LIBCRYPTO"], environment });
    assert.equal(told["reason"], "OpenSSL is switched off");
  });
});
