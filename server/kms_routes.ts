/**
 * The routes of KMS's operations, each told once: its path, the schema of its body, its answer, and the words of its
 * document. A new operation is a schema and one entry of the table.
 *
 * @module
 */
import type { TypedResponse } from "hono";
import type { ToSchema } from "hono/types";
import type { GenericSchema } from "valibot";
import { encodeBase64 } from "../lib/core/encoding.ts";
import type { SecretBytes } from "../lib/core/secret_bytes.ts";
import type { OperationName, Result } from "../lib/kms/operations/operations.ts";
import {
  dataKeyBody,
  dataKeyPairBody,
  decryptBody,
  encryptBody,
  randomBody,
  sharedSecretBody,
} from "./schemas.ts";

/** Answer of a route: at most one secret, and members that are none. */
export interface KmsAnswer {
  /** Name of the secret's member, and its bytes. */
  readonly secret?: readonly [name: string, bytes: SecretBytes];
  /** Other members. */
  readonly rest: Readonly<Record<string, string>>;
}

/** Route of one operation. */
export interface KmsRoute<Path extends string, Name extends OperationName, Body, Member extends string> {
  /** Path of the route. */
  readonly path: Path;
  /** Name of the operation. */
  readonly operation: Name;
  /** Schema of the body. */
  readonly body: GenericSchema<unknown, Body>;
  /** Name of that schema in the OpenAPI document. */
  readonly bodyName: string;
  /** Summary in the OpenAPI document. */
  readonly summary: string;
  /** Members of the answer, each with its description in the OpenAPI document. Those of bytes are base64. */
  readonly members: Readonly<Record<Member, string>>;
  /** Makes the answer. */
  answer(result: Result<Name>): KmsAnswer;
}

/** Lets TypeScript infer the types of one route. */
function route<const Path extends string, Name extends OperationName, Body, const Member extends string>(
  described: KmsRoute<Path, Name, Body, Member>,
): KmsRoute<Path, Name, Body, Member> {
  return described;
}

const KEY_ID = "ARN of the KMS key";

/** Routes of KMS's operations. */
export const KMS_ROUTES = [
  route({
    path: "/v1/decrypt",
    operation: "decrypt",
    body: decryptBody,
    bodyName: "DecryptRequest",
    summary: "Decrypts one ciphertext",
    members: { plaintext: "The plaintext, base64" },
    answer: (plaintext) => ({ secret: ["plaintext", plaintext], rest: {} }),
  }),
  route({
    path: "/v1/encrypt",
    operation: "encrypt",
    body: encryptBody,
    bodyName: "EncryptRequest",
    summary: "Encrypts up to 4096 bytes",
    members: { ciphertext: "The ciphertext, base64", keyId: KEY_ID },
    answer: ({ ciphertext, keyId }) => ({ rest: { ciphertext: encodeBase64(ciphertext), keyId } }),
  }),
  route({
    path: "/v1/generate-data-key",
    operation: "generateDataKey",
    body: dataKeyBody,
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
    body: dataKeyPairBody,
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
    body: randomBody,
    bodyName: "RandomRequest",
    summary: "Random bytes from KMS",
    members: { random: "The bytes, base64" },
    answer: (random) => ({ secret: ["random", random], rest: {} }),
  }),
  route({
    path: "/v1/derive-shared-secret",
    operation: "deriveSharedSecret",
    body: sharedSecretBody,
    bodyName: "SharedSecretRequest",
    summary: "The ECDH secret of a key in KMS and a peer's",
    members: { sharedSecret: "The x coordinate, 32 to 66 bytes, base64" },
    answer: (sharedSecret) => ({ secret: ["sharedSecret", sharedSecret], rest: {} }),
  }),
] as const;

type Routes = typeof KMS_ROUTES[number];

/** Any route of the table, as the code that serves them all sees it. */
export type AnyKmsRoute = {
  [Name in OperationName]: KmsRoute<string, Name, object, string>;
}[OperationName];

type SchemaOf<Route> = Route extends KmsRoute<infer Path, OperationName, infer Body, infer Member> ? ToSchema<
    "post",
    Path,
    { in: { json: Body }; out: { json: Body } },
    TypedResponse<{ [M in Member]: string }, 200, "json"> | TypedResponse<null, 204, "body">
  >
  : never;

/** Types of the routes, for Hono's typed client. */
export type KmsSchema = UnionToIntersection<SchemaOf<Routes>>;

type UnionToIntersection<T> = (T extends unknown ? (one: T) => void : never) extends (all: infer All) => void
  ? All
  : never;
