/**
 * A process that decrypts with the AWS SDK's client and the plug-in, wipes what it gets and then waits, so that its
 * memory can be searched. Its NSM is that of the process that started it: it asks over its output.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import process from "node:process";
import { createInterface } from "node:readline";
import { DecryptCommand, KMSClient } from "@aws-sdk/client-kms";
import { recipientPlugin, vsockRequestHandler } from "../../aws_sdk/mod.ts";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import type { NsmTransport } from "../../lib/nsm/nsm_transport.ts";

/** First line for the process: its client. */
export interface PluginSetup {
  readonly region: string;
  readonly endpoint: TcpEndpoint;
  readonly trustedCertificates: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

/** Lines for the process that follow. Bytes are base64. */
export type PluginCommand =
  | { readonly does: "decrypt"; readonly ciphertext: string; readonly keep: boolean }
  | { readonly does: "answer"; readonly answer: string };

/** Line of the process: a request to the NSM, or what came of a command. */
export type PluginLine = { readonly nsm: string } | { readonly outcome: string };

const ROUNDS = 3;
const PATIENCE_MS = 1_200_000;
const kept: Uint8Array[] = [];
const waiting: ((answer: Uint8Array) => void)[] = [];
const nsm: NsmTransport = {
  exchange(request) {
    say({ nsm: Buffer.from(request).toString("base64") });
    return new Promise((resolve) => waiting.push(resolve));
  },
  [Symbol.dispose]() {},
};

let client: KMSClient | undefined;

if (process.argv[1]?.endsWith("plugin_memory_child.ts")) {
  for await (const line of createInterface(process.stdin)) {
    const message = JSON.parse(line) as PluginSetup | PluginCommand;
    if (!("does" in message)) client = open(message);
    else if (message.does === "answer") waiting.shift()?.(Buffer.from(message.answer, "base64"));
    else void decrypt(message.ciphertext, message.keep).then((outcome) => say({ outcome }));
  }
}

function open({ region, endpoint, trustedCertificates, credentials }: PluginSetup): KMSClient {
  const times = { connectTimeoutMs: PATIENCE_MS, idleTimeoutMs: PATIENCE_MS };
  const requestHandler = vsockRequestHandler({ endpoint, trustedCertificates, ...times });
  const made = new KMSClient({ region, credentials, requestHandler, maxAttempts: 1 });
  made.middlewareStack.use(recipientPlugin({ engine: "direct", nsm, timeoutMs: PATIENCE_MS }));
  return made;
}

async function decrypt(ciphertext: string, keep: boolean): Promise<string> {
  const CiphertextBlob = Buffer.from(ciphertext, "base64");
  try {
    let length = 0;
    for (let round = 0; round < ROUNDS; round++) {
      // One, and then two at once, which are opened on other threads.
      const all = Array.from(
        { length: 1 + round % 2 },
        () => client!.send(new DecryptCommand({ CiphertextBlob })),
      );
      for (const { Plaintext } of await Promise.all(all)) {
        length = Plaintext!.length;
        if (keep) kept.push(Plaintext!.slice());
        Plaintext!.fill(0);
      }
    }
    return `decrypted ${length}`;
  } catch (error) {
    return String((error as { code?: string }).code ?? error);
  }
}

function say(line: PluginLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
