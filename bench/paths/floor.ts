import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from "node:crypto";
import { once } from "node:events";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { NsmSocket } from "../../lib/nsm/nsm_socket.ts";
import { NsmClient } from "../../lib/nsm/nsm_client.ts";
import { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { decodeBase64, encodeBase64 } from "../../lib/core/encoding.ts";
import { SigV4Signer } from "../../lib/aws/sigv4.ts";
import { openNsm } from "../../lib/nsm/open_nsm.ts";
import { kmsHostName } from "../../lib/aws/region.ts";
import type { Parts, RoundTripMs, Sample, Setting } from "../setting.ts";
import type { Path } from "./path.ts";
import { isRight } from "./plaintext.ts";

/** Lengths of the texts that SigV4 hashes beside the body, in bytes. */
const CANONICAL_REQUEST_BYTES = 900;
const STRING_TO_SIGN_BYTES = 140;

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" } as const;

/** KMS takes a signature and a document for five minutes. */
const REQUEST_MAX_AGE_MS = 60_000;

/**
 * Opens the floor, which does only what no decrypt can do without: SHA-256 and HMAC of as many bytes as SigV4
 * signs, a request to the same KMS and its answer over a TLS connection that stays, one RSA private
 * operation, one AES-256-CBC decryption. The request is made once a minute, and only the length of the answer
 * is read: no HTTP, JSON, base64, CMS, deadline, retry or check.
 */
export async function openFloor(
  { region, credentials, kms, trustedCertificates, nsmSocket, samples }: Setting,
  { hasDevice }: Parts,
  roundTripMs: RoundTripMs,
): Promise<Path> {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const sealed = new Map(samples.map((sample) => [sample, seal(publicKey, sample)]));
  const nsm = new NsmClient(hasDevice ? openNsm() : new NsmSocket(nsmSocket));
  const spki = Uint8Array.from(publicKey.export({ type: "spki", format: "der" }));
  const owned = OwnedCredentials.copyOf(credentials);
  const signer = new SigV4Signer(region);
  const canonicalRequest = new Uint8Array(CANONICAL_REQUEST_BYTES).fill(0x61);
  const stringToSign = new Uint8Array(STRING_TO_SIGN_BYTES).fill(0x61);
  const signingKey = randomBytes(32);
  const servername = kmsHostName(region);
  const { host, port } = kms[roundTripMs];
  const options = { host, port, ca: trustedCertificates, servername };
  const idle: Exchange[] = [];
  let ready = await makeRequest();

  async function makeRequest() {
    const { ciphertext } = samples[0]!;
    const document = await nsm.attest({ publicKey: spki });
    const recipient = {
      AttestationDocument: encodeBase64(document),
      KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
    };
    const body = Buffer.from(JSON.stringify({ CiphertextBlob: ciphertext, Recipient: recipient }));
    const signed = signer.sign({ hostName: servername, operation: "Decrypt", body }, owned, new Date());
    const headers = Object.entries({ ...signed, "content-length": String(body.length) });
    const head = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    return {
      body,
      bytes: Buffer.concat([Buffer.from(`POST / HTTP/1.1\r\n${head}\r\n`), body]),
      at: Date.now(),
    };
  }

  return {
    async decrypt(sample: Sample) {
      if (Date.now() - ready.at > REQUEST_MAX_AGE_MS) ready = await makeRequest();
      createHash("sha256").update(ready.body).digest("hex");
      createHash("sha256").update(canonicalRequest).digest("hex");
      createHmac("sha256", signingKey).update(stringToSign).digest("hex");
      const exchange = idle.pop() ?? await Exchange.open(options);
      await exchange.send(ready.bytes);
      idle.push(exchange);
      const { wrappedKey, iv, content } = sealed.get(sample) ?? seal(publicKey, sample);
      const contentKey = privateDecrypt({ key: privateKey, ...OAEP }, wrappedKey);
      const decipher = createDecipheriv("aes-256-cbc", contentKey, iv);
      return isRight(Buffer.concat([decipher.update(content), decipher.final()]), sample);
    },
    [Symbol.asyncDispose]() {
      for (const exchange of idle) exchange[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}

function seal(publicKey: KeyObject, { plaintext }: Sample) {
  const [contentKey, iv] = [randomBytes(32), randomBytes(16)];
  const cipher = createCipheriv("aes-256-cbc", contentKey, iv);
  const content = Buffer.concat([cipher.update(decodeBase64(plaintext)), cipher.final()]);
  return { wrappedKey: publicEncrypt({ key: publicKey, ...OAEP }, contentKey), iv, content };
}

/** One request after the other over one connection. */
class Exchange implements Disposable {
  readonly #socket: TLSSocket;
  #missing = 0;
  #settle: (() => void) | undefined;
  #fail: (error: Error) => void = () => {};

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("KMS closed the connection")));
  }

  static async open(options: ConnectionOptions): Promise<Exchange> {
    const socket = connect(options);
    await once(socket, "secureConnect");
    return new Exchange(socket);
  }

  send(bytes: Uint8Array): Promise<void> {
    this.#missing = 0;
    return new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#fail = reject;
      this.#socket.write(bytes);
    });
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    if (this.#missing === 0) this.#missing = lengthOfAnswer(chunk);
    this.#missing -= chunk.length;
    if (this.#missing === 0) this.#settle?.();
  }
}

function lengthOfAnswer(chunk: Buffer): number {
  const text = chunk.toString("latin1");
  if (!text.startsWith("HTTP/1.1 200 ")) throw new Error(`KMS refused: ${text}`);
  return text.indexOf("\r\n\r\n") + 4 + Number(/content-length: *(\d+)/i.exec(text)?.[1]);
}
