/** What a user in TypeScript writes for the doors that need types of Node.js and Hono. */
import { hc } from "hono/client";
import type { AppType, Config, Server } from "enclave-kms/server";
import { readConfig, startServer } from "enclave-kms/server";
import type { Duplex } from "node:stream";
import {
  connect,
  createFetch,
  type Fetch,
  type HttpServer,
  serve,
  type ServeHandler,
} from "enclave-kms/vsock";

const handler: ServeHandler = (_, { remoteCid }) => new Response(String(remoteCid));
export const start = (): Promise<HttpServer> => serve(handler, { port: 5000 });
export const open = (): Promise<Duplex> => connect({ transport: "vsock", cid: 16, port: 5000 });
export const config: Config = readConfig({ ENCLAVE_KMS_REGION: "eu-central-1" });
export const server = (): Promise<Server> => startServer(config);

const fetch: Fetch = createFetch({ cid: 16, port: 5000 });
const client = hc<AppType>("http://enclave", { fetch });
export async function decrypt(ciphertext: string): Promise<string> {
  const answer = await client.v1.decrypt.$post({ json: { ciphertext } });
  if (answer.status !== 200) return "";
  const { plaintext }: { plaintext: string } = await answer.json();
  return plaintext;
}

// @ts-expect-error: a port is a number
export const wrongPort = (): Promise<HttpServer> => serve(handler, { port: "5000" });

// @ts-expect-error: the server has no such route
export const wrongRoute = (): unknown => client.v1.decipher;
console.log("attack at dawn");
