/**
 * TCP ports that stay free while nobody listens on them.
 *
 * @module
 */
import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/** Ports between those of known services and those that Linux gives to whoever asks for any. */
const FIRST = 10_000;
const END = 32_768;

/**
 * Chooses a TCP port on which nobody listens. It is none that Linux gives to whoever asks for any, unless it was told other
 * bounds: so a server that goes away finds it free when it comes back, however many others have begun to listen in between.
 *
 * @param host Address to listen on
 * @returns The port, 10000 to 32767
 */
export async function choosePort(host: string = "127.0.0.1"): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, END);
    if (await isFree(host, port)) return port;
  }
}

async function isFree(host: string, port: number): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.once(
    "error",
    (error: NodeJS.ErrnoException) => error.code === "EADDRINUSE" ? resolve(false) : reject(error),
  );
  server.listen({ host, port }, () => server.close(() => resolve(true)));
  return await promise;
}
