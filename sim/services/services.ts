import { isIP } from "node:net";
import { checkFields, checkInteger } from "../../lib/core/checks.ts";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { type SimulatedImds, startImds } from "../imds/imds.ts";
import type { SimulatedCredentials } from "../kms/kms_credentials.ts";
import { KmsRefusal } from "../kms/kms_errors.ts";
import { attestedKeyPolicy } from "../kms/policy/key_policy.ts";
import { SimulatedS3 } from "../s3/s3.ts";
import { type Simulator, startSimulator } from "../simulator.ts";
import { readRegion, readSeed, type Seed } from "./seed.ts";
import { describeServices, type PlantedSeed, type ServicesDescription } from "./services_description.ts";
import { StateFolder } from "./state_folder.ts";

/** Options of {@link startServices}; everything has a default. */
export interface ServicesOptions {
  /** Seed as JSON: keys, ciphertexts, buckets, registers and credentials. Default: empty. */
  readonly seed?: string | undefined;
  /** Region. Default: that of the seed, or `us-east-1`. */
  readonly region?: string | undefined;
  /** IPv4 address that KMS and S3 listen on; the metadata service stays on loopback. Default: `127.0.0.1`. */
  readonly host?: string | undefined;
  /** More names on KMS's certificate. Clients are told the first one in the place of the address. Default: none. */
  readonly names?: readonly string[] | undefined;
  /** TCP port of KMS; 0 for a free one. Default: 0. */
  readonly port?: number | undefined;
  /** TCP port of KMS without TLS; 0 for a free one. Default: KMS speaks TLS only. */
  readonly plainPort?: number | undefined;
  /** TCP port of S3, without TLS; 0 for a free one. Default: 0. */
  readonly s3Port?: number | undefined;
  /** TCP port of the metadata service; 0 for a free one. Default: 0. */
  readonly imdsPort?: number | undefined;
  /** Folder for the socket and the files. Default: a fresh one, removed at the end. */
  readonly folder?: string | undefined;
}

const OPTIONS = [
  ...["seed", "region", "host", "names", "port", "plainPort", "s3Port", "imdsPort", "folder"],
];

/** Ten years: whoever runs the process ends it. */
const LIFETIME_MS = 10 * 365 * 86_400_000;

/** The metadata service's credentials live for six hours. */
const ROTATION_MS = 5 * 3_600_000;

/**
 * Simulator for other processes, in whatever language: KMS over TLS, the module's socket, a metadata service and S3,
 * with files that say where they are. It is what `enclave-kms sim` runs.
 */
export class SimulatedServices implements AsyncDisposable {
  /** KMS and the module. */
  readonly simulator: Simulator;
  /** The metadata service. */
  readonly imds: SimulatedImds;
  /** S3. */
  readonly s3: SimulatedS3;
  /** Places, keys and ciphertexts, and variables for other processes. */
  readonly description: ServicesDescription;
  readonly #opened: AsyncDisposable;

  /** @internal */
  constructor(
    parts: Pick<SimulatedServices, "simulator" | "imds" | "s3">,
    description: ServicesDescription,
    opened: AsyncDisposable,
  ) {
    this.simulator = parts.simulator;
    this.imds = parts.imds;
    this.s3 = parts.s3;
    this.description = description;
    this.#opened = opened;
  }

  /** Stops everything, and removes the files. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened[Symbol.asyncDispose]();
  }
}

interface Parts {
  readonly simulator: Simulator;
  readonly imds: SimulatedImds;
  readonly s3: SimulatedS3;
}

/** Parts that run, closed in reverse. Node 22 has no AsyncDisposableStack. */
class Opened implements AsyncDisposable {
  readonly #parts: AsyncDisposable[] = [];

