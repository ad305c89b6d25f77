/**
 * Application of the flow, as its image would hold it: it waits for two secrets whose pins are written in it, and
 * authenticates texts with one of them. In a simulation the pins come in a variable, for each run makes new keys.
 *
 * @module
 */
import process from "node:process";
import { ageSecret, enclaveApp, kmsSecret, startEnclave } from "../../enclave/mod.ts";
import { decodeBase64, encodeBase64 } from "../../lib/core/encoding.ts";

/** Pins of the application. */
export interface FlowPins {
  /** Full ARN of the key that encrypted the age identity. */
  readonly keyArn: string;
  /** Recipient of the age identity. */
  readonly recipient: string;
  /** Public key of whoever signed both secrets, PEM. */
  readonly publisher: string;
}

/** Variable that has the pins as JSON. */
export const PINS_VARIABLE = "FLOW_PINS";

/** Variable that has the port of a server of gRPC on 127.0.0.1, which callers outside reach on vsock 50051. */
export const GRPC_PORT_VARIABLE = "FLOW_GRPC_PORT";

/** Encryption context of the age identity. */
export const FLOW_CONTEXT: Readonly<Record<string, string>> = { secret: "age-key" };

const { keyArn, recipient, publisher } = JSON.parse(process.env[PINS_VARIABLE] ?? "{}") as FlowPins;

const grpcPort = process.env[GRPC_PORT_VARIABLE];

const app = enclaveApp()
  .get("/v1/mac/:text", async (c) => {
    const secret = c.var.secrets.get("key-shares");
    if (secret === undefined) return c.json({ code: "ERR_NO_SECRET" }, 503);
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const bytes = secret.bytes as Uint8Array<ArrayBuffer>;
    const key = await crypto.subtle.importKey("raw", bytes, algorithm, false, ["sign"]);
    const mac = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(c.req.param("text")));
    return c.json({ mac: encodeBase64(new Uint8Array(mac)) }, 200);
  })
  .get("/v1/decrypt/:ciphertext", async (c) => {
    const ciphertext = decodeBase64(decodeURIComponent(c.req.param("ciphertext")));
    using plaintext = await c.var.kms.decrypt({ ciphertext });
    return c.json({ length: plaintext.length }, 200);
  });

await using enclave = await startEnclave(app, {
  name: "flow",
  ingresses: grpcPort === undefined ? [] : [{ targetPort: Number(grpcPort) }],
  secrets: [
    {
      name: "age-key",
      from: kmsSecret({ keyArn, encryptionContext: FLOW_CONTEXT }),
      publisher,
      minVersion: 1,
    },
    { name: "key-shares", from: ageSecret({ identity: "age-key", recipient }), publisher, minVersion: 1 },
  ],
});
await enclave.closed;
