import { hc } from "hono/client";
import { decodeBase64 } from "enclave-kms";
import { narrow } from "enclave-kms/channel";
import type { AppType, ControlType } from "enclave-kms/server";
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
  readonly #control: ReturnType<typeof hc<ControlType>>;

  /**
   * Makes a client. Nothing is sent yet.
   *
   * @param endpoint Address of the server: vsock, or a unix socket on a laptop
   * @param control Address of its control listener, which takes credentials
   */
  constructor(endpoint: Endpoint, control: Endpoint) {
    this.#routes = hc<AppType>("http://enclave", { fetch: createFetch(endpoint) });
    this.#control = hc<ControlType>("http://enclave", { fetch: createFetch(control) });
  }

  /**
   * Hands over credentials, as IMDS, STS or the AWS command line write them.
   *
   * @throws {ServerError} When the server does not take them
   */
  async setCredentials(credentials: Credentials): Promise<void> {
    const result = await narrow(this.#control.v1.credentials.$post({ json: credentials }));
    if (!result.ok) throw new ServerError(result.problem.code);
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
    const result = await narrow(this.#routes.v1.decrypt.$post({ json: { ciphertext, encryptionContext } }));
    if (!result.ok) throw new ServerError(result.problem.code);
    return decodeBase64(result.answer?.plaintext ?? ""); // there is none after a dry run only
  }
}

type Credentials = Parameters<ReturnType<typeof hc<ControlType>>["v1"]["credentials"]["$post"]>[0]["json"];
