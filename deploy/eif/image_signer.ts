import { ImageError } from "../../lib/core/errors.ts";
import type { ImageSigner } from "./signature.ts";

const BEGIN = "-----BEGIN PRIVATE KEY-----";
const END = "-----END PRIVATE KEY-----";

/**
 * Imports the key that signs images. It cannot be exported again.
 *
 * Not guaranteed: that no copy of the key stays in memory, since base64 is decoded by the runtime.
 *
 * @param certificate Certificate of the key, PEM
 * @param pem Private key on P-384, PKCS #8 in PEM; the caller wipes it
 * @returns The signer
 * @throws {ImageError} When the key is of another kind
 */
export async function importImageSigner(certificate: string, pem: Uint8Array): Promise<ImageSigner> {
  const der = derOf(pem);
  try {
    const algorithm = { name: "ECDSA", namedCurve: "P-384" };
    const key = await crypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]);
    return {
      certificate,
      sign: async (bytes) =>
        new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-384" }, key, bytes)),
    };
  } catch (cause) {
    throw notAKey(cause);
  } finally {
    der.fill(0);
  }
}

function derOf(pem: Uint8Array): Uint8Array<ArrayBuffer> {
  const text = new TextDecoder().decode(pem);
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw notAKey();
  try {
    const binary = atob(text.slice(begin + BEGIN.length, end).replace(/\s+/g, ""));
    return Uint8Array.from(binary, (character) => character.charCodeAt(0));
  } catch (cause) {
    throw notAKey(cause);
  }
}

function notAKey(cause?: unknown): ImageError {
  return new ImageError("Cannot read the signing key: it is no private key on P-384 as PKCS #8 in PEM", {
    hint: "`openssl pkcs8 -topk8 -nocrypt -in key.pem` turns one of openssl ecparam into that form",
    ...(cause === undefined ? {} : { cause }),
  });
}
