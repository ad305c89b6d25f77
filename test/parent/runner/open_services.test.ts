import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "#test";
import { createFetch } from "../../../lib/transport/mod.ts";
import { openServices } from "../../../parent/runner/open_services.ts";
import { readParentSettings } from "../../../parent/mod.ts";
import { until } from "../../support/until.ts";

describe("openServices()", () => {
  test("gives the collector the headers of the parent's environment, which are no setting", async () => {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-services-"));
    const received: IncomingHttpHeaders[] = [];
    const collector = createServer((request, response) => {
      received.push(request.headers);
      response.end("{}");
    });
    collector.listen(0, "127.0.0.1");
    await once(collector, "listening");
    try {
      const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
      const environment = {
        ENV_SETUP: "SIM",
        ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
        ENCLAVE_KMS_SIMULATION_FOLDER: folder,
        KMS_PROXY_ENABLE: "false",
        OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
        OTEL_EXPORTER_OTLP_HEADERS: "api-key=a%20secret",
      };
      const file = join(folder, "parent.json");
      writeFileSync(file, JSON.stringify({ command: ["true"] }));
      const settings = readParentSettings(environment, file);
      assert.doesNotMatch(JSON.stringify(settings), /api-key|a secret|a%20secret/);
      const services = await openServices(settings, () => {}, undefined, environment);
      try {
        assert.deepEqual(services.map(({ kind }) => kind), ["telemetry"]);
        const send = createFetch({ transport: "unix", path: join(folder, "3-4318.sock") });
        const headers = { "content-type": "application/json", "api-key": "the enclave's" };
        const init = { method: "POST", headers, body: "{}" };
        assert.equal((await send("http://parent/v1/logs", init)).status, 200);
        await until(() => received.length === 1);
        assert.equal(received[0]?.["api-key"], "a secret");
      } finally {
        for (const service of services) await service[Symbol.asyncDispose]();
      }
    } finally {
      collector.closeAllConnections();
      collector.close();
      rmSync(folder, { recursive: true });
    }
  });
});
