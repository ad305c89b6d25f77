import type { TcpEndpoint } from "../../lib/core/endpoint.ts";

/** What a process can ask KMS for. */
export type MemoryOperation =
  | "decrypt"
  | "encrypt"
  | "generateDataKey"
  | "generateDataKeyPair"
  | "generateRandom"
  | "deriveSharedSecret"
  | "streams";

/** What a process opens its client with. */
export interface MemorySetup {
  readonly engine: string;
  readonly library: string | undefined;
  readonly region: string;
  readonly endpoint: TcpEndpoint;
  readonly trustedCertificates: string;
}

/** What a process is told to ask for; secrets in disguise. */
export interface MemoryTask {
  readonly operation: MemoryOperation;
  readonly accessKeyId: string;
  readonly secretAccessKey: readonly number[];
  readonly sessionToken: readonly number[];
  /** An ARN; not for decrypt, whose ciphertext knows it. */
  readonly keyId: string;
  /** Base64. */
  readonly ciphertext: string;
  /** What to encrypt. */
  readonly plaintext?: readonly number[];
  /** Whose secret is derived: base64. */
  readonly publicKey?: string;
  readonly encryptionContext: Readonly<Record<string, string>>;
  /** How often. */
  readonly rounds: number;
  /** Keeps what is secret, and the secret key, on purpose: to prove that a search would find them. */
  readonly keep: boolean;
}

/** What the process is told, one line of JSON each. */
export type MemoryCommand =
  | { readonly does: "open"; readonly setup: MemorySetup }
  | { readonly does: "ask"; readonly task: MemoryTask }
  | { readonly does: "close" };

/** What it answers, one line of JSON each. */
export interface MemoryAnswer {
  /** What it did and how many bytes it got, `decrypted 32`, or an error's code. */
  readonly outcome: string;
  /** What it had and must not have any more, in disguise. */
  readonly secrets: readonly (readonly number[])[];
}
