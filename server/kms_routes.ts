/**
 * The routes of KMS's operations, each told once: its path, the schema of its body, its answer, and the words of its
 * document. A new operation is one entry of the table.
 *
 * @module
 */
import type { TypedResponse } from "hono";
import type { ToSchema } from "hono/types";
import * as v from "valibot";
import { encodeBase64 } from "../lib/core/encoding.ts";
import { DATA_KEY_PAIR_SPECS } from "../lib/kms/data_key.ts";
import { MAX_CIPHERTEXT_BYTES } from "../lib/kms/operations/decrypt.ts";
import { MAX_PUBLIC_KEY_BYTES } from "../lib/kms/operations/derive_shared_secret.ts";
import { MAX_PLAINTEXT_BYTES } from "../lib/kms/operations/encrypt.ts";
import { MAC_ALGORITHMS } from "../lib/kms/operations/generate_mac.ts";
import { MAX_MESSAGE_BYTES, MAX_SIGNATURE_BYTES } from "../lib/kms/operations/message.ts";
import type { OperationName } from "../lib/kms/operations/operations.ts";
import { MESSAGE_TYPES, SIGNING_ALGORITHMS } from "../lib/kms/operations/signing.ts";
import {
  base64,
  dryRun,
  encryptionAlgorithm,
  encryptionContext,
  grantTokens,
  keyId,
  numberOfBytes,
} from "./field_schemas.ts";
import { type BodyOf, type KmsRoute, type MembersOf, route } from "./kms_route.ts";

const KEY_ID = "ARN of the KMS key";

