/**
 * The simulated KMS and NSM in a process of their own, so that their work does not count as that of a process
 * that decrypts: `node bench/kms_process.ts FOLDER PID`. Prints the {@link Setting} as one line of JSON, then
 * {@link Counts} for every line it reads, and ends with its input.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import type { NsmTransport } from "../lib/nsm/nsm_transport.ts";
import { encodeBase64 } from "../lib/core/encoding.ts";
import type { TcpEndpoint } from "../lib/core/endpoint.ts";
import { KmsClient } from "../mod.ts";
import { type Simulator, startSimulator } from "../sim/mod.ts";
import { listenForNsm } from "../sim/nsm/nsm_server.ts";
import { TlsAuthority } from "../sim/tls/tls_certificates.ts";
import { Relay } from "./relay.ts";
import { ReplayingKms } from "./replay.ts";
import { type Counts, type Reachable, ROUND_TRIPS_MS, type Sample, type Setting } from "./setting.ts";

const SAMPLES = 16;
/** A data key. */
const PLAINTEXT_BYTES = 32;
const LIFETIME_MS = 12 * 3_600_000;

const [folder = ".", pid = ""] = process.argv.slice(2);
const nsmSocket = join(folder, `nsm-${pid}.sock`);
const trustedCertificatesFile = join(folder, "ca.pem");

await using enclave = await startSimulator();
let documents = 0;
const counted: NsmTransport = {
  exchange: (request) => {
    documents++;
    return enclave.nsm.exchange(request);
  },
  [Symbol.dispose]: () => {},
};
await using _nsm = await listenForNsm(counted, nsmSocket);
const samples = await makeSamples(enclave);
await writeFile(trustedCertificatesFile, enclave.trustedCertificates);
const authority = await TlsAuthority.create(enclave.hostName);
await using replaying = await ReplayingKms.start(await authority.certificate("valid"), {
  ...(enclave.endpoint as TcpEndpoint),
  ca: enclave.trustedCertificates,
  servername: enclave.hostName,
});

const setting: Setting = {
  region: enclave.region,
  credentials: enclave.kms.issueCredentials({ lifetimeMs: LIFETIME_MS }),
  kms: await reachable(enclave.endpoint as TcpEndpoint),
  trustedCertificates: enclave.trustedCertificates,
  trustedCertificatesFile,
  nsmSocket,
  samples,
  wire: await wireSizes(enclave, samples),
  replaying: {
    kms: await reachable(replaying.endpoint),
    trustedCertificates: authority.trustedCertificates,
  },
};
console.log(JSON.stringify(setting));

for await (const _ of createInterface({ input: process.stdin })) {
  const { requestCount: requests, connectionCount: connections } = enclave.kms;
  console.log(JSON.stringify({ requests, connections, documents } satisfies Counts));
}
process.exit(0);

async function makeSamples(enclave: Simulator): Promise<Sample[]> {
  const { keyId } = await enclave.createKey();
  return await Promise.all(Array.from({ length: SAMPLES }, async () => {
    const plaintext = crypto.getRandomValues(new Uint8Array(PLAINTEXT_BYTES));
    const ciphertext = await enclave.encrypt({ keyId, plaintext });
    return { ciphertext: encodeBase64(ciphertext), plaintext: encodeBase64(plaintext) };
  }));
}

/** Measures the bytes that a warm decrypt sends and receives, with those of TLS: the second one's. */
async function wireSizes(enclave: Simulator, samples: readonly Sample[]) {
  await using relay = await Relay.start(enclave.endpoint as TcpEndpoint, 0);
  const options = { ...enclave.clientOptions, endpoint: relay.endpoint, engine: "direct" } as const;
  await using client = await KmsClient.open(options);
  const decrypt = async () => {
    using _plaintext = await client.decrypt({ ciphertext: samples[0]?.ciphertext ?? "" });
    return { ...relay.passed };
  };
  const [first, second] = [await decrypt(), await decrypt()];
  return {
    requestBytes: second.bytesUp - first.bytesUp,
    answerBytes: second.bytesDown - first.bytesDown,
  };
}

async function reachable(target: TcpEndpoint): Promise<Reachable> {
  const entries = await Promise.all(ROUND_TRIPS_MS.map(async (roundTripMs) => {
    if (roundTripMs === 0) return [roundTripMs, target] as const;
    return [roundTripMs, (await Relay.start(target, roundTripMs)).endpoint] as const;
  }));
  return Object.fromEntries(entries) as Record<keyof Reachable, TcpEndpoint>;
}
