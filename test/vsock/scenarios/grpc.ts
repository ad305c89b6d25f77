/**
 * Calls of gRPC into an enclave over AF_VSOCK, through both halves of bridges: by @grpc/grpc-js and by Debian's
 * python3-grpcio, in the clear and over attested TLS that ends before a server which knows nothing of it.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { status } from "@grpc/grpc-js";
import { enclaveApp, startEnclave } from "../../../enclave/mod.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { fetchAttestedCertificate } from "../../../lib/channel/node/mod.ts";
import { type Bridge, openBridge, type TcpEndpoint } from "../../../lib/transport/mod.ts";
import { SoftwareNsm } from "../../../sim/mod.ts";
import { GrpcProcess } from "../../support/grpc_process.ts";
import { check } from "../check.ts";
import { GUEST_CID } from "../guest_addresses.ts";

const CALLER = fileURLToPath(new URL("../../support/grpc_caller.py", import.meta.url));
const PYTHON = "/usr/bin/python3";
const [TLS_PORT, CLEAR_PORT, HTTP_PORT] = [50_051, 50_052, 8080];

/** Everything is emulated on one processor. */
const PATIENCE_MS = 150_000;

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-grpc-"));
const policyFile = join(folder, "policy.cedar");
writeFileSync(policyFile, 'permit(principal, action == Action::"GetAttestation", resource);');

await using peers = await GrpcProcess.start();
const echo = await peers.serve();
const nsm = await SoftwareNsm.create();
const trust = { pcrs: { 0: nsm.pcr(0) }, root: nsm.root, timeoutMs: PATIENCE_MS };
const limits = { connectTimeoutMs: PATIENCE_MS };
await using enclave = await startEnclave(enclaveApp(), {
  name: "grpc",
  nsm,
  signals: false,
  logger: createLogger("silent"),
  ingresses: [
    { ...limits, port: TLS_PORT, targetPort: echo.port, tls: true },
    { ...limits, port: CLEAR_PORT, targetPort: echo.port },
  ],
  environment: {
    VSOCK_PORT: String(HTTP_PORT),
    CONTROL_PORT: "0",
    ENCLAVE_KMS_POLICY_FILE: policyFile,
    ENCLAVE_KMS_SHUTDOWN_GRACE_MS: "500",
  },
});

// IngressBridge refuses CID 3, the parent's, which this guest has.
const outside = (port: number): Promise<Bridge> =>
  openBridge(
    { transport: "tcp", host: "127.0.0.1", port: 0 },
    { transport: "vsock", cid: GUEST_CID, port },
    limits,
  );
await using tls = await outside(TLS_PORT);
await using clear = await outside(CLEAR_PORT);
const http = { transport: "vsock", cid: GUEST_CID, port: HTTP_PORT } as const;
const portOf = ({ endpoint }: Bridge) => (endpoint as TcpEndpoint).port;

let pem = "";
await check("the certificate comes over vsock with a document that vouches for it", async () => {
  ({ pem } = await fetchAttestedCertificate(http, trust));
  writeFileSync(join(folder, "cert.pem"), pem);
});

for (const way of ["clear", "tls"] as const) {
  await check(`grpc-js, ${way}: a call, a stream, 4 MiB, a deadline`, async () => {
    await using caller = way === "clear"
      ? await peers.call(portOf(clear))
      : await peers.call(portOf(tls), pem);
    assert.equal(await caller.say("hello", PATIENCE_MS), "hello");
    assert.deepEqual((await caller.count(200)).length, 200);
    assert.ok(await caller.sayLarge(PATIENCE_MS));
    await assert.rejects(caller.hang(500), { code: status.DEADLINE_EXCEEDED });
  });
}

const hasPython = spawnSync(PYTHON, ["-c", "import grpc"], { stdio: "ignore" }).status === 0;
if (!hasPython) console.log("skip Python's grpc: python3-grpcio is not installed on the host");
const calls = [[String(portOf(clear))], [String(portOf(tls)), "cert.pem"]];
for (const args of hasPython ? calls : []) {
  await check(`Python's grpc, ${args.length === 1 ? "clear" : "tls"}: the same`, async () => {
    const child = spawn(PYTHON, [CALLER, ...args], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk) => output += String(chunk));
    const [code] = await once(child, "close");
    const expected = "say hello\ncount True\nlarge True\nhang DEADLINE_EXCEEDED\nhang CANCELLED\n";
    assert.deepEqual([code, output], [0, expected]);
  });
}

await check("both halves counted every connection, and lost none", () => {
  const counters = [tls, clear, ...enclave.ingresses].map((bridge) => bridge.counters);
  const expected = new Array(4).fill([hasPython ? 2 : 1, 0]);
  assert.deepEqual(
    counters.map(({ acceptedCount, failedCount }) => [acceptedCount, failedCount]),
    expected,
  );
  return Promise.resolve();
});
