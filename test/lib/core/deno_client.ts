/**
 * Deno only. Makes one request over a connection of Deno's own, as with vsock, but over TCP, and ends
 * without closing anything: the process must exit by itself.
 */
import process from "node:process";
import { Deadline } from "../../../lib/core/deadline.ts";
import { KmsConnection } from "../../../lib/kms/https/kms_connection.ts";
import { type ByteConn, ConnStream } from "../../../lib/core/conn_stream.ts";

interface DenoTcp {
  connect(options: { hostname: string; port: number }): Promise<ByteConn>;
}

const [port, trustedCertificates] = process.argv.slice(2);
const deno = (globalThis as unknown as { Deno: DenoTcp }).Deno;
const hostName = "kms.eu-central-1.amazonaws.com";
const open = async () => new ConnStream(await deno.connect({ hostname: "127.0.0.1", port: Number(port) }));
const connection = new KmsConnection({
  open,
  hostName,
  trustedCertificates,
  maxConnections: 1,
  maxIdleMs: 24 * 3_600_000,
});
using deadline = new Deadline("test", 60_000);
const body = { bytes: new Uint8Array(9000), isSecret: false };
for (let i = 0; i < 3; i++) await connection.request({ host: hostName }, body, deadline);
console.log("answered");
