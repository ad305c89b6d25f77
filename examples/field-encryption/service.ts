/** The service: its clients of AWS, and what it loads by them at intervals. */
import { KMSClient } from "@aws-sdk/client-kms";
import { S3Client } from "@aws-sdk/client-s3";
import { SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import {
  credentialsFromParent,
  recipientPlugin,
  vsockRequestHandler,
  type VsockRequestHandlerOptions,
} from "enclave-kms/aws";
import { type Enclave, type EnclaveOptions, startEnclave } from "enclave-kms/enclave";
import { ACTIONS, createApp, type Loaded } from "./app.ts";
import { DataKeys } from "./data_keys.ts";
import { Refresh } from "./refresh.ts";
import { loadSchemas } from "./schemas.ts";

/** Settings of the service. */
export interface Config {
  /** ARN of the secret that has the data keys. */
  readonly secretArn: string;
  /** ARN of the KMS key that the data keys are encrypted under. */
  readonly kmsKeyArn: string;
  /** Bucket of the schemas, in the region of the secret. */
  readonly schemaBucket: string;
  /** Account of the bucket. Default: that of the secret. */
  readonly schemaBucketOwner?: string | undefined;
  /** Prefix of the schemas' documents. */
  readonly schemaPrefix: string;
  /** Seconds between two loads of the data keys. */
  readonly dataKeySeconds: number;
  /** Seconds between two loads of the schemas. */
  readonly schemaSeconds: number;
}

/** Surroundings of the service: in an enclave the way to AWS alone. */
export interface Surroundings {
  /** Way to AWS, by the parent's relay. */
  readonly aws: VsockRequestHandlerOptions;
  /** Further options of the enclave, with the parts that tests put in the place of its own. */
  readonly enclave?: Partial<EnclaveOptions> | undefined;
}

/**
 * Starts the service. It listens at once, and answers 503 until data keys and schemas are loaded, which it loads again
 * at their intervals. When that fails, the last good ones count.
 */
export async function startFieldEncryption(
  config: Config,
  { aws, enclave: own }: Surroundings,
): Promise<Enclave> {
  const loaded: Loaded = { keys: new DataKeys(), schemas: undefined };
  const refreshes: Refresh[] = [];
  const enclave = await startEnclave(createApp(loaded), {
    name: "field-encryption",
    actions: ACTIONS,
    needs: ["policy"],
    readiness: () => ({
      parts: { dataKeys: loaded.keys.isLoaded, schemas: loaded.schemas !== undefined },
      warnings: refreshes.flatMap(({ warning }) => warning ?? []),
    }),
    ...own,
  });
  const { logger } = enclave;
  const requestHandler = vsockRequestHandler(aws);
  const common = { credentials: credentialsFromParent(enclave), requestHandler };
  const region = regionOf(config.secretArn);
  const secrets = new SecretsManagerClient({ ...common, region });
  const s3 = new S3Client({ ...common, region, forcePathStyle: true }); // one host name for the relay to allow
  const kms = new KMSClient({ ...common, region: regionOf(config.kmsKeyArn) });
  const recipient = recipientPlugin({ nsm: own?.nsm });
  kms.middlewareStack.use(recipient);

  const { secretArn, kmsKeyArn, schemaBucket: bucket, schemaPrefix: prefix } = config;
  const owner = config.schemaBucketOwner ?? accountOf(secretArn);
  const loadKeys = (signal: AbortSignal) => loaded.keys.load({ secrets, kms, secretArn, kmsKeyArn }, signal);
  const loadAll = async (signal: AbortSignal) => {
    loaded.schemas = await loadSchemas({ s3, bucket, owner, prefix }, signal);
  };
  refreshes.push(
    new Refresh({ name: "data keys", seconds: config.dataKeySeconds, load: loadKeys, logger }),
    new Refresh({ name: "schemas", seconds: config.schemaSeconds, load: loadAll, logger }),
  );
  const stop = new AbortController();
  const running = Promise.all(refreshes.map((refresh) => refresh.run(stop.signal)));
  void enclave.closed.then(async () => {
    stop.abort();
    await running;
    for (const part of [loaded.keys, recipient, requestHandler]) part[Symbol.dispose]();
  });
  return enclave;
}

function regionOf(arn: string): string {
  return arn.split(":")[3] ?? "";
}

function accountOf(arn: string): string {
  return arn.split(":")[4] ?? "";
}
