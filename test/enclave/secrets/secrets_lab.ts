/**
 * A laptop enclave that waits for secrets, an honest operator who makes them, and the parent's side of the ports.
 *
 * @module
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import {
  ageSecret,
  type Enclave,
  enclaveApp,
  kmsSecret,
  type SecretDeclaration,
  startEnclave,
} from "../../../enclave/mod.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { encodeSecretFrame } from "../../../lib/wire/secret_frame.ts";
import { parseSecretReceipt, type SecretReceipt } from "../../../lib/wire/secret_receipt.ts";
import { encodeSignedSecret, secretStatementMessage } from "../../../lib/wire/signed_secret.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";
import { dialUnix } from "../../support/unix_socket.ts";

export const CONTEXT: Readonly<Record<string, string>> = { secret: "age-key" };
export const SECRET: Uint8Array = new TextEncoder().encode("what the application is to know");

/** Key pair of a publisher. */
export interface Publisher {
  readonly pem: string;
  readonly key: KeyObject;
}

/** Identity of age, and its recipient. */
export interface AgePair {
  readonly identity: string;
  readonly recipient: string;
}

export function makePublisher(): Publisher {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { pem: publicKey.export({ type: "spki", format: "pem" }).toString(), key: privateKey };
}

export async function makeAgePair(): Promise<AgePair> {
  const identity = await generateX25519Identity();
  return { identity, recipient: await identityToRecipient(identity) };
}

export async function encryptWithAge(content: Uint8Array, recipient: string): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  return await encrypter.encrypt(content);
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

/** Signs as an operator does. */
export function signSecret(
  name: string,
  version: number,
  sealed: Uint8Array,
  { key }: Publisher,
): Uint8Array {
  const statement = { name, version, sha256: sha256(sealed) };
  const signature = sign("sha256", secretStatementMessage(statement), { key, dsaEncoding: "ieee-p1363" });
  return encodeSignedSecret({ statement, signature: new Uint8Array(signature), sealed });
}

