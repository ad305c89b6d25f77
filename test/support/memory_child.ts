/**
 * A process that asks KMS for something a few times and then waits, so that its memory can be searched. It is told
 * everything in disguise: what it must not keep never stands in its arguments or on its input as it is.
 *
 * @module
 */
import process from "node:process";
import { decryptStream, encryptStream, type EngineName, KmsClient, type SecretBytes } from "../../mod.ts";
import { disguiseBytes, type MemoryTask, revealBytes } from "./memory_scan.ts";

const FRAME_BYTES = 4096;

/** Where the private number stands in a P-256 key as PKCS #8; the rest of it is known to everybody. */
const SCALAR = [36, 68] as const;

const input: Uint8Array[] = [];
for await (const chunk of process.stdin) {
  input.push(chunk as Uint8Array);
  if ((chunk as Uint8Array).includes(10)) break;
}
const task = JSON.parse(Buffer.concat(input).toString()) as MemoryTask;
const { region, endpoint, trustedCertificates, library, encryptionContext, keyId, keep, rounds = 1 } = task;

const secretAccessKey = revealBytes(task.secretAccessKey);
const sessionToken = revealBytes(task.sessionToken);
const credentials = { accessKeyId: task.accessKeyId, secretAccessKey, sessionToken };
const engine = task.engine as EngineName;

/** What the process knew, in disguise, and what it keeps on purpose. */
const secrets: number[][] = [];
const kept: unknown[] = [];

let outcome: string;
try {
  await using client = await KmsClient.open({
    region,
    endpoint,
    trustedCertificates,
    credentials,
    engine,
    library: engine === "direct" ? undefined : library,
    maxAttempts: 1,
  });
  outcome = "nothing done";
  for (let round = 0; round < rounds; round++) outcome = await run(client);
} catch (error) {
  outcome = (error as { code?: string }).code ?? String(error);
}
if (keep) kept.push(secretAccessKey.slice());
secretAccessKey.fill(0);
sessionToken.fill(0);
process.stdout.write(`${JSON.stringify({ pid: process.pid, outcome, secrets })}\n`);
setInterval(() => kept.length, 1000);

async function run(client: KmsClient): Promise<string> {
  switch (task.operation ?? "decrypt") {
    case "decrypt":
      return take("decrypted", await client.decrypt({ ciphertext: task.ciphertext, encryptionContext }));
    case "generateDataKey": {
      using dataKey = await client.generateDataKey({ keyId, encryptionContext });
      return take("made", dataKey.plaintext);
    }
    case "generateDataKeyPair": {
      using pair = await client.generateDataKeyPair({
        keyId,
        keyPairSpec: "ECC_NIST_P256",
        encryptionContext,
      });
      secrets.push(disguiseBytes(pair.privateKey.bytes.subarray(...SCALAR)));
      if (keep) kept.push(pair.privateKey.bytes.slice());
      return `made ${pair.privateKey.length}`;
    }
    case "generateRandom":
      return take("made", await client.generateRandom({ numberOfBytes: 1024 }));
    case "deriveSharedSecret":
      return take("derived", await client.deriveSharedSecret({ keyId, publicKey: task.publicKey ?? "" }));
    case "encrypt": {
      const plaintext = revealBytes(task.plaintext ?? []);
      const { ciphertext } = await client.encrypt({ keyId, plaintext, encryptionContext });
      if (keep) kept.push(plaintext.slice());
      plaintext.fill(0);
      return `encrypted ${ciphertext.length > 0}`;
    }
    case "streams":
      return await throughStreams(client);
  }
}

/** Notes a secret, and ends it. */
function take(what: string, secret: SecretBytes): string {
  const { length } = secret;
  secrets.push(disguiseBytes(secret.bytes));
  if (keep) kept.push(secret.bytes.slice());
  secret[Symbol.dispose]();
  return `${what} ${length}`;
}

/** Encrypts what it was given, and decrypts it again; data keys are noted, and every chunk is wiped. */
async function throughStreams(client: KmsClient): Promise<string> {
  const plaintext = revealBytes(task.plaintext ?? []);
  const noting = {
    async generateDataKey(request: Parameters<KmsClient["generateDataKey"]>[0]) {
      const dataKey = await client.generateDataKey(request);
      secrets.push(disguiseBytes(dataKey.plaintext.bytes));
      return dataKey;
    },
    decrypt: (request: Parameters<KmsClient["decrypt"]>[0]) => client.decrypt(request),
  };
  const source = ReadableStream.from([plaintext]);
  const options = { keyId, encryptionContext };
  const message = source.pipeThrough(encryptStream(noting, { ...options, frameBytes: FRAME_BYTES }));
  let length = 0;
  for await (const chunk of message.pipeThrough(decryptStream(noting, options))) {
    length += chunk.length;
    if (keep) kept.push(chunk.slice());
    chunk.fill(0);
  }
  plaintext.fill(0);
  return `through streams ${length}`;
}
