/**
 * A process that gets the instance's credentials and pushes them, as it is told, and waits in between, so that its memory
 * can be searched for them.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { CredentialPusher, imdsCredentials, sendCredentials } from "../../parent/mod.ts";

/** Command to the process, a line of JSON. */
export interface CredentialsCommand {
  readonly does: "get" | "push" | "close";
  /** URL of the metadata service. */
  readonly endpoint: string;
  /** Number of times. */
  readonly rounds: number;
  /** Milliseconds for each try. */
  readonly tryTimeoutMs: number;
  /** Folder of the enclave's sockets. */
  readonly simulationFolder?: string;
  /** Keeps the secret access key on purpose: to prove that a search would find it. */
  readonly keep?: boolean;
}

const kept: Uint8Array[] = [];
let pusher: CredentialPusher | undefined;

if (import.meta.main) {
  for await (const line of createInterface(process.stdin)) {
    const outcome = await obey(JSON.parse(line) as CredentialsCommand).catch((error) =>
      String(error.code ?? error)
    );
    process.stdout.write(`${JSON.stringify(outcome)}\n`);
  }
}

async function obey(command: CredentialsCommand): Promise<string> {
  switch (command.does) {
    case "get":
      return await get(command);
    case "push":
      return await push(command);
    case "close":
      await pusher?.close();
      pusher = undefined;
      return "closed";
  }
}

async function get({ endpoint, rounds, tryTimeoutMs, keep }: CredentialsCommand): Promise<string> {
  const provider = imdsCredentials({ endpoint, env: {}, timeoutMs: 60_000, tryTimeoutMs, maxAttempts: 1 });
  for (let round = 0; round < rounds; round++) {
    using credentials = await provider();
    if (keep) kept.push((credentials.secretAccessKey as Uint8Array).slice());
  }
  return "got";
}

async function push(
  { endpoint, rounds, tryTimeoutMs, simulationFolder }: CredentialsCommand,
): Promise<string> {
  pusher ??= CredentialPusher.start({
    source: imdsCredentials({ endpoint, env: {}, timeoutMs: 60_000, tryTimeoutMs }),
    send: (credentials, { signal }) =>
      sendCredentials({ enclaveCid: 16, simulationFolder, credentials, signal }),
    maxPauseMs: 60_000,
    sendTimeoutMs: 60_000,
  });
  for (let round = 0; round < rounds; round++) await pusher.pushNow();
  return "pushed";
}
