/** Makes one request and ends without closing anything: the process must exit by itself. */
import process from "node:process";
import { Deadline } from "../../../../lib/core/deadline.ts";
import { KmsConnection } from "../../../../lib/kms/https/kms_connection.ts";
import { openTransport } from "../../../../lib/transport/open_transport.ts";

const [endpointJson, trustedCertificates] = process.argv.slice(2);
const endpoint = JSON.parse(endpointJson ?? "");
const hostName = "kms.eu-central-1.amazonaws.com";
const open = (deadline: Deadline) => openTransport(endpoint, deadline);
const connection = new KmsConnection({
  open,
  hostName,
  trustedCertificates,
  maxConnections: 1,
  maxIdleMs: 24 * 3_600_000,
});
using deadline = new Deadline("test", 60_000);
const body = { bytes: new Uint8Array(1), isSecret: false };
const { status } = await connection.request({ host: hostName }, body, deadline);
console.log(status === 200 ? "answered" : status);
