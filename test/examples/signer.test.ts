import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { describe, test } from "#test";
import { ENCRYPTION_CONTEXT, startSigner } from "../../examples/signer/signer.ts";
import { Wallet } from "../../examples/signer/wallet.ts";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { createFetch } from "../../lib/transport/mod.ts";
import { attestedKeyPolicy, startSimulator } from "../../sim/mod.ts";
import { runExample } from "./run_example.ts";

describe("examples/signer", () => {
  test("signs for signers, over a sealed channel, and for nobody else", async () => {
    assert.deepEqual(await runExample("examples/signer/laptop.ts"), [
      "before the parent has sent credentials: 503 ERR_NOT_READY",
      "ann, a signer: 200, and the signature is good",
      "bob, a reader: 403 ERR_POLICY_DENIED",
      "nobody in particular: 403 ERR_POLICY_DENIED",
      "a token of somebody else's: 401 ERR_TOKEN",
      "in the clear, past the seal: 403 ERR_CHANNEL",
    ]);
  });

  const swaps = {
    "of another image": ["00".repeat(48), ENCRYPTION_CONTEXT, false, "AccessDeniedException"],
    "under a key of the parent's": [undefined, ENCRYPTION_CONTEXT, true, "IncorrectKeyException"],
    "made for another purpose": [undefined, { purpose: "backup" }, false, "InvalidCiphertextException"],
  } as const;
  for (const [name, [pcr0, encryptionContext, isSwapped, kmsCode]] of Object.entries(swaps)) {
    test(`ends when KMS does not release its key, which is ${name}`, async () => {
      await using simulator = await startSimulator();
      const folder = mkdtempSync(join(tmpdir(), "enclave-kms-signer-"));
      const policy = attestedKeyPolicy({ 0: pcr0 ?? simulator.nsm.pcr(0) });
      const own = await simulator.createKey({ policy });
      const other = await simulator.createKey();
      const plaintext = secp256k1.utils.randomSecretKey();
      const { keyId } = isSwapped ? other : own;
      const ciphertext = await simulator.encrypt({ keyId, plaintext, encryptionContext });
      const { host, port } = simulator.endpoint as TcpEndpoint;
      try {
        await using signer = await startSigner({ ciphertext, keyId: own.arn }, {
          nsm: simulator.nsm,
          trustedCertificates: simulator.trustedCertificates,
          signals: false,
          environment: {
            ENV_SETUP: "SIM",
            ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
            ENCLAVE_PORT: "0",
            ENCLAVE_KMS_CONTROL_SOCKET: join(folder, "control.sock"),
            ENCLAVE_KMS_KMS: `tcp:${host}:${port}`,
            ENCLAVE_KMS_REGION: simulator.region,
            ENCLAVE_KMS_LOG_LEVEL: "silent",
          },
        });
        const refused = assert.rejects(signer.opened, { kmsCode });
        await createFetch(signer.enclave.controlEndpoint!)("http://enclave/v1/credentials", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(simulator.credentials),
        });
        await refused;
        await signer.enclave.closed;
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  }

  test("takes no key that is none, and wipes it in the end", () => {
    const [wallet, none] = [new Wallet(), SecretBytes.copyOf(new Uint8Array(32))];
    assert.throws(() => wallet.open(none), RangeError);
    assert.throws(() => wallet.sign(Uint8Array.of(1)), /not there yet/);
    const key = SecretBytes.copyOf(secp256k1.utils.randomSecretKey());
    const { bytes } = key;
    wallet.open(key);
    assert.ok(secp256k1.verify(wallet.sign(Uint8Array.of(1)), Uint8Array.of(1), wallet.publicKey));
    wallet[Symbol.dispose]();
    assert.ok(bytes.every((byte) => byte === 0));
  });
});
