/**
 * Enclave images and key policies: from a commit to an enclave that KMS trusts. What is here reads and judges; it runs in
 * browsers, too. Building images is in `enclave-kms/deploy/node`.
 *
 * {@link describeImage} measures an image as the hypervisor does, {@link verifyImage} compares it with a summary, an
 * attestation document or a key policy, and {@link diffImages} says which files made two images differ.
 * {@link makeKeyPolicy} writes the policy of a key that only enclaves of certain images use, {@link judgePolicy} is the gate
 * that any policy passes before it is put on a key, {@link diffPolicies} says who gains and who loses, and
 * {@link explainRefusal} which condition a refused request failed.
 *
 * @example
 * ```ts
 * import { describeChange, diffPolicies, judgePolicy, makeKeyPolicy } from "enclave-kms/deploy";
 *
 * const role = "arn:aws:iam::111122223333:role/enclave";
 * const administrators = ["arn:aws:iam::111122223333:role/key-admin"];
 * const [old, next] = [{ pcr0: "4e".repeat(48) }, { pcr0: "5f".repeat(48) }];
 * const before = makeKeyPolicy({ images: [old], role, administrators });
 * const after = makeKeyPolicy({ images: [old, next], role, administrators });
 * judgePolicy(after, { role, running: [old] }).length; // 0
 * diffPolicies(before, after).map(describeChange)[0]?.slice(0, 62); // "role/enclave of 111122223333 gains kms:Decrypt where PCR0 is 5"
 * ```
 *
 * @module
 */
export { readSummaryImage, readSummaryPcrs } from "./eif/build_summary.ts";
export type { ImageDifference, ImageItem } from "./eif/image_contents.ts";
export { blobSource, bytesSource, type ImageSource } from "./eif/image_source.ts";
export {
  describeImage,
  type DescribeImageOptions,
  diffImages,
  type ImageComparison,
  type ImageDescription,
} from "./eif/inspect_image.ts";
export { kmsImageSigner } from "./eif/kms_image_signer.ts";
export type { ImageHashes, NewSha384, Sha384 } from "./eif/sha384.ts";
export type { ImageSigner } from "./eif/signature.ts";
export { type ImageExpectation, type ImageVerdict, verifyImage } from "./eif/verify_image.ts";
export { describeChange, diffPolicies, type PolicyChange } from "./keys/diff_policies.ts";
export { explainRefusal, type RefusedRequest, type StatementVerdict } from "./keys/explain_refusal.ts";
export { judgePolicy, MAX_POLICY_BYTES } from "./keys/gate.ts";
export type { GateFinding, GateOptions, GateRule } from "./keys/gate_finding.ts";
export { type KeyPolicyOptions, makeKeyPolicy, measureText, type PolicyImage } from "./keys/make_policy.ts";
export type { CallOptions } from "../lib/core/call_options.ts";
export {
  AttestationError,
  EnclaveKmsError,
  type ErrorCode,
  type ErrorDetails,
  ImageError,
  KeyPolicyError,
  TimeoutError,
} from "../lib/core/errors.ts";
export type { KmsSigningClient, KmsSigningKey, KmsSigningRequest } from "../operator/sign_with_kms.ts";
