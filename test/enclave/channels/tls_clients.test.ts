/**
 * An application with TLS, and clients that know nothing of enclaves: each is given the certificate as its only
 * authority, and its name. The commands are those of docs/callers.md.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hc } from "hono/client";
import { afterAll, beforeAll, describe, test } from "#test";
import {
  attestedTlsAgent,
  attestedTlsFetch,
  type AttestedTlsOptions,
} from "../../../lib/channel/node/mod.ts";
import { type Enclave, enclaveApp, type EnclaveOptions, startEnclave } from "../../../enclave/mod.ts";
import { ConfigError } from "../../../enclave/settings.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { createFetch } from "../../../lib/transport/mod.ts";
import { type Simulator, startSimulator } from "../../../sim/mod.ts";
import { pem } from "../../../sim/tls/certificates.ts";
import { codeBlocks, readPage } from "../../support/documents.ts";
import { makeAuthority, makeClient } from "./tls_serving.ts";

const POLICY = `
permit(principal, action == Action::"GetAttestation", resource);
permit(principal is Certificate, action == Action::"Greet", resource);
`;

describe("an application with attested TLS", () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-tls-app-"));
  const path = (name: string) => join(folder, name);
  let simulator: Simulator;
  let enclave: Enclave;
  let trust: AttestedTlsOptions;
  let client: Awaited<ReturnType<typeof makeClient>>;

  const app = enclaveApp()
    .get("/v1/hello", (c) => c.json({ channel: c.var.channel, caller: c.var.caller.type }))
    .get("/v1/greet", (c) => {
      c.var.askPolicy("Greet", {});
      return c.json({ greeted: c.var.caller });
    });

  async function start(environment: Record<string, string>, lines: string[] = []): Promise<Enclave> {
    const { endpoint, region, trustedCertificates } = simulator.clientOptions;
    assert.ok(endpoint?.transport === "tcp");
    const options: EnclaveOptions = {
      name: "tls",
      actions: ["Greet"],
      // An enclave disposes its NSM when it closes; this one is shared.
      nsm: { exchange: (request) => simulator.nsm.exchange(request), [Symbol.dispose]() {} },
      trustedCertificates,
      signals: false,
      logger: createLogger("debug", (line) => lines.push(line)),
      environment: {
        ENV_SETUP: "SIM",
        ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
        ENCLAVE_PORT: "0",
        CONTROL_PORT: "0",
        ENCLAVE_KMS_POLICY_FILE: path("policy.cedar"),
        // KMS tells the time, by which clients' certificates are judged.
        ENCLAVE_KMS_KMS: `tcp:${endpoint.host}:${endpoint.port}`,
        ENCLAVE_KMS_REGION: String(region),
        ...environment,
      },
    };
    return await startEnclave(app, options);
  }

  beforeAll(async () => {
    simulator = await startSimulator();
    writeFileSync(path("policy.cedar"), POLICY);
    const authority = await makeAuthority();
    client = await makeClient(authority);
    writeFileSync(path("clients.pem"), pem("CERTIFICATE", authority.certificate));
    enclave = await start({
      ENCLAVE_KMS_TLS: "tcp:127.0.0.1:0",
      ENCLAVE_KMS_CLIENT_AUTHORITIES_FILE: path("clients.pem"),
    });
    trust = { pcrs: { 0: simulator.nsm.pcr(0) }, root: simulator.nsm.root, endpoint: enclave.tlsEndpoint };
    const clear = createFetch(enclave.endpoint);
    const nonce = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const answer = await clear(`http://enclave/v1/attestation?nonce=${encodeURIComponent(nonce)}`);
    const { certificate } = await answer.json() as { certificate: string };
    writeFileSync(path("cert.pem"), certificate);
  });
  afterAll(async () => {
    await enclave[Symbol.asyncDispose]();
    await simulator.close();
    rmSync(folder, { recursive: true });
  });

  const port = () => enclave.tlsEndpoint?.transport === "tcp" ? enclave.tlsEndpoint.port : 0;

  test("is reached by attestedTlsFetch, and knows that it was TLS and nobody in particular", async () => {
    const fetch = attestedTlsFetch(trust);
    const answer = await fetch("https://enclave.internal/v1/hello");
    assert.deepEqual(await answer.json(), { channel: "tls", caller: "Caller" });
    const clear = await createFetch(enclave.endpoint)("http://enclave/v1/hello");
    assert.deepEqual(await clear.json(), { channel: "clear", caller: "Caller" });
  });

  test("is reached by a typed client", async () => {
    const client = hc<typeof app>("https://enclave.internal", { fetch: attestedTlsFetch(trust) });
    const { channel } = await (await client.v1.hello.$get()).json();
    assert.equal(channel, "tls");
  });

  test("lets the policy tell a client by its certificate, and refuses nobody's requests", async () => {
    const named = attestedTlsFetch({ ...trust, cert: client.cert, key: client.key });
    const answer = await named("https://enclave.internal/v1/greet");
    const { greeted } = await answer.json() as { greeted: { type: string; sha256: string } };
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", client.der));
    const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    assert.deepEqual(greeted, { type: "Certificate", sha256 });
    const nobody = await attestedTlsFetch(trust)("https://enclave.internal/v1/greet");
    assert.equal(nobody.status, 403);
  });

  test("has none of the parent's routes there", async () => {
    const fetch = attestedTlsFetch({ ...trust, cert: client.cert, key: client.key });
    for (const route of ["/v1/credentials", "/set-credentials", "/v1/shutdown"]) {
      const answer = await fetch(`https://enclave.internal${route}`, { method: "POST", body: "{}" });
      assert.equal(answer.status, 404, route);
    }
  });

  test("counts its handshakes, and ends with its connections", async () => {
    await using ending = await start({ ENCLAVE_KMS_TLS: "tcp:127.0.0.1:0" });
    const agent = attestedTlsAgent({ ...trust, endpoint: ending.tlsEndpoint });
    const fetch = attestedTlsFetch({ ...trust, endpoint: ending.tlsEndpoint });
    const metrics = await (await fetch("https://enclave.internal/metrics")).text();
    assert.match(metrics, /^enclave_kms_tls_handshakes_total\{outcome="ok"\} [1-9]/m);
    await ending.close();
    await assert.rejects(fetch("https://enclave.internal/metrics"), { code: "ERR_CONNECTION" });
    agent.destroy();
  });

  test("has no TLS unless the settings say where, and none for clients' authorities without it", async () => {
    await using clear = await start({});
    assert.equal(clear.tlsEndpoint, undefined);
    const answer = await createFetch(clear.endpoint)("http://enclave/v1/attestation?nonce=AAAA");
    assert.equal(Object.hasOwn(await answer.json() as object, "certificate"), false);
    writeFileSync(path("leaf.pem"), client.cert);
    for (
      const [environment, expected] of [
        [{ ENCLAVE_KMS_CLIENT_AUTHORITIES_FILE: path("clients.pem") }, /for clients of tls, which is off/],
        [
          { ENCLAVE_KMS_TLS: "tcp:127.0.0.1:0", ENCLAVE_KMS_CLIENT_AUTHORITIES_FILE: path("leaf.pem") },
          /clientAuthoritiesFile .*must be certificates of authorities/,
        ],
        [
          { ENCLAVE_KMS_TLS: "tcp:127.0.0.1:0", ENCLAVE_KMS_CLIENT_AUTHORITIES_FILE: path("none.pem") },
          /clientAuthoritiesFile .*ENOENT/,
        ],
      ] as const
    ) {
      await assert.rejects(start(environment), (error: unknown) => {
        assert.ok(error instanceof ConfigError, String(error));
        assert.match(error.message, expected);
        return true;
      });
    }
  });

  /** Runs a program in the folder of `cert.pem`. */
  async function run(program: string, args: readonly string[], input = ""): Promise<string> {
    const child = spawn(program, args, { cwd: folder, stdio: ["pipe", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output += String(chunk));
    child.stdin.on("error", () => {});
    if (program === "openssl") child.stdin.write(input);
    else child.stdin.end(input);
    const [code] = await once(child, "close");
    return `${code} ${output}`;
  }

  /** Commands of the page, with this enclave's port. */
  function recipe(language: string, beginsWith: string): string {
    const blocks = codeBlocks("docs/callers.md", readPage("docs/callers.md"), [language]);
    const block = blocks.find(({ code }) => code.includes(beginsWith))?.code ?? "";
    const text = language === "sh"
      ? block.split("\n").find((line) => line.startsWith(beginsWith)) ?? ""
      : block;
    assert.ok(text.includes("8443"), beginsWith);
    return text.replaceAll("8443", String(port()));
  }

  const has = (program: string) => spawnSync(program, ["--version"]).status === 0;

  test.skipIf(!has("curl"))("serves curl, by the page's command", async () => {
    const [program = "", ...args] = recipe("sh", "curl").split(" ");
    assert.match(await run(program, args), /^0 [^]*"status":"ok"/);
    const system = args.filter((arg) => arg !== "--cacert" && arg !== "cert.pem");
    assert.match(await run(program, system), /^60 /, "not by the system's authorities");
  });

  test.skipIf(spawnSync("openssl", ["version"]).status !== 0)(
    "serves openssl, by the page's command",
    async () => {
      const [program = "", ...args] = recipe("sh", "openssl").split(" ");
      const request = "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
      const output = await run(program, [...args, "-ign_eof"], request);
      assert.match(output, /Verify return code: 0 \(ok\)/);
      assert.match(output, /HTTP\/1\.1 200 OK/);
    },
  );

  test.skipIf(!has("python3"))("serves Python, by the page's program", async () => {
    writeFileSync(path("client.py"), recipe("python", "import http.client"));
    assert.match(await run("python3", ["client.py"]), /^0 200\n/);
  });
});
