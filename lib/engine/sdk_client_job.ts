import type { SocketDomain } from "../native/sdk_client.ts";

/** One decrypt for the C client, as it crosses to its thread. Bytes are transferred, not copied. */
export interface SdkClientJob {
  /** Path of the C SDK, which the main thread has loaded and initialised. */
  readonly library: string;
  readonly address: string;
  readonly port: number;
  readonly domain: SocketDomain;
  readonly region: Uint8Array<ArrayBuffer>;
  readonly hostName: Uint8Array<ArrayBuffer> | undefined;
  readonly accessKeyId: Uint8Array<ArrayBuffer>;
  readonly secretAccessKey: Uint8Array<ArrayBuffer>;
  /** Empty for none. */
  readonly sessionToken: Uint8Array<ArrayBuffer>;
  readonly ciphertext: Uint8Array<ArrayBuffer>;
  readonly keyId: Uint8Array<ArrayBuffer> | undefined;
  readonly encryptionAlgorithm: Uint8Array<ArrayBuffer> | undefined;
  /** A JSON object of strings. */
  readonly encryptionContext: Uint8Array<ArrayBuffer> | undefined;
}

/** What comes back: the plaintext, or the parts of an error. */
export type SdkClientReply =
  | { readonly plaintext: Uint8Array<ArrayBuffer> }
  | { readonly error: SdkClientFailure };

/** An error as it crosses threads. */
export interface SdkClientFailure {
  readonly name: string;
  readonly message: string;
  readonly cFunction: string;
  readonly nativeCode: number;
  readonly hint: string;
}

/**
 * The memory of a job, for the list of what is transferred.
 *
 * @param job A job whose bytes each have an ArrayBuffer of their own
 */
export function jobMemory(job: SdkClientJob): ArrayBuffer[] {
  return jobBytes(job).map((bytes) => bytes.buffer);
}

/**
 * Overwrites all bytes of a job.
 *
 * @param job A job that is done
 */
export function wipeJob(job: SdkClientJob): void {
  for (const bytes of jobBytes(job)) bytes.fill(0);
}

function jobBytes(job: SdkClientJob): Uint8Array<ArrayBuffer>[] {
  const values: (SdkClientJob[keyof SdkClientJob])[] = Object.values(job);
  return values.filter((value) => value instanceof Uint8Array);
}
