/**
 * The world around a parent on a laptop: the metadata service of its instance, S3 with what an operator made, KMS, and the
 * NSM of the enclave.
 *
 * @module
 */
import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import { kmsHostName } from "../../lib/aws/region.ts";
import { toHex } from "../../lib/core/bytes.ts";
import { KmsClient } from "../../mod.ts";
import { AgeKeyPair, computePcr16, sealWithAge, sealWithKms, signSecret } from "../../operator/mod.ts";
import { choosePort } from "../free_port.ts";
import { type SimulatedImds, startImds } from "../imds/imds.ts";
import { attestedKeyPolicy } from "../kms/policy/key_policy.ts";
import { SimulatedS3 } from "../s3/s3.ts";
import { SimulatedEnvironment } from "../simulated_environment.ts";
import { type Simulator, startSimulator } from "../simulator.ts";

const REGION = "eu-central-1";
const BUCKET = "sealed";
const APPLICATION = fileURLToPath(new URL("./application.ts", import.meta.url));

const POLICY = `// The application may decrypt; anybody may ask who this enclave is.
permit (principal, action in [Action::"Decrypt", Action::"GetAttestation"], resource);
`;

/** Command that runs a TypeScript file on this runtime. */
export const RUN_FILE: readonly string[] = "Deno" in globalThis
  ? [process.execPath, "run", "--quiet", "--no-prompt", "--no-check", "--allow-all", "--unstable-vsock"]
  : [process.execPath];

/** World around a parent. */
export class FlowWorld implements AsyncDisposable {
  readonly simulator: Simulator;
  readonly imds: SimulatedImds;
  readonly s3: SimulatedS3;
  /** Folder of the unix sockets that stand for vsock, and of the state. */
  readonly folder: string;
  /** TCP port of the application. */
  readonly enclavePort: number;
  readonly #environment: SimulatedEnvironment;
  readonly #sealed: Sealed;
  readonly #ownSimulator: Simulator | undefined;

  private constructor(parts: WorldParts) {
    this.simulator = parts.simulator;
    this.imds = parts.imds;
    this.s3 = parts.s3;
    this.folder = parts.folder;
    this.enclavePort = parts.enclavePort;
    this.#environment = parts.environment;
    this.#sealed = parts.sealed;
    this.#ownSimulator = parts.ownSimulator;
  }

  /**
   * Makes the world, with what the operator made in S3.
   *
   * @param given Simulator of the region eu-central-1, which stays the caller's. Default: one of its own
   * @param sealShares Encrypts the secret to its recipient. Default: this library's own age
   */
  static async start(given?: Simulator, sealShares: SealShares = sealByOwnAge): Promise<FlowWorld> {
    const simulator = given ?? await startSimulator({ region: REGION });
    const s3 = await SimulatedS3.start({ region: REGION });
    const issueCredentials = () => {
      const credentials = simulator.kms.issueCredentials();
      s3.acceptCredentials(credentials);
      return credentials;
    };
    const imds = await startImds({ region: REGION, role: "enclave-parent", issueCredentials });
    const folder = await mkdtemp(join(tmpdir(), "enclave-kms-flow-"));
    await writeFile(join(folder, "policy.cedar"), POLICY);
    const environment = await SimulatedEnvironment.create(simulator);
    const sealed = await seal(simulator, s3, sealShares);
    return new FlowWorld({
      simulator,
      s3,
      imds,
      folder,
      environment,
      sealed,
      enclavePort: await choosePort(),
      ownSimulator: given === undefined ? simulator : undefined,
    });
  }

  /** Value that PCR16 must have once both secrets were taken, in hex. */
  get expectedPcr16(): string {
    return this.#sealed.pcr16;
  }

  /** Ciphertext that this enclave may decrypt, in base64. */
  get ciphertext(): string {
    return this.#sealed.ciphertext;
  }

