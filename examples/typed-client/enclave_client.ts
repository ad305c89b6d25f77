import { type ClientResponse, hc } from "hono/client";
import { decodeBase64 } from "enclave-kms";
import type { AppType } from "enclave-kms/server";
import { createFetch, type Endpoint } from "enclave-kms/vsock";

/** Answer of the server that is a problem: its code, and no cause. */
export class ServerError extends Error {
  /** Stable code, such as `ERR_POLICY_DENIED`. */
  readonly code: string;

  /**
   * Makes an error of a problem document.
   *
   * @param code Stable code
   */
  constructor(code: string) {
    super(`The server refused: ${code}`);
    this.code = code;
  }
}

/** Client of the decrypt server on the parent: routes, bodies and answers have the server's own types. */
export class EnclaveClient {
  readonly #routes: ReturnType<typeof hc<AppType>>;

  /**
   * Makes a client. Nothing is sent yet.
   *
   * @param endpoint Address of the server: vsock, or a unix socket on a laptop
   */
  constructor(endpoint: Endpoint) {
    this.#routes = hc<AppType>("http://enclave", { fetch: createFetch(endpoint) });
  }

  /**
   * Hands over credentials, as IMDS, STS or the AWS command line write them.
   *
   * @throws {ServerError} When the server does not take them
   */
  async setCredentials(credentials: Credentials): Promise<void> {
    await expect(await this.#routes.v1.credentials.$post({ json: credentials }));
  }

  /**
   * Asks the enclave to decrypt.
   *
   * @param ciphertext KMS's ciphertext, base64
   * @param encryptionContext Encryption context that it was made with
   * @returns The plaintext; it has left the enclave, so wipe it after use
   * @throws {ServerError} When the policy or KMS refuses
   */
  async decrypt(ciphertext: string, encryptionContext: Record<string, string>): Promise<Uint8Array> {
    const answer = await this.#routes.v1.decrypt.$post({ json: { ciphertext, encryptionContext } });
    await expect(answer);
    const { plaintext } = (await answer.json()) as { plaintext: string };
    return decodeBase64(plaintext);
  }
}

type Credentials = Parameters<ReturnType<typeof hc<AppType>>["v1"]["credentials"]["$post"]>[0]["json"];

/** Throws the code of a problem document. */
async function expect(answer: ClientResponse<unknown>): Promise<void> {
  if (answer.ok) return;
  const { code = "ERR_UNKNOWN" } = (await answer.json()) as { code?: string };
  throw new ServerError(code);
}
