import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, test } from "#test";
import { ConfigError } from "../../enclave/settings.ts";
import { type Config, readConfig } from "../../server/config.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { startServer } from "../../server/server.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";
import type { SecretReceipt } from "../../lib/wire/secret_receipt.ts";
import { readReceipt } from "../enclave/secrets/secrets_lab.ts";
import { dialUnix } from "../support/unix_socket.ts";
import { op, plugin, s32 } from "../support/wasm_module.ts";
import { dial, exchange } from "./serving.ts";

const MAIN = fileURLToPath(new URL("../../server/main.ts", import.meta.url));
const RUN = "Deno" in globalThis ? ["run", "--quiet", "--no-prompt", "--no-check", "--allow-all"] : [];

describe("the server's process", () => {
  test("ends with 1 over its settings, and says which variables it does not read", () => {
    const { PATH, HOME } = process.env;
    const env = { ...(PATH && { PATH }), ...(HOME && { HOME }), ENCLAVE_KMS_REGIO: "HUSH" };
    const { status, stdout } = spawnSync(process.execPath, [...RUN, MAIN], { env, encoding: "utf8" });
    const { failure, msg } = JSON.parse(stdout);
    assert.equal(msg, "cannot start");
    assert.equal(failure.problems[0], "region (ENCLAVE_KMS_REGION): must be set");
    // Deno hands on the variables of the tests as well.
    assert.ok(failure.problems.includes("ENCLAVE_KMS_REGIO is no setting; did you mean ENCLAVE_KMS_REGION?"));
    assert.equal(status, 1);
  });
});

/** Sends credentials as the parent does without HTTP, and reads the receipt. */
async function sendCredentials(path: string, credentials: unknown): Promise<SecretReceipt> {
  const socket = dialUnix(path, { allowHalfOpen: true });
  socket.end(JSON.stringify(credentials));
  return await readReceipt(socket);
}