  add<Part extends AsyncDisposable>(part: Part): Part {
    this.#parts.push(part);
    return part;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const part of this.#parts.splice(0).reverse()) await part[Symbol.asyncDispose]();
  }
}

/**
 * Starts a simulator that other processes use.
 *
 * @param options Seed, addresses and folder
 * @returns The services; the caller disposes them
 * @throws {TypeError} Names the option, or the field of the seed, that is unknown or malformed
 * @throws {RangeError} When a port is none
 * @example
 * ```ts
 * import { startServices } from "enclave-kms/sim";
 *
 * const seed = { keys: [{ alias: "alias/app" }], ciphertexts: [{ name: "a", key: "alias/app", plaintext: "hello" }] };
 * await using services = await startServices({ seed: JSON.stringify(seed) });
 * services.description.keys[0]?.alias; // "alias/app"
 * ```
 */
export async function startServices(options: ServicesOptions = {}): Promise<SimulatedServices> {
  const checked = checkFields("options of startServices", options, OPTIONS);
  const seed = readSeed(checked.seed ?? "{}");
  const opened = new Opened();
  try {
    return await open(checked, seed, opened);
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

async function open(options: ServicesOptions, seed: Seed, opened: Opened): Promise<SimulatedServices> {
  const region = readRegion(options.region ?? seed.region ?? "us-east-1");
  const { host = "127.0.0.1", names = [] } = options;
  if (isIP(host) !== 4) throw new TypeError("host must be an IPv4 address, such as 127.0.0.1 or 0.0.0.0");
  const folder = opened.add(await StateFolder.open(options.folder));
  const at = (field: PortField) => ({ transport: "tcp", host, port: portOf(options, field) }) as const;
  const simulator = opened.add(
    await listening("port", () =>
      startSimulator({
        region,
        listen: at("port"),
        names: [...new Set([...names, "localhost", "127.0.0.1", "::1", host])],
        nsm: { pcrs: seed.pcrs, debug: seed.debug },
      })),
  );
  const plain = options.plainPort === undefined
    ? undefined
    : await listening("plainPort", () => simulator.kms.listen(at("plainPort"), { tls: false }));
  const socket = await folder.clearSocket("nsm.sock");
  opened.add(await simulator.nsm.listen(socket));
  const s3 = opened.add(
    await listening("s3Port", () => SimulatedS3.start({ region, listen: at("s3Port") })),
  );
  const credentials = share(simulator, s3, seed.credentials);
  const imds = await startCredentials(options, { simulator, s3 }, opened);
  const parts = { simulator, imds, s3 };
  const planted = await plant(seed, parts);
  const places = { folder, plain: plain as TcpEndpoint | undefined, host: names[0], credentials };
  const description = await describeServices(parts, planted, places);
  return new SimulatedServices(parts, description, opened);
}

type PortField = "port" | "plainPort" | "s3Port" | "imdsPort";

function portOf(options: ServicesOptions, field: PortField): number {
  return checkInteger(field, options[field], { min: 0, max: 65_535, default: 0 });
}

/** Tells a port that cannot be taken by the name of its option. */
async function listening<T>(field: PortField, start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (!/^(?:EADDRINUSE|EADDRNOTAVAIL|EACCES)$/.test(code)) throw error;
    throw new TypeError(`${field} must be one that can be listened on: ${code}`);
  }
}

/** Makes credentials that KMS and S3 accept as long as the process runs. */
function share(simulator: Simulator, s3: SimulatedS3, given: SimulatedCredentials | undefined) {
  const credentials = given ?? simulator.kms.issueCredentials({ lifetimeMs: LIFETIME_MS });
  simulator.kms.acceptCredentials(credentials, LIFETIME_MS);
  s3.acceptCredentials(credentials, LIFETIME_MS);
  return credentials;
}

/** Starts the metadata service, whose credentials are replaced before they expire. */
async function startCredentials(
  options: ServicesOptions,
  { simulator, s3 }: Omit<Parts, "imds">,
  opened: Opened,
): Promise<SimulatedImds> {
  const issueCredentials = () => share(simulator, s3, undefined);
  const port = portOf(options, "imdsPort");
  const { region } = simulator;
  const imds = opened.add(await listening("imdsPort", () => startImds({ region, issueCredentials, port })));
  const timer = setInterval(() => imds.rotate(), ROTATION_MS);
  timer.unref?.();
  opened.add({ [Symbol.asyncDispose]: () => Promise.resolve(clearInterval(timer)) });
  return imds;
}

async function plant(seed: Seed, { simulator, s3 }: Parts): Promise<PlantedSeed> {
  const keys = [];
  for (const [index, { policy, ...options }] of seed.keys.entries()) {
    const own = policy === "enclave" ? attestedKeyPolicy({ 0: simulator.nsm.pcr(0) }) : policy;
    const chosen = own === "everyone" ? {} : { policy: own };
    keys.push(await named(`keys[${index}]`, () => simulator.createKey({ ...options, ...chosen })));
  }
  const ciphertexts = [];
  for (const [index, { name, key: keyId, ...request }] of seed.ciphertexts.entries()) {
    const bytes = await named(`ciphertexts[${index}]`, () => simulator.encrypt({ ...request, keyId }));
    ciphertexts.push({ name, ciphertext: encodeBase64(bytes), encryptionContext: request.encryptionContext });
  }
  for (const { name, objects } of seed.buckets) {
    s3.createBucket(name);
    for (const [key, body] of objects) s3.putObject(name, key, body);
  }
  return { keys, ciphertexts };
}

/** Says which entry of the seed is refused. What KMS says of a request names no secret. */
async function named<T>(place: string, make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    if (error instanceof KmsRefusal) throw new TypeError(`${place}: KMS refuses it with ${error.kmsCode}`);
    if (error instanceof TypeError || error instanceof RangeError) {
      throw new TypeError(`${place}: ${error.message}`);
    }
    throw error;
  }
}