  /** Computes the MAC that the application must answer with: the operator knows the secret. */
  mac(text: string): string {
    return createHmac("sha256", this.#sealed.secret).update(text).digest("base64");
  }

  /**
   * Reads what the operator put into S3.
   *
   * @param name `age-key` or `key-shares`
   */
  artefact(name: string): Uint8Array {
    return this.#sealed.artefacts.get(name) ?? new Uint8Array();
  }

  /** Pins of the application, as its image has them. */
  get pins(): object {
    return this.#sealed.pins;
  }

  /** Settings of the parent, as its file has them. */
  get settings(): Readonly<Record<string, unknown>> {
    const { host, port } = this.simulator.endpoint as { readonly host: string; readonly port: number };
    return {
      envSetup: "SIM",
      region: REGION,
      enclaveName: "flow",
      command: [...RUN_FILE, APPLICATION],
      simulationFolder: this.folder,
      stateFolder: this.folder,
      enclavePort: this.enclavePort,
      imdsEndpoint: this.imds.endpoint,
      s3Endpoint: this.s3.endpoint,
      ageKeySource: `s3://${BUCKET}/age-key`,
      keySharesSource: `s3://${BUCKET}/key-shares`,
      kmsProxyDestHost: host,
      kmsProxyDestPort: port,
      metricsPort: 0,
      readinessSeconds: 120,
    };
  }

  /** Variables of the application; what an image would have in it. */
  get environment(): Readonly<Record<string, string>> {
    const { ENCLAVE_KMS_CONTROL_SOCKET: _, ...variables } = this.#environment.variables;
    return {
      ...variables,
      ENCLAVE_PORT: String(this.enclavePort),
      // Through the parent's proxy, as in an enclave.
      ENCLAVE_KMS_KMS: `unix:${join(this.folder, "3-8000.sock")}`,
      ENCLAVE_KMS_HOST_NAME: kmsHostName(REGION),
      ENCLAVE_KMS_POLICY_FILE: join(this.folder, "policy.cedar"),
      FLOW_PINS: JSON.stringify(this.pins),
    };
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.imds[Symbol.asyncDispose]();
    await this.s3[Symbol.asyncDispose]();
    await this.#environment[Symbol.asyncDispose]();
    await this.#ownSimulator?.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

interface WorldParts {
  readonly simulator: Simulator;
  readonly imds: SimulatedImds;
  readonly s3: SimulatedS3;
  readonly folder: string;
  readonly enclavePort: number;
  readonly environment: SimulatedEnvironment;
  readonly sealed: Sealed;
  readonly ownSimulator: Simulator | undefined;
}

/** Encryption of a secret to an age recipient. */
export type SealShares = (secret: Uint8Array, recipient: string) => Uint8Array | Promise<Uint8Array>;

const sealByOwnAge: SealShares = (secret, recipient) => sealWithAge(secret, [recipient]);

/** Work of the operator. */
interface Sealed {
  readonly pins: object;
  readonly artefacts: ReadonlyMap<string, Uint8Array>;
  readonly secret: Uint8Array;
  readonly ciphertext: string;
  readonly pcr16: string;
}

/** Does what an operator does: seals an age identity with KMS and a secret with age, signs both, puts them into S3. */
async function seal(simulator: Simulator, s3: SimulatedS3, sealShares: SealShares): Promise<Sealed> {
  const policy = attestedKeyPolicy({ 0: simulator.nsm.pcr(0) });
  const { arn: keyArn } = await simulator.createKey({ policy });
  const { nsm: _, ...options } = simulator.clientOptions;
  await using kms = await KmsClient.open({ ...options, recipient: "none" });
  using keys = await AgeKeyPair.generate();
  const secret = crypto.getRandomValues(new Uint8Array(32));
  const sealed = {
    "age-key": await sealWithKms(kms, keys.identity, { keyArn, encryptionContext: { secret: "age-key" } }),
    "key-shares": await sealShares(secret, keys.recipient),
  };
  const publisher = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ]);
  const signed = await Promise.all(
    Object.entries(sealed).map(async ([name, bytes]) => {
      const content = await signSecret({ name, version: 1, sealed: bytes, key: publisher.privateKey });
      return { name, content };
    }),
  );
  s3.createBucket(BUCKET);
  for (const { name, content } of signed) s3.putObject(BUCKET, name, content);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", publisher.publicKey));
  const plaintext = new TextEncoder().encode("attack at dawn");
  return {
    pins: { keyArn, recipient: keys.recipient, publisher: pemOf(spki) },
    artefacts: new Map(signed.map(({ name, content }) => [name, content])),
    secret,
    ciphertext: encodeBase64((await kms.encrypt({ keyId: keyArn, plaintext })).ciphertext),
    pcr16: toHex(await computePcr16(signed)),
  };
}

function pemOf(spki: Uint8Array): string {
  const lines = encodeBase64(spki).match(/.{1,64}/g) ?? [];
  return ["-----BEGIN PUBLIC KEY-----", ...lines, "-----END PUBLIC KEY-----", ""].join("\n");
}
