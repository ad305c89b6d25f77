/**
 * A process that holds a client, asks KMS for what it is told a few times and then waits, so that its memory
 * can be searched. It is told everything in disguise: what it must not keep never stands on its input as it
 * is.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { type Credentials, type EngineName, KmsClient, type SecretBytes } from "../../mod.ts";
import { decryptStream, encryptStream } from "../../lib/envelope/mod.ts";
import { disguiseBytes, revealBytes } from "./disguise.ts";
import type { MemoryAnswer, MemoryCommand, MemorySetup, MemoryTask } from "./memory_messages.ts";

const FRAME_BYTES = 4096;

/** Range of the private number in a P-256 key as PKCS #8; the rest of the key is public. */
const SCALAR = [36, 68] as const;

/** Secrets kept on purpose. */
const kept: unknown[] = [];

let client: KmsClient | undefined;
let credentials: Credentials | undefined;

/** Secrets of the task under way, in disguise. */
let secrets: number[][] = [];

for await (const line of createInterface(process.stdin)) {
  const answer = await obey(JSON.parse(line) as MemoryCommand);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

async function obey(command: MemoryCommand): Promise<MemoryAnswer> {
  switch (command.does) {
    case "open":
      client = await open(command.setup);
      return { outcome: "opened", secrets: [] };
    case "ask":
      return await ask(client!, command.task);
    case "close":
      await client?.close();
      return { outcome: "closed", secrets: [] };
  }
}

function open({ engine, library, ...options }: MemorySetup): Promise<KmsClient> {
  return KmsClient.open({
    ...options,
    engine: engine as EngineName,
    library: engine === "direct" ? undefined : library,
    credentials: () => credentials!,
    maxAttempts: 1,
  });
}

async function ask(client: KmsClient, task: MemoryTask): Promise<MemoryAnswer> {
  const secretAccessKey = revealBytes(task.secretAccessKey);
  const sessionToken = revealBytes(task.sessionToken);
  credentials = { accessKeyId: task.accessKeyId, secretAccessKey, sessionToken };
  secrets = [];
  let outcome = "nothing done";
  try {
    for (let round = 0; round < task.rounds; round++) outcome = await run(client, task);
  } catch (error) {
    outcome = (error as { code?: string }).code ?? String(error);
  }
  if (task.keep) kept.push(secretAccessKey.slice());
  secretAccessKey.fill(0);
  sessionToken.fill(0);
  return { outcome, secrets };
}

async function run(client: KmsClient, task: MemoryTask): Promise<string> {
  const { keyId, encryptionContext, keep } = task;
  switch (task.operation) {
    case "decrypt":
      return take(
        "decrypted",
        await client.decrypt({ ciphertext: task.ciphertext, encryptionContext }),
        keep,
      );
    case "generateDataKey": {
      using dataKey = await client.generateDataKey({ keyId, encryptionContext });
      return take("made", dataKey.plaintext, keep);
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
      return take("made", await client.generateRandom({ numberOfBytes: 1024 }), keep);
    case "deriveSharedSecret":
      return take(
        "derived",
        await client.deriveSharedSecret({ keyId, publicKey: task.publicKey ?? "" }),
        keep,
      );
    case "encrypt": {
      const plaintext = revealBytes(task.plaintext ?? []);
      const { ciphertext } = await client.encrypt({ keyId, plaintext, encryptionContext });
      if (keep) kept.push(plaintext.slice());
      plaintext.fill(0);
      return `encrypted ${ciphertext.length > 0}`;
    }
    case "streams":
      return await throughStreams(client, task);
  }
}

/** Notes a secret, and ends it. */
function take(what: string, secret: SecretBytes, keep: boolean): string {
  const { length } = secret;
  secrets.push(disguiseBytes(secret.bytes));
  if (keep) kept.push(secret.bytes.slice());
  secret[Symbol.dispose]();
  return `${what} ${length}`;
}

/** Encrypts what it was given, and decrypts it again; data keys are noted, and every chunk is wiped. */
async function throughStreams(client: KmsClient, task: MemoryTask): Promise<string> {
  const { keyId, encryptionContext, keep } = task;
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
