/**
 * A process that holds the client which meets the faults, and nothing else: its memory is searched
 * afterwards. It is told its secrets in disguise, and shows plaintexts in disguise. One line of JSON per
 * command, and per answer.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { doublePath, SdkDouble } from "../support/sdk_double.ts";
import { type Ask, type ClientSetup, type CredentialsFeed, FaultyClient } from "./client.ts";
import type { Seen } from "./outcome.ts";

/** Command to the process. */
export type ChildCommand =
  | { readonly does: "open"; readonly setup: ClientSetup }
  | { readonly does: "useCredentials"; readonly feed: CredentialsFeed }
  | { readonly does: "decrypt"; readonly ask: Ask }
  /** Keeps the plaintext and the credentials on purpose, to prove that a search would find them. */
  | { readonly does: "keep"; readonly ask: Ask }
  /** Wipes what was kept, and closes the client. */
  | { readonly does: "close" };

/** Answer of the process. A decrypt has two: when the provider was asked, and at its end. */
export type ChildAnswer = "done" | "asked" | { readonly seen: Seen };

let client: FaultyClient | undefined;

for await (const line of createInterface(process.stdin)) await obey(JSON.parse(line) as ChildCommand);

async function obey(command: ChildCommand): Promise<void> {
  switch (command.does) {
    case "open":
      if (command.setup.library === doublePath && doublePath !== undefined) {
        new SdkDouble(doublePath).shareKey();
      }
      client = new FaultyClient(command.setup, { worker: new URL("./worker.ts", import.meta.url) });
      return answer("done");
    case "useCredentials":
      await client?.useCredentials(command.feed);
      return answer("done");
    case "decrypt":
      // Others may be given while it runs.
      return void decrypt(command.ask);
    case "keep":
      await client?.keep(command.ask);
      return answer("done");
    case "close":
      await client?.[Symbol.asyncDispose]();
      return answer("done");
  }
}

async function decrypt(ask: Ask): Promise<void> {
  if (client === undefined) return;
  const { asked, seen } = client.decrypt(ask);
  await asked;
  answer("asked");
  answer({ seen: await seen });
}

function answer(answered: ChildAnswer): void {
  process.stdout.write(`${JSON.stringify(answered)}\n`);
}
