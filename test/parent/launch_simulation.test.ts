import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, describe, test } from "#test";
import { LaunchError } from "../../lib/core/errors.ts";
import { serve } from "../../lib/transport/serve.ts";
import { launchSimulation, type SimulationLaunchOptions } from "../../parent/launch_simulation.ts";
import { until } from "../support/until.ts";

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-launch-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;

function launch(script: string, options: Partial<SimulationLaunchOptions> = {}) {
  const simulationFolder = join(folder, String(count++));
  const path = join(simulationFolder, "console.log");
  const launched = launchSimulation({
    command: ["sh", "-c", script],
    simulationFolder,
    consoleFile: { path },
    ...options,
  });
  return { launched, simulationFolder, read: () => existsSync(path) ? readFileSync(path, "utf8") : "" };
}

describe("launchSimulation()", () => {
  test("runs the command with what an application needs to know, and without AWS's variables", async () => {
    process.env["AWS_SECRET_ACCESS_KEY"] = "hidden";
    const { launched, read, simulationFolder } = launch("env; exec sleep 3600");
    delete process.env["AWS_SECRET_ACCESS_KEY"];
    await using enclave = await launched;
    await until(() => read().includes("ENV_SETUP=SIM"));
    assert.ok(read().includes(`ENCLAVE_KMS_SIMULATION_FOLDER=${simulationFolder}\n`));
    assert.ok(read().includes(`ENCLAVE_KMS_CONTROL_SOCKET=${simulationFolder}/16-7099.sock\n`));
    assert.ok(!read().includes("hidden"));
    assert.deepEqual([enclave.name, enclave.cid, enclave.isDebug], ["enclave-kms", 16, true]);
  });

  test("tells how its process ended", async () => {
    const failed = await (await launch("exit 7").launched).ended;
    assert.deepEqual([failed.exitCode, failed.reason, failed.wasAskedFor], [
      7,
      "its process ended with 7",
      false,
    ]);
    const killed = await (await launch("kill -9 $$").launched).ended;
    assert.deepEqual([killed.exitCode, killed.signal], [undefined, "SIGKILL"]);
  });

  test("terminates by SIGTERM, and kills what does not end", async () => {
    const polite = await launch("exec sleep 3600").launched;
    await polite.terminate();
    assert.deepEqual([(await polite.ended).signal, (await polite.ended).wasAskedFor], ["SIGTERM", true]);
    const { launched, read } = launch("trap '' TERM; echo up; while :; do sleep 0.05; done", {
      graceMs: 100,
    });
    const stubborn = await launched;
    await until(() => read().includes("up"));
    await stubborn.terminate();
    assert.equal((await stubborn.ended).signal, "SIGKILL");
    await stubborn.terminate();
  });

  test("says that the program is not there", async () => {
    const { launched } = launch("", { command: ["/none/program"] });
    await assert.rejects(
      launched,
      (error) => error instanceof LaunchError && /ENOENT|NotFound/.test(error.message),
    );
  });

  test("refuses a command that is none", async () => {
    await assert.rejects(launch("", { command: [] }).launched, TypeError);
    await assert.rejects(launch("", { command: "sh" as never }).launched, TypeError);
  });

  test("ends a leftover that answers on its control socket, and starts when it is gone", async () => {
    const simulationFolder = mkdtempSync(join(folder, "left-"));
    const endpoint = { transport: "unix", path: join(simulationFolder, "16-7099.sock") } as const;
    const paths: string[] = [];
    const leftover = await serve((request) => {
      paths.push(`${request.method} ${new URL(request.url).pathname}`);
      void leftover.close();
      return new Response(undefined, { status: 202 });
    }, { endpoint });
    await using _enclave = await launchSimulation({ command: ["sleep", "3600"], simulationFolder });
    assert.equal(paths[0], "POST /v1/shutdown");
    assert.equal(existsSync(endpoint.path), false);
  });

  test("fails when the leftover does not end", async () => {
    const simulationFolder = mkdtempSync(join(folder, "left-"));
    const endpoint = { transport: "unix", path: join(simulationFolder, "16-7099.sock") } as const;
    await using _leftover = await serve(() => new Response(undefined, { status: 202 }), { endpoint });
    await assert.rejects(
      launchSimulation({ command: ["sleep", "3600"], simulationFolder, graceMs: 200 }),
      /another process has its sockets, and does not end$/,
    );
  });
});
