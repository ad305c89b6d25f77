/**
 * Uses what needs no C, then tries what does, in a Node.js that cannot call C. One line of JSON for each.
 *
 * @module
 */
import process from "node:process";
import { EnclaveKmsError, encodeHex, KmsClient, type KmsClientOptions } from "../../mod.ts";
import { verifyAttestation } from "../../lib/attestation/mod.ts";
import { NsmClient } from "../../lib/nsm/mod.ts";
import { ANY_CID, ANY_VSOCK_PORT, listen } from "../../lib/transport/listen.ts";
import { SoftwareNsm } from "../../sim/nsm/nsm.ts";

/** Nothing connects to it: every attempt ends before. */
const options: KmsClientOptions = {
  region: "us-east-1",
  endpoint: { transport: "tcp", host: "127.0.0.1", port: 9 },
  credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" },
};
const nowhere = { transport: "vsock", cid: ANY_CID, port: ANY_VSOCK_PORT } as const;

const attempts: Readonly<Record<string, () => unknown>> = {
  "NsmClient.open": () => NsmClient.open(),
  "engine auto": () => KmsClient.open(options),
  "engine direct": () => KmsClient.open({ ...options, engine: "direct" }),
  "engine sdk": () => KmsClient.open({ ...options, engine: "sdk" }),
  "engine sdk-client": () => KmsClient.open({ ...options, engine: "sdk-client" }),
  "a named library": () => KmsClient.open({ ...options, library: "/no/such/library.so" }),
  "listen on vsock": () => listen(nowhere, {}, () => {}),
};

async function main(): Promise<void> {
  const nsm = await SoftwareNsm.create();
  using client = new NsmClient(nsm);
  const { moduleId } = await verifyAttestation(await client.attest(), { root: nsm.root });
  const withNsm = await KmsClient.open({ ...options, nsm });
  await withNsm.close();
  const { crypto } = withNsm;
  console.log(JSON.stringify({ usable: moduleId !== "", hex: encodeHex(new Uint8Array(1)), crypto }));
  for (const [name, attempt] of Object.entries(attempts)) {
    console.log(JSON.stringify({ name, ...await outcomeOf(attempt) }));
  }
}

async function outcomeOf(attempt: () => unknown): Promise<Record<string, unknown>> {
  try {
    await attempt();
    return { code: "none" };
  } catch (error) {
    if (!(error instanceof EnclaveKmsError)) return { code: String(error) };
    const { code, message, hint } = error;
    return { code, message, hint };
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
