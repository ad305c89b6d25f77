/**
 * Surroundings of examples/field-encryption: a KMS key for its image alone, a secret with data keys, a bucket with schemas,
 * and a relay of the parent that leads to all of them.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import type { TlsRelay } from "../../parent/tls_relay.ts";
import {
  attestedKeyPolicy,
  type SimulatedCredentials,
  type SimulatedKey,
  type Simulator,
} from "../../sim/mod.ts";
import { TlsAuthority } from "../../sim/tls/tls_certificates.ts";
import { NAMES, openRelay } from "../aws_sdk/fake_services.ts";
import { type SignedRequest, SignedServer } from "../aws_sdk/signed_server.ts";

const ACCOUNT = "111122223333";
const PREFIX = "schemas/";

/** Place of the relay, and of what it leads to. */
export interface WorldPlace {
  /** Folder in which unix sockets stand for vsock ports. Default: vsock itself. */
  readonly simulationFolder?: string;
  /** Address of this machine for Secrets Manager and S3; KMS has the same port on another one. */
  readonly host: string;
}

/** Settings of the service in this world. */
export interface WorldSettings {
  readonly secretArn: string;
  readonly kmsKeyArn: string;
  readonly schemaBucket: string;
  readonly schemaPrefix: string;
}

/** The world. Everything in it can be changed while the service runs. */
export class FieldEncryptionWorld implements AsyncDisposable {
  /** Documents by name. */
  readonly documents: Map<string, string> = new Map();
  /** Secret, as Secrets Manager gives it; undefined while that is down. */
  secret: string | undefined;
  /** Whether S3 is down. */
  isS3Down = false;
  readonly settings: WorldSettings;
  /** Authorities that vouch for all of AWS here, PEM. */
  readonly trustedCertificates: string;
  readonly #simulator: Simulator;
  readonly #keyId: string;
  readonly #server: SignedServer;
  readonly #relay: TlsRelay;
  readonly #credentials: SimulatedCredentials[];

  private constructor(
    simulator: Simulator,
    key: SimulatedKey,
    authority: TlsAuthority,
    [server, relay]: readonly [SignedServer, TlsRelay],
    credentials: SimulatedCredentials[],
  ) {
    this.#simulator = simulator;
    this.#keyId = key.keyId;
    this.#server = server;
    this.#relay = relay;
    this.#credentials = credentials;
    this.trustedCertificates = simulator.trustedCertificates + authority.trustedCertificates;
    this.settings = {
      secretArn: `arn:aws:secretsmanager:${simulator.region}:${ACCOUNT}:secret:field-keys-a1b2c3`,
      kmsKeyArn: key.arn,
      schemaBucket: "schemas-of-fields",
      schemaPrefix: PREFIX,
    };
  }

  /** Makes it around a simulator, whose KMS listens on TCP. It has one data key, `first`, and no schema. */
  static async create(simulator: Simulator, place: WorldPlace): Promise<FieldEncryptionWorld> {
    const { endpoint, hostName, region } = simulator;
    if (endpoint.transport !== "tcp") throw new TypeError("KMS must listen on TCP");
    const authority = await TlsAuthority.create(NAMES);
    const credentials: SimulatedCredentials[] = [];
    const key = await simulator.createKey({ policy: attestedKeyPolicy({ 0: simulator.nsm.pcr(0) }) });
    // The relay leads to one port, so that the services have addresses of their own.
    const server = await SignedServer.start(authority, {
      host: place.host,
      port: endpoint.port,
      secretOf: (id) => credentials.find(({ accessKeyId }) => accessKeyId === id)?.secretAccessKey ?? "",
      answer: (request, response) => world.#answer(request, response),
    });
    const relay = await openRelay(place.simulationFolder, endpoint.port, {
      allow: ["kms", "s3", "secretsmanager"].map((name) => `${name}.${region}.amazonaws.com`),
      lookup: (name) => Promise.resolve([name === hostName ? endpoint.host : place.host]),
    });
    const world = new FieldEncryptionWorld(simulator, key, authority, [server, relay], credentials);
    await world.rotate("first");
    return world;
  }

  /** Relay of the parent. */
  get relay(): TlsRelay {
    return this.#relay;
  }

  /** Requests to Secrets Manager and S3 whose signatures were right. */
  get seen(): readonly SignedRequest[] {
    return this.#server.seen;
  }

  /** Issues credentials that all services take. */
  issueCredentials(): SimulatedCredentials {
    const credentials = this.#simulator.rotateCredentials();
    this.#credentials.push(credentials);
    return credentials;
  }

  /** Makes one more data key, as an operator does, which encrypts from the service's next load on. */
  async rotate(id: string): Promise<void> {
    await this.addKey(id, { purpose: "field-encryption", key: id }, this.#keyId);
  }

  /** Adds a data key that somebody made to those of the secret. */
  async addKey(id: string, encryptionContext: Record<string, string>, keyId: string): Promise<void> {
    const ciphertext = await this.#simulator.encrypt({
      keyId,
      plaintext: randomBytes(32),
      encryptionContext,
    });
    const { keys } = JSON.parse(this.secret ?? '{"keys":[]}') as { keys: object[] };
    this.secret = JSON.stringify({ keys: [...keys, { id, ciphertext: encodeBase64(ciphertext) }] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#relay[Symbol.asyncDispose]();
    await this.#server[Symbol.asyncDispose]();
  }

  #answer({ service, target, headers, body }: SignedRequest, response: ServerResponse): void {
    if (service === "s3") return this.#answerS3(target, headers, response);
    const { SecretId } = JSON.parse(new TextDecoder().decode(body)) as { SecretId: string };
    const isThere = headers["x-amz-target"] === "secretsmanager.GetSecretValue" &&
      SecretId === this.settings.secretArn;
    const type = { "content-type": "application/x-amz-json-1.1" };
    if (this.secret === undefined || !isThere) {
      return void response.writeHead(isThere ? 503 : 400, type).end("{}");
    }
    response.writeHead(200, type).end(JSON.stringify({ ARN: SecretId, SecretString: this.secret }));
  }

  #answerS3(target: string, headers: SignedRequest["headers"], response: ServerResponse): void {
    const url = new URL(target, "https://s3");
    const key = url.pathname.slice(`/${this.settings.schemaBucket}/`.length);
    const isList = key === "" && url.searchParams.get("prefix") === PREFIX;
    const document = isList ? listOf(this.documents) : this.documents.get(key.slice(PREFIX.length));
    const isOwned = headers["x-amz-expected-bucket-owner"] === ACCOUNT;
    const status = this.isS3Down ? 503 : !isOwned ? 403 : document === undefined ? 404 : 200;
    response.writeHead(status).end(status === 200 ? document : "");
  }
}

function listOf(documents: ReadonlyMap<string, string>): string {
  const contents = [...documents].map(([name, { length }]) =>
    `<Contents><Key>${PREFIX}${name}</Key><Size>${length}</Size></Contents>`
  );
  return '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' +
    `<IsTruncated>false</IsTruncated>${contents.join("")}</ListBucketResult>`;
}