export class SecretsLab implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly simulator: Simulator;
  readonly folder: string = mkdtempSync(join(tmpdir(), "secrets-"));
  readonly keyArn: string;
  readonly publisher: Publisher = makePublisher();
  readonly pair: AgePair;
  #starting: Promise<Enclave> | undefined;

  private constructor(simulator: Simulator, keyArn: string, pair: AgePair) {
    this.simulator = simulator;
    this.keyArn = keyArn;
    this.pair = pair;
  }

  static async create(): Promise<SecretsLab> {
    const simulator = await startSimulator({ region: "eu-central-1" });
    const { arn } = await simulator.createKey();
    return new SecretsLab(simulator, arn, await makeAgePair());
  }

  /** The default recipe: an identity by KMS, and shares by age; both with every pin. */
  get recipe(): readonly [SecretDeclaration, SecretDeclaration] {
    const { keyArn, publisher: { pem: publisher }, pair: { recipient } } = this;
    const from = kmsSecret({ keyArn, encryptionContext: CONTEXT });
    return [
      { name: "age-key", from, publisher, minVersion: 2 },
      { name: "key-shares", from: ageSecret({ identity: "age-key", recipient }), publisher, minVersion: 2 },
    ];
  }

  /** The recipe's first secret as it is sent. */
  async identity(
    { pair = this.pair, version = 2, context = CONTEXT, keyId = this.keyArn, publisher = this.publisher } =
      {},
  ): Promise<Uint8Array> {
    const plaintext = `# made by age-keygen\n${pair.identity}\n`;
    const sealed = await this.simulator.encrypt({ keyId, plaintext, encryptionContext: context });
    return signSecret("age-key", version, sealed, publisher);
  }

  /** The recipe's second secret as it is sent. */
  async shares(
    { version = 2, content = SECRET, recipient = this.pair.recipient, publisher = this.publisher } = {},
  ): Promise<Uint8Array> {
    return signSecret("key-shares", version, await encryptWithAge(content, recipient), publisher);
  }

  /** Starts the enclave, without waiting for it. */
  start(
    secrets: readonly SecretDeclaration[] = this.recipe,
    environment: Readonly<Record<string, string>> = {},
    app: Parameters<typeof startEnclave>[0] = enclaveApp(),
  ): Promise<Enclave> {
    const { nsm, trustedCertificates, region, endpoint } = this.simulator;
    const kms = endpoint as { host: string; port: number };
    this.#starting = startEnclave(app, {
      name: "test",
      secrets,
      // The enclave disposes its own, and the simulator's is asked afterwards.
      nsm: { exchange: (request) => nsm.exchange(request), [Symbol.dispose]() {} },
      trustedCertificates,
      signals: false,
      logger: createLogger("debug", (line) => this.lines.push(line)),
      environment: {
        ENV_SETUP: "SIM",
        ENCLAVE_PORT: "0",
        ENCLAVE_KMS_ENGINE: "direct",
        ENCLAVE_KMS_REGION: region,
        ENCLAVE_KMS_KMS: `tcp:${kms.host}:${kms.port}`,
        ENCLAVE_KMS_SIMULATION_FOLDER: this.folder,
        ENCLAVE_KMS_SECRETS_WINDOW_MS: "120000",
        ENCLAVE_KMS_SECRET_TIMEOUT_MS: "50000",
        ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
        ...environment,
      },
    });
    this.#starting.catch(() => {});
    return this.#starting;
  }

  /** Sends bytes to a port, raw up to the end of the stream or as a frame, and reads the receipt. */
  async send(port: number, content: Uint8Array, { framed = false } = {}): Promise<SecretReceipt> {
    const socket = await this.connect(port);
    if (framed) socket.write(encodeSecretFrame(content));
    else socket.end(content);
    return await readReceipt(socket);
  }

  /** Connects to a port, once the enclave listens there. */
  async connect(port: number): Promise<Duplex> {
    const path = await this.socketOf(port);
    for (;;) {
      const socket = dialUnix(path, { allowHalfOpen: true });
      const failure: unknown = await once(socket, "connect").then(() => undefined, (error) => error);
      socket.on("error", () => {});
      if (failure === undefined) return socket;
      // The socket's file is there a moment before anybody listens.
      if (!/refused/i.test(String(failure))) throw failure;
      await sleep(5);
    }
  }

  /** Waits until the enclave listens on a port, and names the unix socket that stands for it. */
  async socketOf(port: number): Promise<string> {
    const path = join(this.folder, `16-${port}.sock`);
    while (!existsSync(path)) await sleep(5);
    return path;
  }

  /** Sends the credentials that KMS takes. */
  async sendCredentials(
    credentials = this.simulator.credentials,
    expiration?: string,
  ): Promise<SecretReceipt> {
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    const json = {
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      Token: sessionToken,
      ...(expiration === undefined ? {} : { Expiration: expiration }),
    };
    return await this.send(7100, new TextEncoder().encode(JSON.stringify(json)));
  }

  /** Does what an honest parent does. */
  async sendAll(): Promise<readonly SecretReceipt[]> {
    return [
      await this.sendCredentials(),
      await this.send(7101, await this.identity()),
      await this.send(7102, await this.shares()),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#starting?.then((enclave) => enclave.close(), () => {});
    await this.simulator.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Reads the receipt, which ends the stream. */
export async function readReceipt(socket: Duplex): Promise<SecretReceipt> {
  const chunks: Uint8Array[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  await once(socket, "end");
  socket.destroy();
  return parseSecretReceipt(Uint8Array.from(chunks.flatMap((chunk) => [...chunk])));
}

/** Code of a refusal, without its beginning. */
export function codeOf(receipt: SecretReceipt): string {
  return receipt.ok ? "taken" : receipt.code.replace(/^ERR_(?:SECRET_)?/, "");
}
