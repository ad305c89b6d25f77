import { Buffer } from "node:buffer";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { NsmSocket } from "../../lib/nsm/nsm_socket.ts";
import { NsmClient } from "../../lib/nsm/nsm_client.ts";
import { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { decodeBase64, encodeBase64 } from "../../lib/core/encoding.ts";
import { SigV4Signer } from "../../lib/aws/sigv4.ts";
import { openNsm } from "../../lib/nsm/open_nsm.ts";
import { kmsHostName } from "../../lib/aws/region.ts";
import { Exchange } from "../exchange.ts";
import type { Parts, RoundTripMs, Sample, Setting } from "../setting.ts";
import type { Path } from "./path.ts";
import { isRight } from "./plaintext.ts";
import type { Primitives } from "./primitives.ts";

/** Lengths of the texts that SigV4 hashes beside the body, in bytes. */
const CANONICAL_REQUEST_BYTES = 900;
const STRING_TO_SIGN_BYTES = 140;

/** KMS takes a signature and a document for five minutes. */
const REQUEST_MAX_AGE_MS = 60_000;

/**
 * Opens the floor, which does only what no decrypt can do without: SHA-256 and HMAC of as many bytes as SigV4
 * signs, a request to the same KMS and its answer over a TLS connection that stays, one RSA private
 * operation, one AES-256-CBC decryption. The request is made once a minute, and only the length of the answer
 * is read: no HTTP, JSON, base64, CMS, deadline, retry or check.
 *
 * @param primitives Cryptography with a key pair of its own
 */
export async function openFloor(
  primitives: Primitives,
  { region, credentials, kms, trustedCertificates, nsmSocket, samples }: Setting,
  { hasDevice }: Parts,
  roundTripMs: RoundTripMs,
): Promise<Path> {
  const sealed = new Map(samples.map((sample) => {
    return [sample.ciphertext, primitives.seal(decodeBase64(sample.plaintext))];
  }));
  const nsm = new NsmClient(hasDevice ? openNsm() : new NsmSocket(nsmSocket));
  // KMS encrypts to this one, as long as any other; its answer is not opened.
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const spki = Uint8Array.from(publicKey.export({ type: "spki", format: "der" }));
  const owned = OwnedCredentials.copyOf(credentials);
  const signer = new SigV4Signer(region);
  const canonicalRequest = new Uint8Array(CANONICAL_REQUEST_BYTES).fill(0x61);
  const stringToSign = new Uint8Array(STRING_TO_SIGN_BYTES).fill(0x61);
  const signingKey = Uint8Array.from(randomBytes(32));
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
    const text = JSON.stringify({ CiphertextBlob: ciphertext, Recipient: recipient });
    const body = Uint8Array.from(Buffer.from(text));
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
      primitives.digest(ready.body);
      primitives.digest(canonicalRequest);
      primitives.hmac(signingKey, stringToSign);
      const exchange = idle.pop() ?? await Exchange.open(options);
      await exchange.send(ready.bytes);
      idle.push(exchange);
      const prepared = sealed.get(sample.ciphertext);
      if (prepared === undefined) throw new Error("The floor does not know this sample");
      return isRight(await primitives.open(prepared), sample);
    },
    [Symbol.asyncDispose]() {
      for (const exchange of idle) exchange[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}
