/**
 * An application that waits for the secrets which its environment declares, and tells the hash of one of them.
 *
 * @module
 */
import { createHash } from "node:crypto";
import process from "node:process";
import { enclaveApp, startEnclave } from "../../enclave/mod.ts";

const app = enclaveApp().get("/v1/hash", (c) => {
  const secret = c.var.secrets.get("key-shares");
  return c.json({
    sha256: secret === undefined ? null : createHash("sha256").update(secret.bytes).digest("hex"),
  });
});

await startEnclave(app, { name: "secrets", secrets: JSON.parse(process.env["TEST_SECRETS"] ?? "[]") });
