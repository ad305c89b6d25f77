/**
 * Means of a hostile parent in these tests: the wire between enclave and KMS, and certificates of its own.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { createServer, type TLSSocket } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { EnclaveKmsError, KmsClient, type KmsClientOptions } from "../../mod.ts";
import {
  type CertificateRequest,
  type Identity,
  issueCertificate,
  type Name,
  pem,
  privateKeyPem,
} from "../../sim/tls/certificates.ts";
import type { ServerCertificate, Simulator } from "../../sim/mod.ts";
import { type Enclave, type EngineCase, startEnclave } from "../support/engines.ts";
import { Relay } from "../support/relay.ts";

/** Plaintext that only the enclave may learn. */
export const PLAINTEXT = "attack at dawn, tenant red";

/** The lives of certificates in these tests. */
export const VALIDITY: Pick<CertificateRequest, "notBefore" | "notAfter"> = {
  notBefore: Date.now() - 86_400_000,
  notAfter: Date.now() + 86_400_000,
};

/** An enclave whose only way to KMS leads through a relay that belongs to the parent. */
export class Besieged implements AsyncDisposable {
  readonly enclave: Enclave;
  readonly relay: Relay;
  readonly options: KmsClientOptions;
  readonly client: KmsClient;
  readonly keyId: string;
  readonly ciphertext: Uint8Array<ArrayBuffer>;

  private constructor(
    parts: Pick<Besieged, "enclave" | "relay" | "options" | "client">,
    keyId: string,
    ciphertext: Uint8Array<ArrayBuffer>,
  ) {
    this.enclave = parts.enclave;
    this.relay = parts.relay;
    this.options = parts.options;
    this.client = parts.client;
    this.keyId = keyId;
    this.ciphertext = ciphertext;
  }

  /** @param trusted More authorities that the client trusts, PEM */
  static async start(engineCase: EngineCase, ...trusted: readonly string[]): Promise<Besieged> {
    const enclave = await startEnclave();
    const { simulator } = enclave;
    const relay = await Relay.start(simulator.endpoint);
    const options: KmsClientOptions = {
      ...enclave.optionsFor(engineCase),
      endpoint: relay.endpoint,
      trustedCertificates: [simulator.trustedCertificates, ...trusted],
      // What is refused may not be tried again; and what is tried again must not make up for it here.
      maxAttempts: 1,
      timeoutMs: 20_000,
    };
    const { arn } = await simulator.createKey();
    const ciphertext = await simulator.encrypt({ keyId: arn, plaintext: PLAINTEXT });
    const client = await KmsClient.open(options);
    return new Besieged({ enclave, relay, options, client }, arn, ciphertext);
  }

  /** Decrypts once, as the parent lets it happen. */
  async decrypt(client = this.client, timeoutMs = 20_000): Promise<string> {
    using plaintext = await client.decrypt({ ciphertext: this.ciphertext, keyId: this.keyId, timeoutMs });
    return new TextDecoder().decode(plaintext.bytes);
  }

  /** Asserts that the same client is served once the parent behaves. */
  async expectServed(): Promise<void> {
    this.relay.clear();
    this.relay.redirect(this.enclave.simulator.endpoint);
    assert.equal(await this.decrypt(), PLAINTEXT);
  }

  /** Asserts that a call fails with one of the codes, in an error that has nothing secret in it. */
  async expectRefused(call: Promise<unknown>, ...codes: readonly string[]): Promise<EnclaveKmsError> {
    const error = await rejection(call);
    assert.ok(error instanceof EnclaveKmsError, String(error));
    assert.ok(codes.includes(error.code), `${error.code}: ${error.message}`);
    assert.notEqual(error.hint, "");
    const { secretAccessKey, sessionToken } = this.enclave.simulator.credentials;
    assertNothingOf(
      inspect(error, { depth: Infinity, showHidden: true }),
      PLAINTEXT,
      secretAccessKey,
      sessionToken,
    );
    return error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await this.relay[Symbol.asyncDispose]();
    await this.enclave[Symbol.asyncDispose]();
  }
}

/**
 * Asserts that a text holds none of the secrets: neither as they are nor in base64, hex or a list of numbers.
 */