/** Routes of KMS's operations. */
export const KMS_ROUTES = [
  route({
    path: "/v1/decrypt",
    operation: "decrypt",
    body: v.strictObject({
      ciphertext: base64(MAX_CIPHERTEXT_BYTES),
      encryptionContext,
      keyId: v.optional(keyId),
      encryptionAlgorithm,
      grantTokens,
      dryRun,
    }),
    bodyName: "DecryptRequest",
    summary: "Decrypts one ciphertext",
    members: { plaintext: "The plaintext, base64" },
    answer: (plaintext) => ({ secret: ["plaintext", plaintext], rest: {} }),
  }),
  route({
    path: "/v1/encrypt",
    operation: "encrypt",
    body: v.strictObject({
      plaintext: base64(MAX_PLAINTEXT_BYTES),
      encryptionContext,
      keyId,
      encryptionAlgorithm,
      grantTokens,
      dryRun,
    }),
    bodyName: "EncryptRequest",
    summary: "Encrypts up to 4096 bytes",
    members: { ciphertext: "The ciphertext, base64", keyId: KEY_ID },
    answer: ({ ciphertext, keyId }) => ({ rest: { ciphertext: encodeBase64(ciphertext), keyId } }),
  }),
  route({
    path: "/v1/generate-data-key",
    operation: "generateDataKey",
    body: v.strictObject({
      encryptionContext,
      keyId,
      keySpec: v.optional(v.picklist(["AES_128", "AES_256"])),
      numberOfBytes: v.optional(numberOfBytes),
      grantTokens,
      dryRun,
    }),
    bodyName: "DataKeyRequest",
    summary: "Makes a data key",
    members: {
      plaintext: "The data key, base64",
      ciphertext: "The data key under the KMS key, base64",
      keyId: KEY_ID,
    },
    answer: ({ plaintext, ciphertext, keyId }) => ({
      secret: ["plaintext", plaintext],
      rest: { ciphertext: encodeBase64(ciphertext), keyId },
    }),
  }),
  route({
    path: "/v1/generate-data-key-pair",
    operation: "generateDataKeyPair",
    body: v.strictObject({
      encryptionContext,
      keyId,
      keyPairSpec: v.picklist(DATA_KEY_PAIR_SPECS),
      grantTokens,
      dryRun,
    }),
    bodyName: "DataKeyPairRequest",
    summary: "Makes a data key pair",
    members: {
      privateKey: "The private key: PKCS #8, DER, base64",
      privateKeyCiphertext: "The private key under the KMS key, base64",
      publicKey: "The public key: SubjectPublicKeyInfo, DER, base64",
      keyPairSpec: "Algorithm and size of the key pair",
      keyId: KEY_ID,
    },
    answer: ({ privateKey, privateKeyCiphertext, publicKey, keyPairSpec, keyId }) => ({
      secret: ["privateKey", privateKey],
      rest: {
        privateKeyCiphertext: encodeBase64(privateKeyCiphertext),
        publicKey: encodeBase64(publicKey),
        keyPairSpec,
        keyId,
      },
    }),
  }),
  route({
    path: "/v1/generate-random",
    operation: "generateRandom",
    body: v.strictObject({ numberOfBytes }),
    bodyName: "RandomRequest",
    summary: "Random bytes from KMS",
    members: { random: "The bytes, base64" },
    answer: (random) => ({ secret: ["random", random], rest: {} }),
  }),
  route({
    path: "/v1/derive-shared-secret",
    operation: "deriveSharedSecret",
    body: v.strictObject({
      keyId,
      publicKey: base64(MAX_PUBLIC_KEY_BYTES),
      keyAgreementAlgorithm: v.optional(v.picklist(["ECDH"])),
      grantTokens,
      dryRun,
    }),
    bodyName: "SharedSecretRequest",
    summary: "The ECDH secret of a key in KMS and a peer's",
    members: { sharedSecret: "The x coordinate, 32 to 66 bytes, base64" },
    answer: (sharedSecret) => ({ secret: ["sharedSecret", sharedSecret], rest: {} }),
  }),
  route({
    path: "/v1/generate-mac",
    operation: "generateMac",
    body: v.strictObject({
      keyId,
      message: base64(MAX_MESSAGE_BYTES),
      macAlgorithm: v.picklist(MAC_ALGORITHMS),
      grantTokens,
      dryRun,
    }),
    bodyName: "MacRequest",
    summary: "Makes a message authentication code, without attestation",
    members: { mac: "The code, 28 to 64 bytes, base64", keyId: KEY_ID },
    answer: ({ mac, keyId }) => ({ rest: { mac: encodeBase64(mac), keyId } }),
  }),
  route({
    path: "/v1/verify-mac",
    operation: "verifyMac",
    body: v.strictObject({
      keyId,
      message: base64(MAX_MESSAGE_BYTES),
      macAlgorithm: v.picklist(MAC_ALGORITHMS),
      mac: base64(MAX_SIGNATURE_BYTES),
      grantTokens,
      dryRun,
    }),
    bodyName: "VerifyMacRequest",
    summary: "Verifies a message authentication code, without attestation",
    members: { keyId: KEY_ID },
    answer: ({ keyId }) => ({ rest: { keyId } }),
  }),
  route({
    path: "/v1/kms/sign",
    operation: "sign",
    body: v.strictObject({
      keyId,
      message: base64(MAX_MESSAGE_BYTES),
      messageType: v.optional(v.picklist(MESSAGE_TYPES)),
      signingAlgorithm: v.picklist(SIGNING_ALGORITHMS),
      grantTokens,
      dryRun,
    }),
    bodyName: "SignRequest",
    summary: "Signs a message or a digest with a key in KMS, without attestation",
    members: { signature: "The signature, base64", keyId: KEY_ID },
    answer: ({ signature, keyId }) => ({ rest: { signature: encodeBase64(signature), keyId } }),
  }),
  route({
    path: "/v1/kms/verify",
    operation: "verify",
    body: v.strictObject({
      keyId,
      message: base64(MAX_MESSAGE_BYTES),
      messageType: v.optional(v.picklist(MESSAGE_TYPES)),
      signingAlgorithm: v.picklist(SIGNING_ALGORITHMS),
      signature: base64(MAX_SIGNATURE_BYTES),
      grantTokens,
      dryRun,
    }),
    bodyName: "VerifyRequest",
    summary: "Verifies a signature with a key in KMS, without attestation",
    members: { keyId: KEY_ID },
    answer: ({ keyId }) => ({ rest: { keyId } }),
  }),
  route({
    path: "/v1/kms/public-key",
    operation: "getPublicKey",
    body: v.strictObject({ keyId, grantTokens }),
    bodyName: "PublicKeyRequest",
    summary: "The public key of an asymmetric key in KMS, without attestation",
    members: {
      publicKey: "The public key: SubjectPublicKeyInfo, DER, base64",
      keyId: KEY_ID,
      keySpec: "Algorithm and size of the key",
      keyUsage: "Use of the key",
      algorithms: ["Algorithms that KMS uses the key with"],
    },
    answer: ({ publicKey, ...rest }) => ({ rest: { publicKey: encodeBase64(publicKey), ...rest } }),
  }),
] as const;

type SchemaOf<Route> = Route extends KmsRoute<infer Path, infer Name extends OperationName, infer Described>
  ? ToSchema<
    "post",
    Path,
    { in: { json: BodyOf<Name> }; out: { json: BodyOf<Name> } },
    TypedResponse<MembersOf<Described>, 200, "json"> | TypedResponse<null, 204, "body">
  >
  : never;

/** Types of the routes, for Hono's typed client. */
export type KmsSchema = UnionToIntersection<SchemaOf<typeof KMS_ROUTES[number]>>;

type UnionToIntersection<T> = (T extends unknown ? (one: T) => void : never) extends (all: infer All) => void
  ? All
  : never;
