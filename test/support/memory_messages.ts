import type { TcpEndpoint } from "../../lib/core/endpoint.ts";

/** Operation that a process can ask KMS for. */
export type MemoryOperation =
  | "decrypt"
  | "encrypt"
  | "generateDataKey"
  | "generateDataKeyPair"
  | "generateRandom"
  | "deriveSharedSecret"
  | "streams";

/** Options of the process's client. */
export interface MemorySetup {
  readonly engine: string;
  readonly library: string | undefined;
  readonly libcryptoPath?: string | undefined;
  readonly region: string;
  readonly endpoint: TcpEndpoint;
  readonly trustedCertificates: string;
}

/** Call that a process must make; secrets in disguise. */
export interface MemoryTask {
  readonly operation: MemoryOperation;
  readonly accessKeyId: string;
  readonly secretAccessKey: readonly number[];
  readonly sessionToken: readonly number[];
  /** An ARN; not for decrypt, whose ciphertext knows it. */
  readonly keyId: string;
  /** Base64. */
  readonly ciphertext: string;
  /** Plaintext to encrypt. */
  readonly plaintext?: readonly number[];
  /** Public key of the other party, base64. */
  readonly publicKey?: string;
  readonly encryptionContext: Readonly<Record<string, string>>;
  /** Number of calls. */
  readonly rounds: number;
  /** Keeps what is secret, and the secret key, on purpose: to prove that a search would find them. */
  readonly keep: boolean;
}

/** Command to the process, a line of JSON. */
export type MemoryCommand =
  | { readonly does: "open"; readonly setup: MemorySetup }
  | { readonly does: "ask"; readonly task: MemoryTask }
  | { readonly does: "close" };

/** Answer of the process, a line of JSON. */
export interface MemoryAnswer {
  /** Result and its length, such as `decrypted 32`, or an error's code. */
  readonly outcome: string;
  /** Secrets that it had and must have wiped, in disguise. */
  readonly secrets: readonly (readonly number[])[];
}
