import process from "node:process";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import type { SimulatedImds } from "../imds/imds.ts";
import type { SimulatedKey } from "../kms/keys/simulated_key.ts";
import type { SimulatedCredentials } from "../kms/kms_credentials.ts";
import type { SimulatedS3 } from "../s3/s3.ts";
import { enclaveVariables } from "../simulated_environment.ts";
import type { Simulator } from "../simulator.ts";
import { pem } from "../tls/certificates.ts";
import type { StateFolder } from "./state_folder.ts";

/** Places and content of running services, as `enclave-kms sim --json` prints it. */
export interface ServicesDescription {
  /** Id of the process. */
  readonly pid: number;
  /** Region of KMS and its keys. */
  readonly region: string;
  /** Folder of the files and the socket. */
  readonly folder: string;
  /** The simulated KMS. */
  readonly kms: {
    /** URL for AWS SDKs. */
    readonly url: string;
    /** URL without TLS; undefined when KMS does not listen without. */
    readonly plainUrl: string | undefined;
    /** Address for `--endpoint` and `ENCLAVE_KMS_KMS`. */
    readonly endpoint: string;
    /** File of KMS's certificate authority, PEM. */
    readonly caFile: string;
  };
  /** The simulated Nitro Secure Module. */
  readonly nsm: {
    /** Socket for `--nsm`. */
    readonly socket: string;
    /** File of the root of its documents, PEM, for `--root`. */
    readonly rootFile: string;
    /** Registers 0 to 4 as hex. */
    readonly pcrs: Readonly<Record<string, string>>;
  };
  /** The simulated metadata service of an instance. */
  readonly imds: { readonly url: string };
  /** The simulated S3. */
  readonly s3: { readonly url: string };
  /** Keys of the seed. */
  readonly keys: readonly {
    readonly keyId: string;
    readonly arn: string;
    readonly alias: string | undefined;
  }[];
  /** Ciphertexts of the seed, base64. */
  readonly ciphertexts: readonly SeededCiphertext[];
  /** File that sets {@link variables} in a shell: `. FILE`. */
  readonly envFile: string;
  /** Variables for the command line, for AWS SDKs and for applications; simulated credentials are among them. */
  readonly variables: Readonly<Record<string, string>>;
}

/** Ciphertext that a seed asked for. */
export interface SeededCiphertext {
  /** Name that the seed gives it. */
  readonly name: string;
  /** Base64. */
  readonly ciphertext: string;
  /** Context that it was encrypted with. */
  readonly encryptionContext: Readonly<Record<string, string>>;
}

/** Keys and ciphertexts that a seed asked for. */
export interface PlantedSeed {
  readonly keys: readonly SimulatedKey[];
  readonly ciphertexts: readonly SeededCiphertext[];
}

interface Services {
  readonly simulator: Simulator;
  readonly imds: SimulatedImds;
  readonly s3: SimulatedS3;
}

interface Places {
  readonly folder: StateFolder;
  readonly plain: TcpEndpoint | undefined;
  /** Host that clients are told; by default the address itself. */
  readonly host: string | undefined;
  readonly credentials: SimulatedCredentials;
}

/**
 * Describes services, and writes the files that say where they are.
 *
 * @param services KMS, NSM, metadata service and S3
 * @param planted Keys and ciphertexts of the seed
 * @param places Folder, addresses and credentials
 */
export async function describeServices(
  { simulator, imds, s3 }: Services,
  { keys, ciphertexts }: PlantedSeed,
  { folder, plain, host, credentials }: Places,
): Promise<ServicesDescription> {
  const { host: bound, port } = simulator.endpoint as TcpEndpoint;
  const name = host ?? (bound === "0.0.0.0" ? "127.0.0.1" : bound);
  const at = (number: number | string) => `${name}:${number}`;
  const places = {
    pid: process.pid,
    region: simulator.region,
    folder: folder.path,
    kms: {
      url: `https://${at(port)}`,
      plainUrl: plain === undefined ? undefined : `http://${at(plain.port)}`,
      endpoint: `tcp:${at(port)}`,
      caFile: await folder.write("ca.pem", simulator.trustedCertificates),
    },
    nsm: {
      socket: folder.at("nsm.sock"),
      rootFile: await folder.write("root.pem", pem("CERTIFICATE", simulator.nsm.root)),
      pcrs: Object.fromEntries([0, 1, 2, 3, 4].map((index) => [index, simulator.nsm.pcr(index)])),
    },
    imds: { url: imds.endpoint },
    s3: { url: `http://${at(new URL(s3.endpoint).port)}` },
    keys: keys.map(({ keyId, arn, alias }) => ({ keyId, arn, alias })),
    ciphertexts,
  };
  const variables = variablesOf(places, credentials);
  const envFile = await folder.write("env", shellText(variables));
  const description = { ...places, envFile, variables };
  await folder.write("ready.json", `${JSON.stringify(description)}\n`);
  return description;
}

function variablesOf(
  { region, kms, nsm, imds, s3 }: Pick<ServicesDescription, "region" | "kms" | "nsm" | "imds" | "s3">,
  credentials: SimulatedCredentials,
): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_SESSION_TOKEN: credentials.sessionToken,
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    // Read by AWS SDKs since the middle of 2023.
    AWS_ENDPOINT_URL_KMS: kms.url,
    AWS_ENDPOINT_URL_S3: s3.url,
    AWS_CA_BUNDLE: kms.caFile,
    NODE_EXTRA_CA_CERTS: kms.caFile,
    AWS_EC2_METADATA_SERVICE_ENDPOINT: imds.url,
    ...enclaveVariables({ region, kms: kms.endpoint, certificates: kms.caFile, nsm: nsm.socket }),
    SIMULATED_ROOT_FILE: nsm.rootFile,
  };
}

/** Quotes each value, whatever is in it, for a POSIX shell. */
function shellText(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`).join("");
}
