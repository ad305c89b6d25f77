/**
 * `enclave-kms doctor` as in an enclave: with no endpoint named, so that KMS is behind
 * vsock CID 3, port 8000; /dev/nsm is answered by the software NSM.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { examine, firstBroken } from "../../../cli/doctor/examine.ts";
import type { Finding, LinkName } from "../../../cli/doctor/finding.ts";
import { thisMachine } from "../../../cli/doctor/machine.ts";
import type { DoctorOptions } from "../../../cli/doctor/examination.ts";
import { EXIT } from "../../../cli/exit_codes.ts";
import { listen } from "../../../lib/transport/listen.ts";
import type { Connection } from "../../../lib/transport/connection.ts";
import type { TcpEndpoint } from "../../../sim/mod.ts";
import { runChild } from "../../cli/child.ts";
import { startEnclave } from "../../support/engines.ts";
import { check } from "../check.ts";
import { GUEST_CID, LOOPBACK_CID, PARENT } from "../guest_addresses.ts";

/** The guest is emulated, perhaps on a busy machine: a slow link must not look like a broken one. */
const PATIENCE_MS = 100_000;

/** For what takes all the time there is. */
const SHORT_MS = 10_000;

/** CID that does not exist and does not answer. */
const SILENT_CID = 4;

const isDeno = "Deno" in globalThis;

/** Command that cli/README.md gives for an enclave. */
const DENO = ["deno", "run", "--quiet", "--no-prompt", "--no-check", "--allow-env", "--allow-read"].concat(
  ["--allow-net", "--allow-ffi"],
);
const COMMAND = isDeno ? [...DENO, "--unstable-vsock"] : ["node"];

await using enclave = await startEnclave();
const { simulator } = enclave;
const folder = mkdtempSync(join(tmpdir(), "enclave-kms-doctor-"));
const files = {
  trusted: file("ca.pem", simulator.trustedCertificates),
  root: file("root.der", simulator.nsm.root),
};

await check("a healthy enclave: nothing is broken", async () => {
  const peers: (number | undefined)[] = [];
  await using _proxy = await startProxy(({ stream, peer }) => {
    peers.push(peer?.cid);
    forward(stream);
  });
  const { code, findings, first } = await runDoctor();
  assert.deepEqual([code, first], [EXIT.ok, undefined], show(findings));
  const expected: Partial<Record<LinkName, string>> = {
    library: "unneeded",
    entropy: entropyState(),
    policy: "unneeded",
  };
  for (const { link, state } of findings) assert.equal(state, expected[link] ?? "ok", show(findings));
  assert.ok(peers.length > 0 && peers.every((cid) => cid === LOOPBACK_CID));
  return `${peers.length} connections; the last link after ${lastMs(findings)} ms`;
});

await check("no proxy: names it, and what hangs on it is untried", async () => {
  const { code, findings, first } = await runDoctor();
  assert.deepEqual(
    [code, first?.link, first?.code],
    [EXIT.broken, "proxy", "ERR_CONNECTION"],
    show(findings),
  );
  assert.match(first?.hint ?? "", /^On the parent: is vsock-proxy running/);
  for (const link of ["tls", "kms", "credentials", "round-trip"]) assertState(findings, link, "untried");
  for (const link of ["nsm", "vsock"]) assertState(findings, link, "ok");
  return `${first?.what}; after ${first?.ms} ms`;
});

await check("a proxy that cannot reach KMS, and closes: names it", async () => {
  await using _proxy = await startProxy(({ stream }) => stream.destroy());
  const first = firstBroken(await examine(inProcess()));
  assert.deepEqual([first?.link, first?.state], ["proxy", "broken"]);
  return first?.what;
});

await check("a CID where nobody is: names the proxy, within its time", async () => {
  const endpoint = { transport: "vsock", cid: SILENT_CID, port: PARENT.port } as const;
  const findings = await examine({ ...inProcess({ endpoint }), timeoutMs: SHORT_MS });
  const first = firstBroken(findings);
  assert.deepEqual([first?.link, first?.state], ["proxy", "broken"], show(findings));
  return `${first?.what}; after ${first?.ms} ms`;
});

if (isDeno) {
  await check("Deno without --unstable-vsock: names the flag, where /proc may be read", async () => {
    const command = ["deno", "run", "--quiet", "--no-prompt", "--no-check", "--allow-all"];
    const flags = ["--endpoint", `vsock:${GUEST_CID}:${PARENT.port}`];
    const { code, findings, first } = await runDoctor(flags, command);
    assert.deepEqual([code, first?.link], [EXIT.broken, "permissions"], show(findings));
    assert.match(first?.hint ?? "", /--unstable-vsock/);
  });
}

rmSync(folder, { recursive: true });

/** Runs the command, and reads what it prints. */
async function runDoctor(flags: readonly string[] = [], command: readonly string[] = COMMAND) {
  const words = ["doctor", "--json", "--engine", "direct", "--region", simulator.region];
  words.push("--trusted-certificates", files.trusted, "--root", files.root);
  words.push("--timeout-ms", String(PATIENCE_MS));
  const { accessKeyId, secretAccessKey, sessionToken } = simulator.credentials;
  const env = {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  };
  const { code, stdout, stderr } = await runChild([...words, ...flags], { command, env });
  for (const secret of [secretAccessKey, sessionToken]) assert.ok(!`${stdout}${stderr}`.includes(secret));
  const { links, firstBroken } = parse(stdout, stderr);
  return { code, findings: links, first: links.find(({ link }) => link === firstBroken) };
}

/** Makes options for an examination in this process: starting another takes seconds here. */
function inProcess(change: Partial<DoctorOptions["client"]> = {}): DoctorOptions {
  const { credentials, endpoint: _, nsm: __, ...client } = simulator.clientOptions;
  return {
    client: { ...client, engine: "direct", ...change },
    credentials: () => credentials,
    root: simulator.nsm.root,
    policyFile: undefined,
    machine: thisMachine,
    timeoutMs: PATIENCE_MS,
  };
}

function parse(stdout: string, stderr: string): { links: Finding[]; firstBroken: string | null } {
  try {
    return JSON.parse(stdout);
  } catch {
    return assert.fail(`not JSON: ${stdout}${stderr}`);
  }
}

/** This guest's kernel does not draw from the NSM; Deno may not look without all rights. */
function entropyState(): string {
  return isDeno ? "unneeded" : "warning";
}

function assertState(findings: readonly Finding[], name: string, state: string): void {
  assert.equal(findings.find(({ link }) => link === name)?.state, state, show(findings));
}

function show(findings: readonly Finding[]): string {
  return findings.map(({ link, state, what, ms }) => `${link} ${state}: ${what} (${ms} ms)`).join("\n");
}

function lastMs(findings: readonly Finding[]): number {
  return Math.max(...findings.map(({ ms }) => ms));
}

function startProxy(accept: (connection: Connection) => void) {
  return listen(PARENT, {}, accept);
}

/** Forwards a connection as vsock-proxy does on the parent. */
function forward(stream: Connection["stream"]): void {
  const { host, port } = simulator.endpoint as TcpEndpoint;
  const upstream = connect({ host, port, allowHalfOpen: true });
  upstream.on("error", () => stream.destroy());
  upstream.on("close", () => stream.destroy());
  stream.on("close", () => upstream.destroy());
  stream.pipe(upstream).pipe(stream);
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
