import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "../child.ts";
import { HttpCaller } from "../http_caller.ts";
import { setCredentials } from "../set_credentials.ts";
import { commandOf, OWN_RUNTIME } from "../runtimes.ts";
import type { ServerOrder } from "../server_process.ts";
import type { Parts, RoundTripMs, Sample, Setting } from "../setting.ts";
import type { Path } from "./path.ts";

/**
 * Starts the server in a process of its own, on this runtime. A minimal HTTP client asks it over a unix
 * socket.
 */
export async function openServer(setting: Setting, parts: Parts, roundTripMs: RoundTripMs): Promise<Path> {
  const folder = await mkdtemp(join(tmpdir(), "enclave-kms-bench-"));
  const socket = join(folder, "http.sock");
  const server = new Child(commandOf(OWN_RUNTIME, "server_process.ts"));
  await server.ask<boolean>({ setting, parts, roundTripMs, socket } satisfies ServerOrder);
  const idle: HttpCaller[] = [];
  const ask = async (path: string, body: unknown): Promise<string> => {
    const caller = takeOpen(idle) ?? await open(socket);
    const answer = await caller.post(path, JSON.stringify(body));
    idle.push(caller);
    return answer.body;
  };
  await setCredentials({ transport: "unix", path: `${socket}.control` }, setting.credentials);
  return {
    async decrypt({ ciphertext, plaintext }: Sample) {
      const { plaintext: answer } = JSON.parse(await ask("/v1/decrypt", { ciphertext }));
      return answer === plaintext;
    },
    async [Symbol.asyncDispose]() {
      for (const caller of idle) caller[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Takes an idle connection that is open: the server closes those that were idle for a minute. */
function takeOpen(idle: HttpCaller[]): HttpCaller | undefined {
  for (let caller = idle.pop(); caller !== undefined; caller = idle.pop()) if (caller.isOpen) return caller;
}

async function open(path: string): Promise<HttpCaller> {
  const socket = connect(path);
  await once(socket, "connect");
  return new HttpCaller(socket);
}
