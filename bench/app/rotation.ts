/**
 * Credentials of an application that rotate while requests are in flight, in a process of its own: reads a
 * {@link RotationOrder} as one line of JSON, and prints {@link Rotated}.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { enclaveApp, startEnclave } from "../../enclave/mod.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { startSimulator } from "../../sim/mod.ts";
import { HttpCaller } from "../http_caller.ts";
import { Callers, dial } from "./callers.ts";
import { IN_FLIGHT, type Rotated, type RotationOrder } from "./rotation_order.ts";

/** Connections that credentials come over. */
const PUSHERS = 8;

const REQUEST = "GET /v1/random HTTP/1.1\r\nhost: a\r\n\r\n";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { value } = await lines.next();
console.log(JSON.stringify(await rotate(JSON.parse(String(value)) as RotationOrder)));
process.exit(0);

async function rotate({ rotations, folder }: RotationOrder): Promise<Rotated> {
  const app = enclaveApp().get("/v1/random", async (c) => {
    using random = await c.var.kms.generateRandom({ numberOfBytes: 32 });
    return c.json({ length: random.length });
  });
  await using simulator = await startSimulator();
  const { nsm, trustedCertificates, region, endpoint } = simulator;
  if (endpoint.transport !== "tcp") throw new Error("The simulator listens on TCP");
  await using enclave = await startEnclave(app, {
    name: "rotation",
    ungated: true,
    nsm,
    trustedCertificates,
    signals: false,
    logger: createLogger("silent"),
    environment: {
      ENV_SETUP: "SIM",
      ENCLAVE_PORT: "0",
      ENCLAVE_KMS_CONTROL_SOCKET: `${folder}/control-${process.pid}.sock`,
      ENCLAVE_KMS_REGION: region,
      ENCLAVE_KMS_ENGINE: "direct",
      ENCLAVE_KMS_KMS: `tcp:${endpoint.host}:${endpoint.port}`,
    },
  });
  const push = async (control: HttpCaller) => {
    const { accessKeyId, secretAccessKey, sessionToken } = simulator.rotateCredentials();
    const body = JSON.stringify({ accessKeyId, secretAccessKey, sessionToken });
    const { status } = await control.post("/v1/credentials", body);
    if (status !== 204) throw new Error(`The credentials were refused: ${status}`);
  };
  let left = rotations;
  // Each waits for its turn behind the callers' requests, so one alone would replace them once a round.
  const pushAll = async () => {
    using control = new HttpCaller(await dial(enclave.controlEndpoint));
    while (left-- > 0) await push(control);
  };
  using first = new HttpCaller(await dial(enclave.controlEndpoint));
  await push(first);
  const callers = new Callers(enclave.endpoint, REQUEST);
  const running = Array.from({ length: IN_FLIGHT }, () => callers.run());
  const before = performance.now();
  await Promise.all(Array.from({ length: PUSHERS }, pushAll));
  const ms = performance.now() - before;
  callers.isOver = true;
  await Promise.all(running);
  return { rotations, ms, requests: callers.requests, failures: callers.failures };
}
