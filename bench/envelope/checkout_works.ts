import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type * as envelopeModule from "../../lib/envelope/mod.ts";
import type * as secretModule from "../../lib/core/secret_bytes.ts";
import { type EnvelopeWorks, MESSAGE_BYTES, STREAM_BYTES } from "./order.ts";

/** Bytes that the input comes in, and most of them at once. */
const CHUNK_BYTES = 65_536;
/** Memory of a reader that brings its own: a piece of one frame, with what is around it. */
const READ_BYTES = CHUNK_BYTES + 64;
const KEY_ID = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

type Bytes = Uint8Array<ArrayBuffer>;

type Streams = Pick<typeof envelopeModule, "encryptStream" | "decryptStream">;

/** Functions for one message; checkouts from before they came have streams only. */
interface OneShot {
  readonly encryptMessage?: (client: object, plaintext: Bytes, options: object) => Promise<Bytes>;
  readonly decryptMessage?: (client: object, message: Bytes, options: object) => Promise<Secret>;
}

type Secret = Disposable & { readonly bytes: Bytes };

/**
 * Makes the works of a checkout. Nothing of this one is imported, so that Deno can run it with the other's import map.
 *
 * @param folder Folder of the checkout, with its packages installed
 * @throws {Error} When it does not decrypt what it encrypted
 */
export async function checkoutWorks(folder: string): Promise<EnvelopeWorks> {
  const load = (path: string) => import(pathToFileURL(join(folder, path)).href);
  const envelope = await load("lib/envelope/mod.ts") as Streams & OneShot;
  const { SecretBytes } = await load("lib/core/secret_bytes.ts") as typeof secretModule;
  const key = crypto.getRandomValues(new Uint8Array(32));
  const client = {
    generateDataKey() {
      const plaintext = SecretBytes.copyOf(key);
      const dispose = () => plaintext[Symbol.dispose]();
      return Promise.resolve({
        plaintext,
        ciphertext: new Uint8Array(184),
        keyId: KEY_ID,
        [Symbol.dispose]: dispose,
      });
    },
    decrypt: () => Promise.resolve(SecretBytes.copyOf(key)),
  };
  const options = { keyId: KEY_ID };
  const encrypting = (plaintext: Bytes) =>
    streamOf(plaintext).pipeThrough(envelope.encryptStream(client, options));
  const decrypting = (message: Bytes) =>
    streamOf(message).pipeThrough(envelope.decryptStream(client, options));
  const { encryptMessage, decryptMessage } = envelope;
  const encrypt = async (plaintext: Bytes) =>
    encryptMessage === undefined
      ? await collect(encrypting(plaintext))
      : await encryptMessage(client, plaintext, options);
  const decrypt = async (message: Bytes): Promise<Secret> =>
    decryptMessage === undefined
      ? SecretBytes.copyOf(await collect(decrypting(message)))
      : await decryptMessage(client, message, options);
  const [large, small] = [new Uint8Array(STREAM_BYTES).fill(1), new Uint8Array(MESSAGE_BYTES).fill(2)];
  const [stream, message] = [await collect(encrypting(large)), await encrypt(small)];
  using opened = await decrypt(message);
  if (!isSame(await collect(decrypting(stream)), large) || !isSame(opened.bytes, small)) {
    throw new Error(`The checkout ${folder} does not decrypt what it encrypted`);
  }
  return {
    encryptStream: () => drain(encrypting(large)),
    decryptStream: () => drain(decrypting(stream)),
    encryptInto: () => drainInto(encrypting(large)),
    decryptInto: () => drainInto(decrypting(stream)),
    encryptMessage: async () => void await encrypt(small),
    async decryptMessage() {
      using _plaintext = await decrypt(message);
    },
  };
}

function streamOf(bytes: Bytes): ReadableStream<Bytes> {
  let offset = 0;
  return new ReadableStream({
    pull(controller) {
      if (offset >= bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(offset, offset += CHUNK_BYTES));
    },
  });
}

async function drain(stream: ReadableStream<Uint8Array>): Promise<void> {
  const reader = stream.getReader();
  while (!(await reader.read()).done);
}

/** Reads a stream into the same memory again and again; one of a checkout that cannot do so as {@link drain} does. */
async function drainInto(stream: ReadableStream<Uint8Array>): Promise<void> {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = stream.getReader({ mode: "byob" });
  } catch {
    return await drain(stream);
  }
  let memory = new Uint8Array(new ArrayBuffer(READ_BYTES));
  for (let isDone = false; !isDone;) {
    const { value, done } = await reader.read(memory);
    if (value !== undefined) memory = new Uint8Array(value.buffer);
    isDone = done;
  }
}

async function collect(stream: ReadableStream<Uint8Array>): Promise<Bytes> {
  const chunks: Uint8Array[] = [];
  // Copied at once: a chunk is its maker's again when the next one is asked for.
  for await (const chunk of stream) chunks.push(chunk.slice());
  const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}
