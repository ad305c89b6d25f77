import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { type Config, ConfigError, readConfig } from "../../server/config.ts";
import { createLogger } from "../../server/log.ts";
import { startServer } from "../../server/server.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";

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

  test("names the setting when the certificates cannot be read, or are none", async () => {
    rmSync(certificates, { force: true });
    await assert.rejects(
      startServer(configOf({}), { nsm: simulator.nsm, logger }),
      isProblem(/the file cannot be read$/),
    );
    writeFileSync(certificates, "not PEM");
    await assert.rejects(
      startServer(configOf({}), { nsm: simulator.nsm, logger }),
      isProblem(/the file has no PEM$/),
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
    const [warning, listening] = lines.map((line) => JSON.parse(line));
    assert.deepEqual([warning.level, warning.msg], ["warn", "KMS cannot be asked yet"]);
    assert.equal(warning.failure.code, "ERR_LIBRARY_LOAD");
    assert.equal(listening.ready.library, false);
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
