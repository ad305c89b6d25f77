/**
 * A process that encrypts and decrypts what it is told under a data key that it is told, both in disguise, and then
 * waits, so that its memory can be searched.
 *
 * @module
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { SecretBytes } from "../../mod.ts";
import {
  DataKeyCache,
  decryptFile,
  decryptMessage,
  decryptStream,
  encryptMessage,
  encryptStream,
} from "../../lib/envelope/mod.ts";
import { openLibcrypto } from "../../lib/native/libcrypto.ts";
import { revealBytes } from "./disguise.ts";

/** Ways to use a message. */
export type EnvelopeTask =
  | "stream"
  | "torn"
  | "cancelled"
  | "abandoned"
  | "own"
  | "tornOwn"
  | "message"
  | "tornMessage"
  | "file"
  | SignedTask
  | CacheTask;

/** Ways to use a signed message, whose plaintext is held until its signature is verified. */
export type SignedTask =
  | "signed"
  | "signedForged"
  | "signedCancelled"
  | "signedHeld"
  | "signedMessage"
  | "forgedSignedMessage";

/** Ways in which a data key leaves a cache. */
export type CacheTask = "cacheKept" | "cacheDisposed" | "cacheCleared" | "cacheEvicted" | "cacheExpired";
/** Command to the process, a line of JSON; secrets in disguise. */
export interface EnvelopeCommand {
  readonly task: EnvelopeTask;
  readonly plaintext: readonly number[];
  readonly dataKey: readonly number[];
  /** Keeps what is secret on purpose: to prove that a search would find it. */
  readonly keep: boolean;
}

/** Answer of the process, a line of JSON. */
export interface EnvelopeAnswer {
  /** Bytes of plaintext that came out, or an error's code. */
  readonly outcome: string;
  /** Message ids, which are no secrets. */
  readonly messageIds: readonly (readonly number[])[];
  /** Whether OpenSSL's functions were called. */
  readonly isOpenssl: boolean;
}

const KEY_ARN = "arn:aws:kms:us-east-1:111122223333:key/715c0818-5825-4245-a755-138a6d9a11e6";
const FRAME_BYTES = 4096;
const ROUNDS = 3;
const OPTIONS = { keyId: KEY_ARN };

const OTHER = "another";

const kept: unknown[] = [];

/** Caches and readers that are used no more, and not collected. */
const live: unknown[] = [];

if (process.argv[1]?.endsWith("envelope_memory_child.ts")) await obeyAll();

async function obeyAll(): Promise<void> {
  for await (const line of createInterface(process.stdin)) {
    process.stdout.write(`${JSON.stringify(await obey(JSON.parse(line) as EnvelopeCommand))}\n`);
  }
}

async function obey({ task, plaintext: disguised, dataKey, keep }: EnvelopeCommand): Promise<EnvelopeAnswer> {
  using key = new SecretBytes(revealBytes(dataKey));
  const messageIds: number[][] = [];
  let outcome = "";
  for (let round = 0; round < ROUNDS; round++) {
    const plaintext = revealBytes(disguised);
    const message = await encrypt(task, clientOf(key), plaintext);
    if (keep) kept.push(plaintext.slice(), key.bytes.slice());
    plaintext.fill(0);
    messageIds.push([...message.subarray(3, 35)]);
    // In the third frame.
    if (task.startsWith("torn")) message[message.length - 2000]! ^= 1;
    // In the signature: all frames are genuine.
    if (/forged/i.test(task)) message[message.length - 1]! ^= 1;
    try {
      outcome = task.startsWith("cache")
        ? String(await throughCache(task as CacheTask, clientOf(key), revealBytes(disguised)))
        : String(await decrypt(task, clientOf(key), message));
    } catch (error) {
      outcome = (error as { code?: string }).code ?? String(error);
    }
  }
  return { outcome, messageIds, isOpenssl: openLibcrypto() !== undefined };
}

function clientOf(key: SecretBytes) {
  return {
    generateDataKey: () => {
      const plaintext = SecretBytes.copyOf(key.bytes);
      const dispose = () => plaintext[Symbol.dispose]();
      const ciphertext = new Uint8Array(184);
      return Promise.resolve({ plaintext, ciphertext, keyId: KEY_ARN, [Symbol.dispose]: dispose });
    },
    decrypt: () => Promise.resolve(SecretBytes.copyOf(key.bytes)),
  };
}

type Client = ReturnType<typeof clientOf>;

async function encrypt(
  task: EnvelopeTask,
  client: Client,
  plaintext: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const options = { ...OPTIONS, frameBytes: FRAME_BYTES, signed: /signed/i.test(task) };
  if (/message/i.test(task)) return await encryptMessage(client, plaintext, options);
  const source = ReadableStream.from([plaintext]);
  return new Uint8Array(await new Response(source.pipeThrough(encryptStream(client, options))).arrayBuffer());
}

