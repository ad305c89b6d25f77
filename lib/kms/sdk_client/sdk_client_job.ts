import type { SocketDomain } from "../../native/sdk_client.ts";
import type { DataKeySpec } from "../operations/generate_data_key.ts";

/** One call for the C client, as it crosses to its thread. Bytes are transferred, not copied. */
export type SdkClientJob = SdkClientSetup & SdkClientTask;

/** Parts of the client. */
export interface SdkClientSetup {
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
}

/** Task of the client. Texts are UTF-8; an encryption context is a JSON object of strings. */
export type SdkClientTask =
  | {
    readonly operation: "decrypt";
    readonly ciphertext: Uint8Array<ArrayBuffer>;
    readonly keyId: Uint8Array<ArrayBuffer> | undefined;
    readonly encryptionAlgorithm: Uint8Array<ArrayBuffer> | undefined;
    readonly encryptionContext: Uint8Array<ArrayBuffer> | undefined;
  }
  | {
    readonly operation: "encrypt";
    readonly plaintext: Uint8Array<ArrayBuffer>;
    readonly keyId: Uint8Array<ArrayBuffer>;
    readonly encryptionContext: Uint8Array<ArrayBuffer> | undefined;
  }
  | {
    readonly operation: "generateDataKey";
    readonly keyId: Uint8Array<ArrayBuffer>;
    readonly keySpec: DataKeySpec;
  }
  | { readonly operation: "generateRandom"; readonly numberOfBytes: number };

/** Result of a job: the buffers that the client filled, the secret first, or the parts of an error. */
export type SdkClientReply =
  | { readonly results: readonly Uint8Array<ArrayBuffer>[] }
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
  const values: readonly unknown[] = Object.values(job);
  return values.filter((value): value is Uint8Array<ArrayBuffer> => value instanceof Uint8Array);
}
