/**
 * A program written for the AWS SDK, which knows of no enclave: it keeps an object, opens a secret's data key and reads
 * the object back.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { DecryptCommand, GenerateDataKeyCommand, type KMSClient } from "@aws-sdk/client-kms";
import { GetObjectCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { GetSecretValueCommand, type SecretsManagerClient } from "@aws-sdk/client-secrets-manager";

/** Clients of the program. */
export interface Clients {
  readonly kms: KMSClient;
  readonly s3: S3Client;
  readonly secrets: SecretsManagerClient;
}

/** Stores an object, and returns the number of bytes that came back, chunk by chunk, as they were. */
export async function keepObject({ s3 }: Clients, bytes: Uint8Array): Promise<number> {
  const place = { Bucket: "reports", Key: "2026/december" };
  await s3.send(new PutObjectCommand({ ...place, Body: bytes }));
  const { Body } = await s3.send(new GetObjectCommand(place));
  let at = 0;
  for await (const chunk of Body as AsyncIterable<Uint8Array>) {
    if (!Buffer.from(bytes.buffer, bytes.byteOffset + at, chunk.length).equals(chunk)) return -1;
    at += chunk.length;
  }
  return at;
}

/** Has KMS open what a secret has in base64, and returns it as text. */
export async function openSecret({ kms, secrets }: Clients, SecretId: string): Promise<string> {
  const { SecretString = "" } = await secrets.send(new GetSecretValueCommand({ SecretId }));
  const CiphertextBlob = Buffer.from(SecretString, "base64");
  const { Plaintext } = await kms.send(new DecryptCommand({ CiphertextBlob }));
  return new TextDecoder().decode(Plaintext);
}

/** Makes a data key, opens it again, and tells whether both are the same 32 bytes. */
export async function remakeDataKey({ kms }: Clients, KeyId: string): Promise<boolean> {
  const made = await kms.send(new GenerateDataKeyCommand({ KeyId, KeySpec: "AES_256" }));
  const { Plaintext } = await kms.send(new DecryptCommand({ CiphertextBlob: made.CiphertextBlob }));
  return made.Plaintext?.length === 32 && Buffer.from(made.Plaintext).equals(Plaintext ?? Buffer.alloc(0));
}
