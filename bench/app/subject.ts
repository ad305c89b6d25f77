/**
 * One application in a process of its own: bare on @hono/node-server, or on the application base. Reads a
 * {@link SubjectOrder} as one line of JSON, prints its {@link SubjectPlace}, then answers each line with the processor
 * time that it used until then, in microseconds.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import process from "node:process";
import { createInterface } from "node:readline";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { SignJWT } from "jose";
import { enclaveApp, gate, startEnclave } from "../../enclave/mod.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import { startSimulator } from "../../sim/mod.ts";
import type { SubjectOrder, SubjectPlace } from "./subject_order.ts";

/** Answer of the route, 200 bytes of JSON. */
const ANSWER = { id: 7, item: "book", note: "x".repeat(200 - '{"id":7,"item":"book","note":""}'.length) };

const ISSUER = "https://id.example";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { value } = await lines.next();
const order = JSON.parse(String(value)) as SubjectOrder;
console.log(JSON.stringify(await (isBare(order) ? serveBare(order) : serveBase(order))));
for await (const _question of { [Symbol.asyncIterator]: () => lines }) {
  const { user, system } = process.cpuUsage();
  console.log(user + system);
}
process.exit(0);

function isBare({ name }: SubjectOrder): boolean {
  return name === "bare" || name === "kept";
}

async function serveBare({ name }: SubjectOrder): Promise<SubjectPlace> {
  const app = new Hono().get("/v1/orders/:id", (c) => c.json(ANSWER, 200));
  const port = await new Promise<number>((resolve) => {
    const overrideGlobalObjects = name === "bare";
    const options = { fetch: app.fetch, port: 0, hostname: "127.0.0.1", overrideGlobalObjects };
    serve(options, (info) => resolve(info.port));
  });
  return { port, authorization: "", pcr0: "", root: "" };
}

async function serveBase({ name, folder }: SubjectOrder): Promise<SubjectPlace> {
  const app = name === "gate"
    ? enclaveApp().get("/v1/orders/:id", gate("ReadOrder"), (c) => c.json(ANSWER, 200))
    : enclaveApp().get("/v1/orders/:id", (c) => c.json(ANSWER, 200));
  const policyFile = `${folder}/${name}.cedar`;
  const action = name === "sealed" ? "GetAttestation" : "ReadOrder";
  await writeFile(policyFile, `permit(principal, action == Action::"${action}", resource);\n`);
  const { publicKey, authorization } = await makeToken();
  const tokens = [{ issuer: ISSUER, audience: "orders", algorithms: ["ES256"], keys: { keys: [publicKey] } }];
  await writeFile(
    `${folder}/${name}.json`,
    JSON.stringify(name === "jwt" ? { tokens, clearTokens: true } : {}),
  );
  const simulator = await startSimulator();
  const { endpoint, nsm, trustedCertificates, region } = simulator;
  if (endpoint.transport !== "tcp") throw new Error("The simulator listens on TCP");
  const enclave = await startEnclave(app, {
    name: "orders",
    actions: ["ReadOrder"],
    nsm,
    trustedCertificates,
    signals: false,
    logger: createLogger(name === "log" ? "info" : "warn", () => {}),
    environment: {
      ENV_SETUP: "SIM",
      ENCLAVE_PORT: "0",
      CONTROL_PORT: "0",
      ENCLAVE_KMS_CONFIG: `${folder}/${name}.json`,
      ENCLAVE_KMS_POLICY_FILE: policyFile,
      ENCLAVE_KMS_REGION: region,
      ENCLAVE_KMS_ENGINE: "direct",
      ENCLAVE_KMS_TLS: name === "tls" ? "tcp:127.0.0.1:0" : "off",
      ENCLAVE_KMS_KMS: `tcp:${endpoint.host}:${endpoint.port}`,
    },
  });
  const listening = name === "tls" ? enclave.tlsEndpoint : enclave.endpoint;
  if (listening?.transport !== "tcp") throw new Error("A simulated enclave listens on TCP");
  const [pcr0, root] = [simulator.nsm.pcr(0), encodeBase64(simulator.nsm.root)];
  return { port: listening.port, authorization: name === "jwt" ? authorization : "", pcr0, root };
}

async function makeToken(): Promise<{ publicKey: object; authorization: string }> {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ]);
  const token = await new SignJWT({ sub: "somebody" }).setProtectedHeader({ alg: "ES256" }).setIssuer(ISSUER)
    .setAudience("orders").setIssuedAt().setExpirationTime("1h").sign(pair.privateKey);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  return { publicKey: { kty, crv, x, y }, authorization: `Bearer ${token}` };
}