async function decrypt(
  task: EnvelopeTask,
  client: Client,
  message: Uint8Array<ArrayBuffer>,
): Promise<number> {
  if (/message/i.test(task)) {
    using plaintext = await decryptMessage(client, message, OPTIONS);
    return plaintext.length;
  }
  if (task === "file") return await throughFile(client, message);
  // In chunks that are no frames, so that some frames are put together from two.
  const chunks = Array.from(
    { length: Math.ceil(message.length / 3000) },
    (_, index) => message.subarray(index * 3000, (index + 1) * 3000),
  );
  if (task === "signedCancelled" || task === "signedHeld") {
    return await leaveHeld(client, chunks, task === "signedCancelled");
  }
  const plain = ReadableStream.from(chunks).pipeThrough(decryptStream(client, OPTIONS));
  if (/own/i.test(task)) return await intoOwnMemory(plain);
  const reader = plain.getReader();
  const pieces = task === "cancelled" || task === "abandoned" ? 1 : Infinity;
  let length = 0;
  for (let piece = 0; piece < pieces; piece++) {
    const { value, done } = await reader.read();
    if (done) return length;
    length += value.length;
    value.fill(0);
  }
  if (task === "cancelled") await reader.cancel();
  return length;
}

/** Reads into memory of the reader's own: too short for a frame, then for one, then for several. */
async function intoOwnMemory(stream: ReadableStream<Uint8Array>): Promise<number> {
  const reader = stream.getReader({ mode: "byob" });
  let length = 0;
  for (const size of [1000, FRAME_BYTES, 3 * FRAME_BYTES, ...new Array<number>(10).fill(FRAME_BYTES)]) {
    const { value, done } = await reader.read(new Uint8Array(new ArrayBuffer(size)));
    if (done) return length;
    length += value.length;
    value.fill(0);
  }
  return length;
}

/** Leaves a signed message whose last byte does not come, once all the others were read. */
async function leaveHeld(
  client: Client,
  chunks: readonly Uint8Array[],
  isCancelled: boolean,
): Promise<number> {
  const left = [...chunks];
  left.push(left.pop()!.subarray(0, -1));
  const { promise: isRead, resolve } = Promise.withResolvers<void>();
  const source = new ReadableStream<Uint8Array>({
    pull: (controller) => left.length > 0 ? controller.enqueue(left.shift()!) : resolve(),
  }, { highWaterMark: 0 });
  const reader = source.pipeThrough(decryptStream(client, OPTIONS)).getReader();
  const reading = reader.read();
  await isRead;
  live.push(reader);
  if (!isCancelled) return 0;
  await reader.cancel();
  return (await reading).value?.length ?? 0;
}

/** Encrypts and decrypts over a cache, which then loses the data key and stays. */
async function throughCache(
  task: CacheTask,
  client: Client,
  plaintext: Uint8Array<ArrayBuffer>,
): Promise<number> {
  const isExpired = task === "cacheExpired";
  const cache = new DataKeyCache(clientWithOthers(client), {
    maxAgeMs: isExpired ? 1000 : 86_400_000,
    maxKeys: task === "cacheEvicted" ? 1 : 100,
  });
  live.push(cache);
  const message = await encryptMessage(cache, plaintext, OPTIONS);
  plaintext.fill(0);
  using opened = await decryptMessage(cache, message, OPTIONS);
  if (task === "cacheDisposed") cache[Symbol.dispose]();
  if (task === "cacheCleared") cache.clear();
  const encryptionContext = { which: OTHER };
  if (task === "cacheEvicted") {
    await encryptMessage(cache, new Uint8Array(8), { ...OPTIONS, encryptionContext });
  }
  while (isExpired && cache.size > 0) await sleep(50);
  return opened.length;
}

/** Gives other data keys than the one of the task under another context. */
function clientWithOthers(client: Client): Client {
  return {
    generateDataKey(request?: { readonly encryptionContext?: Readonly<Record<string, string>> | undefined }) {
      if (request?.encryptionContext?.["which"] !== OTHER) return client.generateDataKey();
      using other = new SecretBytes(crypto.getRandomValues(new Uint8Array(32)));
      return clientOf(other).generateDataKey();
    },
    decrypt: () => client.decrypt(),
  };
}

/** The plaintext would be in the page cache, not in this process. */
async function throughFile(client: Client, message: Uint8Array): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "enclave-kms-memory-"));
  try {
    await writeFile(join(folder, "sealed"), message);
    await decryptFile(client, { from: join(folder, "sealed"), to: join(folder, "plain"), ...OPTIONS });
    return message.length;
  } finally {
    await rm(folder, { recursive: true });
  }
}