export function assertNothingOf(text: string, ...secrets: readonly string[]): void {
  for (const secret of secrets) {
    const bytes = Buffer.from(secret);
    for (const form of [secret, bytes.toString("base64"), bytes.toString("hex"), bytes.join(", ")]) {
      assert.ok(!text.includes(form), "a secret is in it");
    }
  }
}

/** Waits for a promise to reject, and returns the error. */
export async function rejection(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  return assert.fail("it was not refused");
}

/** Answer of an impostor: success with an empty object. */
const NOTHING = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/** A TLS server of the parent's, which keeps what it gets to read. */
export class Impostor implements AsyncDisposable {
  readonly endpoint: TcpEndpoint;
  readonly #close: () => Promise<void>;
  #connections = 0;
  #heard = "";

  private constructor(endpoint: TcpEndpoint, close: () => Promise<void>) {
    this.endpoint = endpoint;
    this.#close = close;
  }

  static async start(certificate: ServerCertificate): Promise<Impostor> {
    const sockets = new Set<TLSSocket>();
    const server = createServer({ ...certificate });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const impostor = new Impostor({ transport: "tcp", host: "127.0.0.1", port }, async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    });
    server.on("connection", () => impostor.#connections++);
    server.on("tlsClientError", () => {});
    server.on("secureConnection", (socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("data", (chunk) => {
        impostor.#heard += String(chunk);
        if (impostor.#heard.endsWith("}")) socket.write(NOTHING);
      });
    });
    return impostor;
  }

  /** Number of connections. */
  get connections(): number {
    return this.#connections;
  }

  /** Text that it read, after TLS. */
  get heard(): string {
    return this.#heard;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** The simulated KMS behind a front of our own, whose answers come in two TLS records. */
export class PartedKms implements AsyncDisposable {
  readonly endpoint: TcpEndpoint;
  readonly #close: () => Promise<void>;
  #requestCount = 0;
  #answerCount = 0;

  private constructor(endpoint: TcpEndpoint, close: () => Promise<void>) {
    this.endpoint = endpoint;
    this.#close = close;
  }

  static async start({ kms }: Simulator, certificate: ServerCertificate): Promise<PartedKms> {
    const sockets = new Set<Duplex>();
    const server = createHttpsServer({ ...certificate }, async (request, response) => {
      parted.#requestCount++;
      const chunks: Uint8Array[] = [];
      for await (const chunk of request) chunks.push(chunk as Uint8Array);
      const operation = String(request.headers["x-amz-target"]).replace("TrentService.", "");
      const answer = JSON.stringify(await kms.call(operation, JSON.parse(Buffer.concat(chunks).toString())));
      // What TLS still had to say after its handshake has gone through the relay by then.
      await sleep(5);
      parted.#answerCount++;
      response.writeHead(200, { "content-length": answer.length });
      response.write(answer.slice(0, 100), () => void setTimeout(() => response.end(answer.slice(100)), 5));
    });
    server.on("connection", (socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
    });
    server.on("tlsClientError", () => {});
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const parted = new PartedKms({ transport: "tcp", host: "127.0.0.1", port }, async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    });
    return parted;
  }

  /** Number of requests that came through TLS. */
  get requestCount(): number {
    return this.#requestCount;
  }

  /** Number of answers that have begun. */
  get answerCount(): number {
    return this.#answerCount;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** Makes a certificate authority. */
export function makeAuthority(name: string, issuer?: Identity): Promise<Identity> {
  return issueCertificate({
    subject: commonName(name),
    curve: "P-256",
    ...VALIDITY,
    pathLength: issuer ? 0 : 1,
  }, issuer);
}

/** @param name Its common name */
export function commonName(name: string): Name {
  return [["O", "a hostile parent"], ["CN", name]];
}

/** Makes a TLS server's certificate with its key. */
export async function serverCertificate(
  request: Partial<CertificateRequest>,
  ...issuers: readonly Identity[]
): Promise<ServerCertificate> {
  const subject = commonName(request.dnsNames?.[0] ?? "a server");
  const server = await issueCertificate({ subject, curve: "P-256", ...VALIDITY, ...request }, issuers[0]);
  const chain = [server, ...issuers].map(({ certificate }) => pem("CERTIFICATE", certificate));
  return { cert: chain.join(""), key: await privateKeyPem(server) };
}
