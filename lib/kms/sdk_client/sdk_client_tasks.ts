/**
 * Operations that the C SDK's client has a call for. All others are refused by name.
 *
 * @module
 */
import { UnsupportedOperationError } from "../../core/errors.ts";
import { allocateOffHeap, SecretBytes } from "../../core/secret_bytes.ts";
import { DataKey } from "../data_key.ts";
import type { Checked, OperationName, Result } from "../operations/operations.ts";
import type { SdkClientTask } from "./sdk_client_job.ts";

/** Bytes that a task fills: the secret first. Every task fills something. */
export type TaskResults = readonly [Uint8Array<ArrayBuffer>, ...Uint8Array<ArrayBuffer>[]];

/** Runs a task on the C client's thread. The task is made when the thread is free. */
export type RunTask = (makeTask: () => SdkClientTask) => Promise<TaskResults>;

/** Tasks by the operation that they do. */
export type SdkClientTasks = {
  readonly [K in OperationName]?: (checked: Checked<K>, run: RunTask) => Promise<Result<K>>;
};

/** Empty bytes, for what C takes as none. */
export const NOTHING: Uint8Array<ArrayBuffer> = new Uint8Array(new ArrayBuffer(0));

/** Tasks that the C client has. */
export const SDK_CLIENT_TASKS: SdkClientTasks = {
  async decrypt({ ciphertext, keyId, encryptionAlgorithm, encryptionContext }, run) {
    const [plaintext] = await run(() => ({
      operation: "decrypt",
      ciphertext: copy(ciphertext),
      keyId: encodeOptional(keyId),
      encryptionAlgorithm: encodeOptional(encryptionAlgorithm),
      encryptionContext: encodeContext(encryptionContext),
    }));
    return new SecretBytes(plaintext);
  },

  // C takes no algorithm: symmetric keys only.
  async encrypt({ plaintext, keyId, encryptionAlgorithm, encryptionContext }, run) {
    if (encryptionAlgorithm !== "SYMMETRIC_DEFAULT") throw unsupported("encrypt under an asymmetric key");
    const [ciphertext] = await run(() => ({
      operation: "encrypt",
      plaintext: copy(plaintext.bytes),
      keyId: encode(keyId),
      encryptionContext: encodeContext(encryptionContext),
    }));
    return { ciphertext, keyId };
  },

  // C takes no encryption context and no other length.
  async generateDataKey({ keyId, length, encryptionContext }, run) {
    if (encryptionContext !== undefined) throw unsupported("generate a data key with an encryption context");
    if (typeof length === "number") throw unsupported("generate a data key by numberOfBytes");
    const [plaintext, ciphertext] = await run(() => ({
      operation: "generateDataKey",
      keyId: encode(keyId),
      keySpec: length,
    }));
    return new DataKey({ plaintext: new SecretBytes(plaintext), ciphertext: ciphertext ?? NOTHING, keyId });
  },

  async generateRandom({ numberOfBytes }, run) {
    const [random] = await run(() => ({ operation: "generateRandom", numberOfBytes }));
    return new SecretBytes(random);
  },
};

/**
 * Makes the refusal of an operation that the C client has no call for.
 *
 * @param what Verb and object, such as `derive a shared secret`
 * @returns The error
 */
export function unsupported(what: string): UnsupportedOperationError {
  return new UnsupportedOperationError(
    `Cannot ${what} on engine sdk-client: the C client has no call for it`,
    { hint: "Use engine direct or sdk" },
  );
}

/**
 * Copies bytes into memory that can be transferred to the client's thread.
 *
 * @param bytes Any number of bytes
 * @returns The copy
 */
export function copy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const own = allocateOffHeap(bytes.length);
  own.set(bytes);
  return own;
}

/**
 * Encodes a text as UTF-8 for the client's thread.
 *
 * @param text The text
 * @returns Its bytes
 */
export function encode(text: string): Uint8Array<ArrayBuffer> {
  return copy(new TextEncoder().encode(text));
}

/**
 * Encodes a text, if there is one.
 *
 * @param text The text, or undefined
 * @returns Its bytes, or undefined
 */
export function encodeOptional(text: string | undefined): Uint8Array<ArrayBuffer> | undefined {
  return text === undefined ? undefined : encode(text);
}

function encodeContext(context: Readonly<Record<string, string>> | undefined) {
  return context === undefined ? undefined : encode(JSON.stringify(context));
}
