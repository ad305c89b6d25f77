/**
 * An enclave of a fleet, in a process of its own.
 *
 * @module
 */
import process from "node:process";
import { enclaveApp, fileKeyStore, sharedKey, startEnclave } from "../../../enclave/mod.ts";

const { FLEET_STORE: folder = "", FLEET_KEY: keyId = "" } = process.env;
let version = () => 0;
const app = enclaveApp().post("/v1/echo", async (c) => {
  const [body, digest] = [await c.req.text(), c.var.requestDigest];
  return c.json({ body, digest, pid: process.pid, version: version() });
});
const environment = { ...process.env, FLEET_STORE: undefined, FLEET_KEY: undefined };
const enclave = await startEnclave(app, { name: "fleet", environment });
const key = await sharedKey(enclave.kms, {
  ...{ name: "fleet", keyId, store: fileKeyStore(folder), startTimeoutMs: 2_000_000_000 },
  ...{ refreshMs: 50, settleMs: 1500, overlapMs: 30_000 },
  onFailure: (error) => enclave.logger.warn({ error: String(error) }, "the shared key is as it was"),
});
version = () => key.current.version;
await enclave.sealWith(key, { anyEnclave: true });
process.on("SIGUSR2", () => void key.rotate());
console.log(JSON.stringify({ msg: "shared", version: version() }));
