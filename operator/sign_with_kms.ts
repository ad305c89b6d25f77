import { rawSignature } from "../lib/attestation/certificate.ts";
import { CALL_FIELDS, type CallOptions } from "../lib/core/call_options.ts";
import { checkFields } from "../lib/core/checks.ts";

/** Part of a `KmsClient` that signs. */
export interface KmsSigningClient {
  /** Signs a message of up to 4096 bytes; the signature is DER. */
  sign(request: KmsSigningRequest): Promise<{ readonly signature: Uint8Array<ArrayBuffer> }>;
}

/** Request of {@link KmsSigningClient}. */
export interface KmsSigningRequest extends CallOptions {
  /** ARN of the key. */
  readonly keyId: string;
  /** Bytes to sign. */
  readonly message: Uint8Array<ArrayBuffer>;
  /** Always `RAW`: KMS hashes the message. */
  readonly messageType: "RAW";
  /** Always ECDSA over SHA-384. */
  readonly signingAlgorithm: "ECDSA_SHA_384";
}

/** KMS key on P-384 that signs. */
export interface KmsSigningKey extends CallOptions {
  /** ARN of the KMS key, `arn:aws:kms:<region>:<account>:key/<id>`. No alias: whoever may move it chooses the key. */
  readonly keyArn: string;
}

const KEY_ARN = /^arn:[\w-]{1,32}:kms:[\w-]{1,32}:\d{12}:key\/[\w-]{1,64}$/;

/** Bytes of a coordinate on P-384. */
const COORDINATE_BYTES = 48;

/**
 * Signs with a KMS key of spec `ECC_NIST_P384`: ECDSA over SHA-384, as COSE calls ES384.
 *
 * Not guaranteed: that the key is on P-384, or that it signed these bytes, unless the caller verifies with its public key.
 *
 * @param client Client of the key's region; outside of an enclave one with recipient `none`
 * @param message 1 to 4096 bytes, which KMS hashes
 * @param key Key, and options of the call
 * @returns r and s, 96 bytes
 * @throws {TypeError} When an argument is missing, unknown or of a wrong type, or the key is not named by its ARN
 * @throws {RangeError} When the message is empty or too long
 * @throws {AttestationError} `ERR_ATTESTATION_CERTIFICATE` when what KMS answered is no signature on P-384
 * @throws {KmsError} When KMS refuses, and the other errors of the client
 * @example
 * ```ts
 * import { KmsClient } from "enclave-kms";
 * import { signWithKms } from "enclave-kms/operator";
 * import { startSimulator } from "enclave-kms/sim";
 *
 * await using simulator = await startSimulator(); // with AWS: { region, credentials, endpoint }
 * const { arn: keyArn } = await simulator.createKey({ spec: "ECC_NIST_P384", usage: "SIGN_VERIFY" });
 * const { nsm: _, ...options } = simulator.clientOptions;
 * await using client = await KmsClient.open({ ...options, recipient: "none" });
 * const signature = await signWithKms(client, new TextEncoder().encode("image"), { keyArn });
 * signature.length; // 96
 * ```
 */
export async function signWithKms(
  client: KmsSigningClient,
  message: Uint8Array<ArrayBuffer>,
  key: KmsSigningKey,
): Promise<Uint8Array<ArrayBuffer>> {
  const { keyArn, ...call } = checkFields("KMS signing key", key, ["keyArn", ...CALL_FIELDS]);
  if (typeof keyArn !== "string" || !KEY_ARN.test(keyArn)) {
    throw new TypeError("keyArn must be the ARN of a key, arn:aws:kms:<region>:<account>:key/<id>");
  }
  const request = { keyId: keyArn, message, messageType: "RAW", signingAlgorithm: "ECDSA_SHA_384" } as const;
  const { signature } = await client.sign({ ...request, ...call });
  return rawSignature(signature, COORDINATE_BYTES);
}
