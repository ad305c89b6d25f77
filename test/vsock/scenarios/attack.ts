/**
 * Every attack of `npm run bench -- attack` on the bundled server, over AF_VSOCK: attacker and good caller
 * both come over vsock_loopback, so both are CID 1. The guest has one emulated processor for the server, KMS,
 * the good caller and the attacker, fewer and shorter rounds than the benchmark, and fewer connections, of
 * which each takes its time to open here; the ratio is held to the same bound.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { ATTACK_NAMES, type Target } from "../../../bench/attack/attacks.ts";
import { attackPolicy } from "../../../bench/attack/policy.ts";
import { type AttackPlan, attackRounds } from "../../../bench/attack/rounds.ts";
import { startAttacker } from "../../../bench/attack/run.ts";
import { setCredentials } from "../../../bench/set_credentials.ts";
import { formatVerdicts, isWithin, judgeAttack, type Verdict } from "../../../bench/attack/verdict.ts";
import type { Sample } from "../../../bench/setting.ts";
import type { VsockEndpoint } from "../../../lib/core/endpoint.ts";
import { listen } from "../../../lib/transport/listen.ts";
import type { TcpEndpoint } from "../../../sim/mod.ts";
import { startEnclave } from "../../support/engines.ts";
import { GUEST_CID, LOOPBACK_CID, PARENT } from "../guest_addresses.ts";
import { ServerProcess } from "../server_process.ts";

const HTTP_PORT = 8080;
const KMSTOOL_PORT = 3000;
const MAX_CONNECTIONS = 128;
const PLAINTEXT = "attack at dawn";
const PLAN: AttackPlan = { rounds: 3, forMs: 1500, warmUpMs: 300 };

const runtime = "Deno" in globalThis ? "Deno" : "Node";
const folder = mkdtempSync(join(tmpdir(), "enclave-kms-attack-"));
await using enclave = await startEnclave();
const { simulator } = enclave;
const { keyId } = await simulator.createKey();
const ciphertext = Buffer.from(await simulator.encrypt({ keyId, plaintext: PLAINTEXT })).toString("base64");
const samples: Sample[] = [{ ciphertext, plaintext: Buffer.from(PLAINTEXT).toString("base64") }];
const at = (port: number): VsockEndpoint => ({ transport: "vsock", cid: GUEST_CID, port });
const target: Target = {
  http: at(HTTP_PORT),
  kmstool: at(KMSTOOL_PORT),
  ciphertext,
  maxConnections: MAX_CONNECTIONS,
};
await using _proxy = await startProxy();
await using _server = await ServerProcess.start(settings());
await setCredentials(target.http, simulator.credentials);

const verdicts: Verdict[] = [];
for (const attack of ATTACK_NAMES) {
  const rounds = await attackRounds(attack, { target, samples, plan: PLAN, startAttacker });
  const verdict = judgeAttack(attack, `${runtime}, vsock`, rounds);
  verdicts.push(verdict);
  console.log(`${isWithin(verdict) ? "ok  " : "FAIL"} ${attack} (ratio ${verdict.ratio.toFixed(2)})`);
}
console.log(formatVerdicts(verdicts));
if (!verdicts.every(isWithin)) process.exitCode = 1;
rmSync(folder, { recursive: true });

function settings(): Record<string, string> {
  const policyFile = join(folder, "policy.cedar");
  writeFileSync(policyFile, attackPolicy(LOOPBACK_CID));
  writeFileSync(join(folder, "ca.pem"), simulator.trustedCertificates);
  return {
    ENCLAVE_KMS_REGION: simulator.region,
    ENCLAVE_KMS_ENGINE: "direct",
    ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE: join(folder, "ca.pem"),
    ENCLAVE_KMS_POLICY_FILE: policyFile,
    ENCLAVE_KMS_CREDENTIAL_SETTERS: "policy",
    ENCLAVE_KMS_MAX_CONNECTIONS: String(MAX_CONNECTIONS),
  };
}

/** Forwards connections as vsock-proxy does on the parent. */
function startProxy() {
  const { host, port } = simulator.endpoint as TcpEndpoint;
  return listen(PARENT, {}, ({ stream }) => {
    const upstream = connect({ host, port, allowHalfOpen: true });
    upstream.on("error", () => stream.destroy());
    upstream.on("close", () => stream.destroy());
    stream.on("close", () => upstream.destroy());
    stream.pipe(upstream).pipe(stream);
  });
}
