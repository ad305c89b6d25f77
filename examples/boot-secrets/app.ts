/** The application, and the secrets that it waits for. */
import { createHmac } from "node:crypto";
import { ageSecret, enclaveApp, kmsSecret, type SecretDeclaration } from "enclave-kms/enclave";

/** Pins of the image: what the parent brings must fit them. */
export interface Pins {
  /** ARN of the KMS key. */
  readonly keyArn: string;
  /** Recipient of the age identity. */
  readonly recipient: string;
  /** Public key of whoever publishes secrets, PEM. */
  readonly publisher: string;
}

/** Context that the age identity is encrypted with. */
export const ENCRYPTION_CONTEXT: Readonly<Record<string, string>> = { secret: "age-key" };

/** Declares an age identity, which KMS opens, and a key that the identity opens. */
export function declareSecrets({ keyArn, recipient, publisher }: Pins): readonly SecretDeclaration[] {
  const from = kmsSecret({ keyArn, encryptionContext: ENCRYPTION_CONTEXT });
  return [
    { name: "age-key", from, publisher, minVersion: 1 },
    {
      name: "key-shares",
      from: ageSecret({ identity: "age-key", recipient }),
      publisher,
      minVersion: 1,
    },
  ];
}

/** Answers with a code that only the holder of the key can make. */
export const app = enclaveApp().get("/v1/code/:order", (c) => {
  const key = c.var.secrets.get("key-shares");
  if (key === undefined) return c.text("the key has not come yet", 503);
  return c.text(createHmac("sha256", key.bytes).update(c.req.param("order")).digest("hex"));
});
