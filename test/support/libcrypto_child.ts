/**
 * Looks for libcrypto in the surroundings that a test gives this process, works with it, and prints what came of it as one
 * line of JSON. Its first argument says in which way.
 *
 * @module
 */
import process from "node:process";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { decodeHex, encodeHex } from "../../lib/core/encoding.ts";
import { runBlocking } from "../../lib/native/blocking_calls.ts";
import { findKeyPairLibcrypto, findLibcrypto, type Libcrypto } from "../../lib/native/libcrypto.ts";
import { NativeMemory } from "../../lib/native/native_memory.ts";
import { OpensslGcm } from "../../lib/native/openssl_cipher.ts";
import { digestInto } from "../../lib/native/openssl_digest.ts";

const MESSAGES = 300;
const RSA = new TextEncoder().encode("RSA\0");

/** Seals and opens messages beside what other threads do, and returns a digest of the last. */
function work(libcrypto: Libcrypto): string {
  const bytes = (length: number) => new Uint8Array(new ArrayBuffer(length));
  const [key, iv, tag, text, output] = [bytes(32), bytes(12), bytes(16), bytes(1000), bytes(32)];
  using sealing = OpensslGcm.forSealing(libcrypto, key);
  using opening = OpensslGcm.forOpening(libcrypto, key);
  for (let message = 0; message < MESSAGES; message++) {
    iv[0] = message & 255;
    sealing.seal(iv, key, text, text, tag);
    if (!opening.open(iv, key, text, tag, text)) throw new Error("A message does not open");
    if (opening.open(iv, iv, text.slice(), tag, bytes(1000))) throw new Error("A wrong message opens");
  }
  digestInto(libcrypto, "sha256", decodeHex("616263"), output);
  return encodeHex(output);
}

/** Begins to make a key pair on another thread, which takes far longer than this process goes on. */
function makeKeyPair({ call, callAsync }: Libcrypto): void {
  const context = call.EVP_PKEY_CTX_new_from_name(null, RSA, null);
  if (context === null) throw new Error("No RSA");
  call.EVP_PKEY_keygen_init(context);
  call.EVP_PKEY_CTX_set_rsa_keygen_bits(context, 3072);
  void runBlocking("other", () => callAsync.EVP_PKEY_generate(context, NativeMemory.create(8).pointer));
}

function report(): Record<string, unknown> {
  const { libcrypto, reason, hint } = findLibcrypto();
  if (libcrypto === undefined) return { reason, hint };
  const { version, origin } = libcrypto;
  return { version, origin, digest: work(libcrypto), queued: libcrypto.call.ERR_peek_error() };
}

/** Runs this file on another thread, until it has reported. */
async function onThread(argument: string): Promise<{ worker: Worker; told: Record<string, unknown> }> {
  const worker = new Worker(new URL(import.meta.url), { argv: [argument] });
  const told = await new Promise<Record<string, unknown>>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  return { worker, told };
}

const WAYS: Readonly<Record<string, () => Promise<unknown>>> = {
  here: () => Promise.resolve(report()),
  forKeyPairs() {
    const { libcrypto, reason, hint } = findKeyPairLibcrypto();
    return Promise.resolve({ version: libcrypto?.version, reason, hint });
  },
  async threads() {
    const threads = await Promise.all(["here", "here", "here", "here"].map(onThread));
    const here = report();
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
    return { here, threads: threads.map(({ told }) => told), after: report() };
  },
  /** The first thread that loads the library ends, and with it what that thread alone used. */
  async threadFirst() {
    const { worker, told } = await onThread("here");
    await worker.terminate();
    return { told, after: report() };
  },
  async terminate() {
    const { worker, told } = await onThread("keyPair");
    await worker.terminate();
    return { told, after: report() };
  },
  keyPair() {
    const { libcrypto } = findLibcrypto();
    makeKeyPair(libcrypto!);
    return Promise.resolve({ version: libcrypto!.version });
  },
  async exit() {
    console.log(JSON.stringify(await WAYS["keyPair"]!()));
    process.exit(7);
  },
};

const told = await WAYS[process.argv.at(-1) ?? ""]?.();
if (isMainThread) console.log(JSON.stringify(told));
else parentPort?.postMessage(told);
