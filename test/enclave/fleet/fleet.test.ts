/**
 * Three enclaves of one image behind one address, one of which is killed while the key rotates.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { sealedFetch } from "../../../lib/channel/mod.ts";
import { createFetch } from "../../../lib/transport/mod.ts";
import { SimulatedEnvironment, type Simulator, startSimulator } from "../../../sim/mod.ts";
import { EnclaveProcess } from "../../support/enclave_process.ts";
import { type PolicyFile, policyFile } from "../../support/policy_file.ts";
import { until } from "../../support/until.ts";
import { Balancer } from "./balancer.ts";

const CALLERS = 4;

interface Answer {
  readonly body: string;
  readonly digest: string;
  readonly pid: number;
  readonly version: number;
}

describe("a fleet", () => {
  let simulator: Simulator;
  let policy: PolicyFile;
  const stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "fleet-"));
  beforeAll(async () => {
    simulator = stack.use(await startSimulator());
    policy = policyFile(`permit(principal, action == Action::"GetAttestation", resource);`);
  });
  afterAll(async () => {
    await stack.disposeAsync();
    policy[Symbol.dispose]();
    rmSync(folder, { recursive: true });
  });

  async function startOne(keyId: string): Promise<EnclaveProcess> {
    const environment = stack.use(await SimulatedEnvironment.create(simulator));
    const variables = {
      ...environment.variables,
      ENCLAVE_PORT: "0",
      ENCLAVE_KMS_POLICY_FILE: policy.path,
      ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
      ...{ FLEET_STORE: folder, FLEET_KEY: keyId },
    };
    const enclave = stack.use(await EnclaveProcess.start("test/enclave/fleet/fleet_child.ts", variables));
    await environment.pushCredentials(simulator.credentials);
    await until(() => enclave.lines.some(({ msg }) => msg === "shared"));
    return enclave;
  }

  test("loses no request but those on the enclave that is killed, while its key rotates", async () => {
    const { arn } = await simulator.createKey();
    const enclaves = await Promise.all([startOne(arn), startOne(arn), startOne(arn)]);
    const balancer = stack.use(await Balancer.start(enclaves.map(({ url }) => url)));
    const { nsm } = simulator;
    const answers: Answer[] = [];
    const lost: string[] = [];
    const sealingKeys = new Set<string>();
    let isOver = false;
    const call = async (caller: number) => {
      const fetch = sealedFetch("http://enclave/", {
        ...{ pcrs: { 0: nsm.pcr(0) }, root: nsm.root, timeoutMs: 2_000_000_000, maxAgeMs: 500 },
        onAttested: ({ keys }) => void sealingKeys.add(String(keys["seal"])),
        fetch: createFetch({ transport: "tcp", host: "127.0.0.1", port: balancer.port }),
      });
      for (let i = 0; !isOver; i++) {
        const body = `${caller} ${i}`;
        try {
          const answer = await fetch("/v1/echo", { method: "POST", body });
          assert.equal(answer.status, 200, body);
          const said = await answer.json() as Answer;
          assert.equal(said.body, body);
          answers.push(said);
        } catch (error) {
          lost.push((error as { code?: string }).code ?? String(error));
        }
      }
    };
    const seen = (version: number) =>
      new Set(answers.filter((answer) => answer.version === version).map(({ pid }) => pid)).size;
    const calls = Promise.all(Array.from({ length: CALLERS }, (_, caller) => call(caller)));
    await until(() => seen(1) === 3);
    assert.equal(sealingKeys.size, 1);
    assert.deepEqual(lost, []);
    const [first, second] = enclaves as [EnclaveProcess, EnclaveProcess, EnclaveProcess];
    second.tell("SIGUSR2");
    await balancer.takeOut(first.url, () => first.signal("SIGKILL"));
    await until(() => seen(2) === 2 && sealingKeys.size === 2);
    const count = answers.length;
    await until(() => answers.length > count + 20 * CALLERS);
    isOver = true;
    await calls;
    assert.ok(lost.length <= balancer.cut, `${lost} of ${balancer.cut} connections`);
    assert.deepEqual(lost.filter((code) => code !== "ERR_CONNECTION"), []);
    assert.equal(
      new Set(answers.map(({ digest }) => digest)).size,
      answers.length,
      "each is of a request of its own",
    );
  });
});
