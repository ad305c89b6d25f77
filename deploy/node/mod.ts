/**
 * Building enclave images, on Node and Deno: {@link buildImage} makes an image from a manifest in git, the same bytes on
 * every machine, {@link importImageSigner} takes the key that signs it from a file, and {@link fileSource} opens an image
 * for the functions of `enclave-kms/deploy`, which are as quick as they can be with {@link NODE_HASHES}.
 *
 * @module
 */
export { buildImage, type BuildImageOptions } from "../eif/build_image.ts";
export type { BuildSummary } from "../eif/build_summary.ts";
export { type FileSource, fileSource } from "../eif/file_source.ts";
export { importImageSigner } from "../eif/image_signer.ts";
export type { ImageSource } from "../eif/image_source.ts";
export { NODE_HASHES } from "../eif/node_sha384.ts";
export type { ImageHashes, NewSha384, Sha384 } from "../eif/sha384.ts";
export type { ImageSigner } from "../eif/signature.ts";
export {
  AttestationError,
  EnclaveKmsError,
  type ErrorCode,
  type ErrorDetails,
  ImageError,
} from "../../lib/core/errors.ts";