describe("startServer()", () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-start-"));
  const certificates = join(folder, "ca.pem");
  let simulator: Simulator;
  beforeAll(async () => {
    simulator = await startSimulator();
  });
  afterAll(async () => {
    await simulator.close();
    rmSync(folder, { recursive: true });
  });

  function configOf(settings: Record<string, string>): Config {
    return readConfig({
      ENCLAVE_KMS_REGION: "eu-central-1",
      ENCLAVE_KMS_HTTP: `unix:${join(folder, "http.sock")}`,
      ENCLAVE_KMS_KMSTOOL: "off",
      ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE: certificates,
      ...settings,
    });
  }

  const logger = createLogger("silent");

  test("takes credentials on an endpoint of their own, and refuses what is none", async () => {
    const certificates = join(folder, "kms.pem");
    writeFileSync(certificates, simulator.trustedCertificates);
    const path = join(folder, "credentials.sock");
    const nsm = {
      exchange: (request: Uint8Array<ArrayBuffer>) => simulator.nsm.exchange(request),
      [Symbol.dispose]() {},
    };
    const config = configOf({
      ENCLAVE_KMS_CREDENTIALS: `unix:${path}`,
      ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE: certificates,
    });
    await using _server = await startServer(config, { nsm, logger });
    const { accessKeyId, secretAccessKey, sessionToken } = simulator.credentials;
    const given = { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken };
    const receipt = await sendCredentials(path, given);
    assert.ok(receipt.ok && receipt.name === "credentials");
    const refusal = await sendCredentials(path, { AccessKeyId: accessKeyId });
    assert.ok(!refusal.ok && refusal.code === "ERR_SECRET_CREDENTIALS");
  });

  test("names the setting when the certificates cannot be read, or are none", async () => {
    rmSync(certificates, { force: true });
    await assert.rejects(
      startServer(configOf({}), { nsm: simulator.nsm, logger }),
      isProblem(/ca\.pem cannot be read \(ENOENT\)$/),
    );
    writeFileSync(certificates, "not PEM");
    await assert.rejects(
      startServer(configOf({}), { nsm: simulator.nsm, logger }),
      isProblem(/ca\.pem has no certificate in PEM$/),
    );
  });

  test("logs why KMS cannot be asked, and listens all the same", async () => {
    writeFileSync(certificates, simulator.trustedCertificates);
    const lines: string[] = [];
    const config = configOf({ ENCLAVE_KMS_ENGINE: "sdk", ENCLAVE_KMS_LIBRARY: join(folder, "no.so") });
    await using server = await startServer(config, {
      nsm: simulator.nsm,
      logger: createLogger("info", (line) => lines.push(line)),
    });
    assert.equal(server.httpEndpoint?.transport, "unix");
    const said = lines.map((line) => JSON.parse(line));
    const [noPolicy, warning] = said;
    const listening = said.find(({ msg }) => msg === "listening");
    assert.deepEqual([noPolicy.level, noPolicy.msg], [
      "warn",
      "there is no policy file: every request is refused",
    ]);
    assert.equal(noPolicy.setting, "policyFile (ENCLAVE_KMS_POLICY_FILE)");
    assert.deepEqual([warning.level, warning.msg], ["warn", "KMS cannot be asked yet"]);
    assert.equal(warning.failure.code, "ERR_LIBRARY_LOAD");
    assert.equal(listening.ready.library, false);
    assert.match(listening.crypto, /^(OpenSSL 3\.|node:crypto of )/);
  });

  test("gives the policy the fuel that is set, Cedar's and a plug-in alike", async () => {
    writeFileSync(certificates, simulator.trustedCertificates);
    // 2000 iterations for each request.
    const counting = plugin([
      ...[op.i32, ...s32(2000), op.set, 2, op.loop, op.void],
      ...[op.get, 2, op.i32, ...s32(-1), op.add, op.tee, 2, op.brIf, 0, op.end, op.i32, 1],
    ], { locals: 1 });
    for (
      const [name, policy] of [["p.cedar", "permit(principal, action, resource);"], [
        "p.wasm",
        counting,
      ]] as const
    ) {
      const path = join(folder, name);
      writeFileSync(path, policy);
      const start = (fuel: string) => {
        const settings = { ENCLAVE_KMS_POLICY_FILE: path, ENCLAVE_KMS_POLICY_FUEL: fuel };
        return startServer(configOf(settings), { nsm: simulator.nsm, logger });
      };
      await assert.rejects(start("1000"), {
        code: "ERR_POLICY_LOAD",
        message: /used up its fuel of 1000 units$/,
      });
      await using server = await start("2000000");
      assert.equal(server.httpEndpoint?.transport, "unix");
    }
  });

  test("at maxConnections a silent connection gives way, on both protocols, and the metrics say so", async () => {
    writeFileSync(certificates, simulator.trustedCertificates);
    const config = configOf({
      ENCLAVE_KMS_KMSTOOL: `unix:${join(folder, "kmstool.sock")}`,
      ENCLAVE_KMS_MAX_CONNECTIONS: "2",
    });
    await using server = await startServer(config, { nsm: simulator.nsm, logger });
    const sockets: Duplex[] = [];
    try {
      for (const endpoint of [server.kmstoolEndpoint, server.httpEndpoint]) {
        assert.ok(endpoint !== undefined);
        for (let made = 0; made < 3; made++) {
          const socket = dial(endpoint).resume();
          sockets.push(socket);
          await once(socket, "connect");
        }
        if (sockets.at(-3)?.closed === false) await once(sockets.at(-3) as Duplex, "close");
      }
      assert.ok(server.httpEndpoint !== undefined);
      const metrics = await exchange(
        server.httpEndpoint,
        "GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
      );
      assert.match(metrics, /\nenclave_kms_connections_displaced_total\{protocol="http"\} 2\n/);
      assert.match(metrics, /\nenclave_kms_connections_displaced_total\{protocol="kmstool"\} 1\n/);
      assert.match(metrics, /\nenclave_kms_connections_unheard_total\{protocol="http"\} 0\n/);
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });
});

function isProblem(expected: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ConfigError);
    assert.equal(error.problems.length, 1);
    assert.match(
      error.problems[0] ?? "",
      /^trustedCertificatesFile \(ENCLAVE_KMS_TRUSTED_CERTIFICATES_FILE\): /,
    );
    assert.match(error.problems[0] ?? "", expected);
    return true;
  };
}
