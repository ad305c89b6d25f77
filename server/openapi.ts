/**
 * The HTTP routes as an OpenAPI document. A test holds it against the routes.
 *
 * @module
 */
import { KEY_PAIR_SPECS } from "../lib/kms/data_key.ts";
import * as fields from "../lib/kms/operations/request_fields.ts";

/** Any JSON object of the document. */
export type JsonObject = { [name: string]: JsonValue };

/** Any JSON value of the document. */
export type JsonValue = string | number | boolean | JsonValue[] | JsonObject;

/** The parts of OpenAPI 3.1 that are used here. */
export interface OpenApiDocument {
  /** Version of OpenAPI. */
  openapi: string;
  /** About the API. */
  info: JsonObject;
  /** The operations by path and method. */
  paths: Record<string, Record<string, JsonObject>>;
  /** What operations share. */
  components: JsonObject;
}

const base64 = (description: string): JsonObject => ({
  type: "string",
  contentEncoding: "base64",
  description,
});

const object = (properties: JsonObject, required: string[]): JsonObject => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
});

const answer = (description: string, schema: JsonObject, type = "application/json"): JsonObject => ({
  description,
  content: { [type]: { schema } },
});

const problemFor = (description: string): JsonObject =>
  answer(description, { $ref: "#/components/schemas/Problem" }, "application/problem+json");

const PROBLEMS: JsonObject = {
  400: problemFor("Wrong in form; `errors` has the places"),
  403: problemFor("The policy (`ERR_POLICY_DENIED`) or KMS (`ERR_KMS`) refuses"),
  500: problemFor("A defect; the log has more under the id in `instance`"),
  502: problemFor("KMS cannot be reached, or answers something else than KMS"),
  503: problemFor(
    "Too many requests, no credentials that KMS takes, or KMS throttles: try again after `Retry-After`",
  ),
  504: problemFor("No answer within the request deadline"),
};

const BODY_PROBLEMS: JsonObject = {
  413: problemFor("The body is larger than 64 KiB"),
  415: problemFor("The body is not application/json"),
};

const body = (schema: string): JsonObject => ({
  required: true,
  content: { "application/json": { schema: { $ref: `#/components/schemas/${schema}` } } },
});

const kmsOperation = (
  operationId: string,
  summary: string,
  request: string,
  result: JsonObject,
): Record<string, JsonObject> => ({
  post: {
    operationId,
    summary: `${summary}, if the policy permits`,
    requestBody: body(request),
    responses: {
      200: answer("What KMS answered", object(result, Object.keys(result))),
      ...(operationId === "generateRandom" ? {} : { 204: { description: "A dry run: KMS would" } }),
      404: problemFor("KMS knows no such key"),
      409: problemFor("The key is in no state to be used"),
      501: problemFor("The engine of this server cannot do it"),
      ...PROBLEMS,
      ...BODY_PROBLEMS,
    },
  },
});

const READINESS = object(
  {
    library: { type: "boolean" },
    nsm: { type: "boolean" },
    credentials: { type: "boolean" },
    policy: { type: "boolean" },
  },
  ["library", "nsm", "credentials", "policy"],
);

const CONTEXT: JsonObject = {
  type: "object",
  additionalProperties: { type: "string" },
  maxProperties: fields.MAX_ENCRYPTION_CONTEXT_PAIRS,
  description: `At most ${fields.MAX_ENCRYPTION_CONTEXT_BYTES} bytes of UTF-8, with two for each pair`,
};

const KEY_ID: JsonObject = { type: "string", maxLength: 2048, pattern: "^[\\w:/-]+$" };

const ALGORITHM: JsonObject = {
  type: "string",
  enum: ["SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"],
};

const NUMBER_OF_BYTES: JsonObject = { type: "integer", minimum: 1, maximum: fields.MAX_GENERATED_BYTES };

const TOKENS_AND_DRY_RUN: JsonObject = {
  grantTokens: { type: "array", maxItems: 10, items: { type: "string", minLength: 1, maxLength: 8192 } },
  dryRun: { type: "boolean", description: "Only asks whether KMS would; 204 when it would" },
};

const ACCESS_KEY_ID: JsonObject = { type: "string", minLength: 1, maxLength: 128 };

const SECRET_ACCESS_KEY: JsonObject = { type: "string", minLength: 1, maxLength: 1024, writeOnly: true };

const SESSION_TOKEN: JsonObject = { type: "string", minLength: 1, maxLength: 16_384, writeOnly: true };

const EXPIRATION: JsonObject = {
  description: "ISO 8601 with a time zone, or milliseconds since 1970; advice, since KMS decides",
  oneOf: [{ type: "string", format: "date-time" }, { type: "number" }],
};

const AWS_CREDENTIALS: JsonObject = object({
  AccessKeyId: ACCESS_KEY_ID,
  SecretAccessKey: SECRET_ACCESS_KEY,
  SessionToken: SESSION_TOKEN,
  Token: SESSION_TOKEN,
  Expiration: EXPIRATION,
  Code: { type: "string", const: "Success" },
  LastUpdated: { type: "string" },
  Type: { type: "string" },
  RoleArn: { type: "string" },
  AccountId: { type: "string" },
  Version: { type: "integer", const: 1 },
}, ["AccessKeyId", "SecretAccessKey"]);

