/**
 * A process that runs an enclave which signs, and closes it, so that its memory can be searched for the private key of its
 * boot, which it tells in disguise. Telling it may leave one copy in the runtime.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { BootKeys, makeSigningKey } from "../../enclave/boot_keys.ts";
import { type Enclave, enclaveApp, startEnclave } from "../../enclave/mod.ts";
import type { SignatureAlgorithm } from "../../lib/attestation/signature_message.ts";
import { createFetch } from "../../lib/transport/mod.ts";
import { SoftwareNsm } from "../../sim/mod.ts";
import { disguiseBytes } from "./disguise.ts";
import { garbageCollector } from "./garbage.ts";

/** Ranges of the private number in PKCS #8. */
const SCALARS = { ES256: [36, 68], EdDSA: [16, 48] } as const;
const SIGNATURES = 50;

const app = enclaveApp().get("/sign", async (c) => {
  return c.body(Uint8Array.from(await c.var.kms.signData(Uint8Array.of(1), { purpose: "test" })));
});
const collect = garbageCollector();
let enclave: Enclave | undefined;

for await (const line of createInterface(process.stdin)) {
  process.stdout.write(`${JSON.stringify(await obey(line))}\n`);
}

async function obey(line: string): Promise<number[]> {
  if (line !== "close") return await run(line as SignatureAlgorithm);
  await enclave?.close();
  await enclave?.closed;
  enclave = undefined;
  for (let i = 0; i < 5; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    collect();
  }
  return [];
}

async function run(algorithm: SignatureAlgorithm): Promise<number[]> {
  const scalar = prepare(algorithm);
  enclave = await startEnclave(app, {
    name: "test",
    nsm: await SoftwareNsm.create(),
    signals: false,
    ungated: true,
    environment: {
      ENV_SETUP: "SIM",
      ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
      ENCLAVE_PORT: "0",
      CONTROL_PORT: "0",
      ENCLAVE_KMS_LOG_LEVEL: "silent",
    },
  });
  const fetch = createFetch(enclave.endpoint);
  for (let i = 0; i < SIGNATURES; i++) await (await fetch("http://enclave/sign")).arrayBuffer();
  return scalar;
}

/** Makes the key that the enclave is to have. */
function prepare(algorithm: SignatureAlgorithm): number[] {
  const pair = makeSigningKey(algorithm);
  const pkcs8 = pair.privateKey.export({ format: "der", type: "pkcs8" });
  const scalar = disguiseBytes(pkcs8.subarray(...SCALARS[algorithm]));
  pkcs8.fill(0);
  let keys: BootKeys | undefined = new BootKeys(algorithm, pair);
  BootKeys.create = () => {
    const made = keys!;
    keys = undefined;
    return made;
  };
  return scalar;
}
