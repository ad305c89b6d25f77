/** In an enclave: the image has the encrypted key, and the configuration that ENCLAVE_KMS_CONFIG names. */
import { readFileSync } from "node:fs";
import { declareSettings } from "enclave-kms/enclave";
import { startSigner } from "./signer.ts";

const settings = declareSettings({
  signerKeyArn: {
    type: "string",
    pattern: "^arn:aws[a-z-]*:kms:[a-z0-9-]+:\\d{12}:key/[a-zA-Z0-9-]+$",
    description: "ARN of the KMS key that the wallet's key is encrypted under",
  },
  signerKeyFile: {
    type: "string",
    pattern: "^/",
    default: "/app/key.bin",
    description: "File of the encrypted key",
  },
});

const { signerKeyArn: keyId, signerKeyFile } = settings.read();
await using signer = await startSigner({ ciphertext: readFileSync(signerKeyFile), keyId }, { settings });
await signer.opened;
await signer.enclave.closed; // SIGTERM, or POST /v1/shutdown on the control listener
