/** In an enclave: settings from the image, AWS through the parent's relay. */
import { readFileSync } from "node:fs";
import { declareSettings } from "enclave-kms/enclave";
import { startFieldEncryption } from "./service.ts";

const REGION_AND_ACCOUNT = "[a-z0-9-]+:\\d{12}";

const settings = declareSettings({
  secretArn: {
    type: "string",
    pattern: `^arn:aws[a-z-]*:secretsmanager:${REGION_AND_ACCOUNT}:secret:[A-Za-z0-9/_+=.@-]+$`,
    description: "ARN of the secret that has the data keys",
  },
  kmsKeyArn: {
    type: "string",
    pattern: `^arn:aws[a-z-]*:kms:${REGION_AND_ACCOUNT}:key/[a-zA-Z0-9-]+$`,
    description: "ARN of the KMS key that the data keys are encrypted under",
  },
  schemaBucket: {
    type: "string",
    pattern: "^[a-z0-9.-]{3,63}$",
    description: "Bucket of the OpenAPI documents, in the region of the secret",
  },
  schemaBucketOwner: {
    type: "string",
    pattern: "^\\d{12}$",
    optional: true,
    description: "Account of the bucket; default: that of the secret",
  },
  schemaPrefix: {
    type: "string",
    default: "schemas/",
    description: "Prefix of the documents' keys, which end in .json",
  },
  dataKeySeconds: {
    type: "integer",
    minimum: 1,
    maximum: 86_400,
    default: 3600,
    description: "Seconds between two loads of the data keys",
  },
  schemaSeconds: {
    type: "integer",
    minimum: 1,
    maximum: 86_400,
    default: 300,
    description: "Seconds between two loads of the schemas",
  },
  relayPort: {
    type: "integer",
    minimum: 1,
    maximum: 4_294_967_294,
    default: 8443,
    description: "Vsock port of the parent's TLS relay",
  },
  awsAuthoritiesFile: {
    type: "string",
    pattern: "^/",
    optional: true,
    description: "Authorities that may vouch for AWS, PEM; default: the runtime's own",
  },
});

const { relayPort, awsAuthoritiesFile: file, ...config } = settings.read();
const relay = { transport: "vsock", cid: 3, port: relayPort } as const;
const trustedCertificates = file === undefined ? undefined : readFileSync(file, "utf8");
const enclave = await startFieldEncryption(config, {
  aws: { relay, trustedCertificates },
  enclave: { settings },
});
await enclave.closed; // SIGTERM, or POST /v1/shutdown on the control listener
