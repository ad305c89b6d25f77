import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { spawnSync } from "node:child_process";
import { describe, test } from "#test";
import { ROOT } from "../support/documents.ts";
import { runSimulated, SimulatedEnvironment, type Simulator, startSimulator } from "../../sim/mod.ts";
import { EnclaveProcess } from "../support/enclave_process.ts";
import { until } from "../support/until.ts";

const RUN = "Deno" in globalThis ? ["run", "--quiet", "--no-prompt", "-A"] : [];

function run(...command: readonly string[]): { status: number | null; stderr: string } {
  const args = [...RUN, "sim/run.ts", ...command];
  return spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
}

describe("npm run simulate", () => {
  test("runs a program with credentials, and ends with it", async () => {
    const variables = {
      ENCLAVE_PORT: "0",
      ENCLAVE_KMS_POLICY_FILE: `${ROOT}/examples/sign-service/policy.cedar`,
    };
    const command = ["sim/run.ts", process.execPath, ...RUN, "examples/sign-service/main.ts"];
    await using running = await EnclaveProcess.start(command, variables);
    await until(async () => (await fetch(`${running.url}/readyz`)).status === 200);
    assert.deepEqual(await running.signal("SIGTERM"), [0, null]);
  });

  test("pushes credentials to the control listener, wherever that is", async () => {
    const folder = mkdtempSync(join(tmpdir(), "run-simulated-"));
    try {
      const variables = { ENCLAVE_PORT: "0", ENCLAVE_KMS_CONTROL_SOCKET: join(folder, "control.sock") };
      const command = ["sim/run.ts", process.execPath, ...RUN, "examples/sign-service/main.ts"];
      await using running = await EnclaveProcess.start(command, variables);
      await until(async () => {
        const ready = await (await fetch(`${running.url}/readyz`)).json() as { credentials: boolean };
        return ready.credentials;
      });
      assert.deepEqual(await running.signal("SIGTERM"), [0, null]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("ends with the code of the program, or says how it is used", () => {
    assert.equal(run("sh", "-c", "exit 7").status, 7);
    assert.equal(run("sh", "-c", "kill -TERM $$").status, 143);
    const missing = run("/no/such/program");
    assert.deepEqual([missing.status, missing.stderr.startsWith("Cannot run /no/such/program: ")], [
      127,
      true,
    ]);
    assert.deepEqual([run().status, run().stderr.startsWith("Usage: ")], [2, true]);
  });
});

describe("runSimulated()", () => {
  test("prepares what the program and its callers need before it runs", async () => {
    let root = 0;
    const prepare = async ({ nsm }: Simulator) => {
      await Promise.resolve();
      root = nsm.root.length;
    };
    const code = await runSimulated(["sh", "-c", 'test -S "$ENCLAVE_KMS_SIMULATED_NSM"'], { prepare });
    assert.deepEqual([code, root > 100], [0, true]);
  });

  test("runs nothing when that fails, or without a program", async () => {
    const prepare = () => {
      throw new Error("no");
    };
    await assert.rejects(runSimulated(["/no/such/program"], { prepare }), /no/);
    await assert.rejects(runSimulated([]), TypeError);
  });

  test("leaves no handler of signals behind", async () => {
    const before = process.listenerCount("SIGTERM");
    assert.equal(await runSimulated(["true"]), 0);
    assert.equal(process.listenerCount("SIGTERM"), before);
  });
});

describe("SimulatedEnvironment", () => {
  test("removes its sockets when it is disposed, and says that nobody listens", async () => {
    await using simulator = await startSimulator();
    let socket: string | undefined;
    {
      await using environment = await SimulatedEnvironment.create(simulator);
      socket = environment.variables["ENCLAVE_KMS_SIMULATED_NSM"];
      assert.ok(socket !== undefined && existsSync(socket));
      await assert.rejects(environment.pushCredentials(simulator.credentials), { code: "ERR_CONNECTION" });
      await assert.rejects(environment.shutDown(), { code: "ERR_CONNECTION" });
    }
    assert.ok(!existsSync(socket));
  });
});
