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
import { decodeBase64 } from "../../lib/encoding.ts";
import { kmsHostName } from "../../lib/region.ts";
import type { Parts, RoundTripMs, Sample, Setting } from "../setting.ts";
import type { Path } from "./path.ts";
import { isRight } from "./plaintext.ts";

/** What SigV4 hashes beside the body. */
const CANONICAL_REQUEST_BYTES = 900;
const STRING_TO_SIGN_BYTES = 140;

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" } as const;

/**
 * What no decrypt can do without, and nothing else: SHA-256 and HMAC of what SigV4 signs, as many bytes to and
 * from a TLS peer over connections that stay, one RSA private operation, one AES-256-CBC decryption. No HTTP,
 * JSON, base64, CMS, deadline, retry or check of any kind.
 */
export function openFloor(
  { region, samples, floor }: Setting,
  _parts: Parts,
  roundTripMs: RoundTripMs,
): Promise<Path> {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const sealed = new Map(samples.map((sample) => [sample, seal(publicKey, sample)]));
  const { host, port } = floor.peer[roundTripMs];
  const idle: Exchange[] = [];
  const body = new Uint8Array(floor.requestBytes).fill(0x61);
  const canonicalRequest = new Uint8Array(CANONICAL_REQUEST_BYTES).fill(0x61);
  const stringToSign = new Uint8Array(STRING_TO_SIGN_BYTES).fill(0x61);
  const signingKey = randomBytes(32);
  const options = { host, port, ca: floor.trustedCertificates, servername: kmsHostName(region) };
  return Promise.resolve({
    async decrypt(sample: Sample) {
      createHash("sha256").update(body).digest("hex");
      createHash("sha256").update(canonicalRequest).digest("hex");
      createHmac("sha256", signingKey).update(stringToSign).digest("hex");
      const exchange = idle.pop() ?? await Exchange.open(options, floor.answerBytes);
      await exchange.send(body);
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
  });
}

function seal(publicKey: KeyObject, { plaintext }: Sample) {
  const [contentKey, iv] = [randomBytes(32), randomBytes(16)];
  const cipher = createCipheriv("aes-256-cbc", contentKey, iv);
  const content = Buffer.concat([cipher.update(decodeBase64(plaintext)), cipher.final()]);
  return { wrappedKey: publicEncrypt({ key: publicKey, ...OAEP }, contentKey), iv, content };
}

/** So many bytes there, so many back, over one connection. */
class Exchange implements Disposable {
  readonly #socket: TLSSocket;
  readonly #answerBytes: number;
  #missing = 0;
  #done: () => void = () => {};

  private constructor(socket: TLSSocket, answerBytes: number) {
    this.#socket = socket;
    this.#answerBytes = answerBytes;
    socket.on("data", (chunk: Uint8Array) => {
      this.#missing -= chunk.length;
      if (this.#missing <= 0) this.#done();
    });
  }

  static async open(options: ConnectionOptions, answerBytes: number): Promise<Exchange> {
    const socket = connect(options);
    await once(socket, "secureConnect");
    return new Exchange(socket, answerBytes);
  }

  send(bytes: Uint8Array): Promise<void> {
    this.#missing = this.#answerBytes;
    return new Promise((resolve, reject) => {
      this.#done = resolve;
      this.#socket.once("error", reject);
      this.#socket.write(bytes, () => this.#socket.off("error", reject));
    });
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
