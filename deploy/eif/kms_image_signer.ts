import { type KmsSigningClient, type KmsSigningKey, signWithKms } from "../../operator/sign_with_kms.ts";
import type { ImageSigner } from "./signature.ts";

/**
 * Makes a signer whose key stays in KMS. What it signs is verified with the certificate before an image has it.
 *
 * @param client Client of the key's region, open until the image is built; outside of an enclave one with recipient `none`
 * @param certificate Certificate of the key, PEM: one, and nothing else
 * @param key Key of spec `ECC_NIST_P384`, and options of the call
 * @returns The signer, for {@link buildImage}
 */
export function kmsImageSigner(
  client: KmsSigningClient,
  certificate: string,
  key: KmsSigningKey,
): ImageSigner {
  return { certificate, sign: (bytes) => signWithKms(client, bytes, key) };
}