const SCHEMAS: JsonObject = {
  DecryptRequest: object({
    ciphertext: base64("What KMS made: 1 to 6144 bytes"),
    encryptionContext: CONTEXT,
    keyId: KEY_ID,
    encryptionAlgorithm: ALGORITHM,
    ...TOKENS_AND_DRY_RUN,
  }, ["ciphertext"]),
  EncryptRequest: object({
    plaintext: base64("1 to 4096 bytes"),
    encryptionContext: CONTEXT,
    keyId: KEY_ID,
    encryptionAlgorithm: ALGORITHM,
    ...TOKENS_AND_DRY_RUN,
  }, ["plaintext", "keyId"]),
  DataKeyRequest: object({
    encryptionContext: CONTEXT,
    keyId: KEY_ID,
    keySpec: { type: "string", enum: ["AES_128", "AES_256"] },
    numberOfBytes: NUMBER_OF_BYTES,
    ...TOKENS_AND_DRY_RUN,
  }, ["keyId"]),
  DataKeyPairRequest: object({
    encryptionContext: CONTEXT,
    keyId: KEY_ID,
    keyPairSpec: { type: "string", enum: [...KEY_PAIR_SPECS] },
    ...TOKENS_AND_DRY_RUN,
  }, ["keyId", "keyPairSpec"]),
  RandomRequest: object({ numberOfBytes: NUMBER_OF_BYTES }, ["numberOfBytes"]),
  SharedSecretRequest: object({
    keyId: KEY_ID,
    publicKey: base64("The peer's SubjectPublicKeyInfo, DER"),
    keyAgreementAlgorithm: { type: "string", enum: ["ECDH"] },
    ...TOKENS_AND_DRY_RUN,
  }, ["keyId", "publicKey"]),
  Credentials: {
    description: "As the library, IMDS, ECS, STS or the command line writes them",
    oneOf: [
      object({
        accessKeyId: ACCESS_KEY_ID,
        secretAccessKey: SECRET_ACCESS_KEY,
        sessionToken: SESSION_TOKEN,
        expiration: EXPIRATION,
      }, ["accessKeyId", "secretAccessKey"]),
      AWS_CREDENTIALS,
      { type: "object", properties: { Credentials: AWS_CREDENTIALS }, required: ["Credentials"] },
    ],
  },
  Problem: object({
    type: { type: "string", const: "about:blank" },
    title: { type: "string" },
    status: { type: "integer" },
    code: { type: "string", pattern: "^ERR_[A-Z_]+$" },
    instance: { type: "string", description: "urn:uuid: and the request's id, as in the log" },
    errors: {
      type: "array",
      items: object({ path: { type: "string" }, expected: { type: "string" } }, ["path", "expected"]),
    },
  }, ["type", "title", "status", "code", "instance"]),
};

/** The HTTP routes as an OpenAPI document. */
export const OPENAPI_DOCUMENT: OpenApiDocument = {
  openapi: "3.1.0",
  info: { title: "enclave-kms", version: "1", description: "AWS KMS inside a Nitro Enclave" },
  paths: {
    "/v1/decrypt": kmsOperation("decrypt", "Decrypts one ciphertext", "DecryptRequest", {
      plaintext: base64("The plaintext"),
    }),
    "/v1/encrypt": kmsOperation("encrypt", "Encrypts up to 4096 bytes", "EncryptRequest", {
      ciphertext: base64("The ciphertext"),
      keyId: KEY_ID,
    }),
    "/v1/generate-data-key": kmsOperation("generateDataKey", "Makes a data key", "DataKeyRequest", {
      plaintext: base64("The data key"),
      ciphertext: base64("The data key under the KMS key"),
      keyId: KEY_ID,
    }),
    "/v1/generate-data-key-pair": kmsOperation(
      "generateDataKeyPair",
      "Makes a data key pair",
      "DataKeyPairRequest",
      {
        privateKey: base64("PKCS #8, DER"),
        privateKeyCiphertext: base64("The private key under the KMS key"),
        publicKey: base64("SubjectPublicKeyInfo, DER"),
        keyPairSpec: { type: "string" },
        keyId: KEY_ID,
      },
    ),
    "/v1/generate-random": kmsOperation("generateRandom", "Random bytes from KMS", "RandomRequest", {
      random: base64("The bytes"),
    }),
    "/v1/derive-shared-secret": kmsOperation(
      "deriveSharedSecret",
      "The ECDH secret of a key in KMS and a peer's",
      "SharedSecretRequest",
      { sharedSecret: base64("The x coordinate, 32 to 66 bytes") },
    ),
    "/v1/credentials": {
      post: {
        operationId: "setCredentials",
        summary: "Sets or replaces the credentials; only the parent may, by default",
        requestBody: body("Credentials"),
        responses: { 204: { description: "They are in force" }, ...PROBLEMS, ...BODY_PROBLEMS },
      },
    },
    "/v1/attestation": {
      get: {
        operationId: "getAttestation",
        summary: "An attestation document with the caller's nonce",
        parameters: [
          { name: "nonce", in: "query", required: true, schema: { type: "string", maxLength: 1024 } },
          { name: "encoding", in: "query", schema: { type: "string", enum: ["base64", "hex"] } },
        ],
        responses: {
          200: answer("The document", object({ document: base64("A COSE_Sign1 document") }, ["document"])),
          ...PROBLEMS,
        },
      },
    },
    "/healthz": {
      get: {
        operationId: "health",
        summary: "Whether the process runs",
        responses: { 200: answer("It does", object({ status: { type: "string" } }, ["status"])) },
      },
    },
    "/readyz": {
      get: {
        operationId: "readiness",
        summary: "Whether it can decrypt",
        responses: { 200: answer("It can", READINESS), 503: answer("Something is missing", READINESS) },
      },
    },
    "/metrics": {
      get: {
        operationId: "metrics",
        summary: "Counters for Prometheus",
        responses: { 200: answer("Counters", { type: "string" }, "text/plain") },
      },
    },
    "/openapi.json": {
      get: {
        operationId: "openapi",
        summary: "This document",
        responses: { 200: answer("OpenAPI 3.1", { type: "object" }) },
      },
    },
  },
  components: { schemas: SCHEMAS },
};
