import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "#test";
import type { ConnectorAnswer, EnclaveConnector } from "../../../parent/connector/enclave_connector.ts";
import { readParentSettings, type RunningEnclave, runParent } from "../../../parent/mod.ts";
import { until } from "../../support/until.ts";

/** Enclave that runs until it is terminated. */
function fakeEnclave(): RunningEnclave {
  const { promise: ended, resolve } = Promise.withResolvers<Awaited<RunningEnclave["ended"]>>();
  const terminate = () =>
    Promise.resolve(resolve({ atMs: 0, reason: "it was terminated", wasAskedFor: true }));
  const facts = { id: "fake", name: "app", cid: 16, cpuCount: 2, memoryMib: 512, isDebug: false };
  return { ...facts, ended, terminate, [Symbol.asyncDispose]: terminate };
}

function answer(text: string): ConnectorAnswer {
  const body = new TextEncoder().encode(text);
  return { status: 200, headers: new Headers(), body, text: () => text, json: () => JSON.parse(text) };
}

describe("Parent.renderMetrics()", () => {
  test("asks a slow enclave once, however many ask at one time, and again afterwards", async () => {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-render-"));
    const waiting: ((text: string) => void)[] = [];
    let questions = 0;
    const connector = {
      sendRequest: async ({ path }: { path: string }) => {
        if (path !== "/metrics") return answer("{}");
        questions++;
        return answer(await new Promise<string>((resolve) => waiting.push(resolve)));
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    } as unknown as EnclaveConnector;
    const file = join(folder, "parent.json");
    const sim = { envSetup: "SIM", simulationFolder: folder, command: ["true"], controlPort: 0 };
    writeFileSync(file, JSON.stringify({ ...sim, credentials: "none", kmsProxyEnable: false }));
    try {
      await using parent = await runParent({
        settings: readParentSettings({}, file),
        launch: () => Promise.resolve(fakeEnclave()),
        connect: () => connector,
        times: { graceMs: 10 },
      });
      await parent.ready;
      const pages = Array.from({ length: 50 }, () => parent.renderMetrics());
      await until(() => waiting.length > 0);
      for (const resolve of waiting.splice(0)) resolve("a 1\n");
      for (const page of await Promise.all(pages)) assert.match(page, /^a\{enclave="app"\} 1$/m);
      assert.equal(questions, 1);
      const later = parent.renderMetrics();
      await until(() => waiting.length > 0);
      waiting.shift()?.("a 2\n");
      assert.match(await later, /^a\{enclave="app"\} 2$/m);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
