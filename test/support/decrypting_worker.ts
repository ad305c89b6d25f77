/**
 * A thread of the caller's that decrypts once, with a client of its own.
 *
 * @module
 */
import { workerData } from "node:worker_threads";
import { KmsClient, type KmsClientOptions } from "../../mod.ts";

/** Task of the thread. */
export interface DecryptingTask {
  readonly options: KmsClientOptions;
  readonly ciphertext: Uint8Array;
}

const { options, ciphertext } = workerData as DecryptingTask;
const client = await KmsClient.open(options);
using _plaintext = await client.decrypt({ ciphertext });
