import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { runChild, withoutProgress } from "../child.ts";
import { SimulatorProcess } from "../simulator_process.ts";
import { runHere } from "../terminal_double.ts";

const SEED = {
  keys: [{ alias: "alias/app" }],
  ciphertexts: [{ name: "pw", key: "alias/app", plaintext: "hello", encryptionContext: { tenant: "a" } }],
};

describe("enclave-kms sim", () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-sim-test-"));
  const seed = join(folder, "seed.json");
  let simulator: SimulatorProcess;
  beforeAll(async () => {
    writeFileSync(seed, JSON.stringify(SEED));
    simulator = await SimulatorProcess.start(["--seed", seed]);
  });
  afterAll(async () => {
    await simulator[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });
  const run = (words: readonly string[]) => runChild(words, { env: simulator.description.variables });
  const decrypt = () => [
    ...["decrypt", "--encryption-context", '{"tenant":"a"}', "--timeout-ms", "60000"],
    ...["--ciphertext", simulator.description.ciphertexts[0]?.ciphertext ?? ""],
  ];

  test("serves the command line, which finds it by the environment", async () => {
    const { code, stdout, stderr } = await run(decrypt());
    assert.deepEqual([code, stdout], [0, `PLAINTEXT: ${btoa("hello")}\n`], stderr);
    assert.equal(
      withoutProgress(stderr),
      "simulation: ENV_SETUP is SIM, and the environment stands for --endpoint, --trusted-certificates, --nsm\n",
    );
    const doctor = await run(["doctor", "--json", "--timeout-ms", "60000"]);
    assert.equal((JSON.parse(doctor.stdout) as { firstBroken: unknown }).firstBroken, null, doctor.stdout);
  });

  test("a document of its NSM is verified under its root, and not without ENV_SETUP", async () => {
    const attested = await run(["attest", "--nonce", "01", "--timeout-ms", "60000"]);
    const file = join(folder, "document");
    writeFileSync(file, attested.stdout);
    const words = ["verify", file, "--nonce", "01"];
    const { variables } = simulator.description;
    const trusted = await runHere(words, variables);
    assert.deepEqual([trusted.code, trusted.stderr.startsWith("simulation: ")], [0, true]);
    const { code, stderr } = await runHere(words, { ...variables, ENV_SETUP: "NITRO" });
    assert.deepEqual([code, stderr.includes("simulation")], [23, false], "ROOT");
  });

  test("a flag that is given counts before the environment", async () => {
    const nowhere = [...decrypt(), "--nsm", join(folder, "no.sock"), "--timeout-ms", "5000"];
    const { code, stderr } = await run(nowhere);
    assert.equal(code, 255);
    assert.doesNotMatch(stderr, /stands for .*--nsm/);
    const port = await run([...decrypt(), "--proxy-port", "1", "--timeout-ms", "1000"]);
    assert.doesNotMatch(port.stderr, /exclude each other|stands for .*--endpoint/);
  });

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    test(`ends at ${signal} with 0, and leaves nothing behind`, async () => {
      await using other = await SimulatorProcess.start();
      const { folder: own } = other.description;
      assert.deepEqual(await other.signal(signal), [0, null], other.stderr);
      assert.equal(existsSync(own), false);
    });
  }

  test("keeps a folder that was named, and warns of an address that others reach", async () => {
    const named = join(folder, "state");
    await using other = await SimulatorProcess.start([
      "--folder",
      named,
      "--host",
      "0.0.0.0",
      "--name",
      "kms",
    ]);
    assert.match(other.stderr, /^warning: other machines can reach KMS and S3 on 0\.0\.0\.0/);
    assert.match(other.description.kms.url, /^https:\/\/kms:/);
    assert.equal(simulator.stderr, "");
    await other.signal("SIGTERM");
    assert.deepEqual(readdirSync(named), []);
  });

  test("refuses a host that is no address", async () => {
    const { code, stderr } = await runHere(["sim", "--host", "example.com"]);
    assert.equal(code, 1);
    assert.match(stderr, /^enclave-kms sim: --host must be an IPv4 address/);
  });

  const wrong = {
    "--seed: keys[0].policy must be": { keys: [{ policy: 1 }] },
    "--seed: ciphertexts[0]: KMS refuses it with NotFoundException": {
      ciphertexts: [{ name: "a", key: "alias/none", plaintext: "b" }],
    },
    "--seed: The seed has no field `kyes`": { kyes: [] },
  };
  for (const [message, content] of Object.entries(wrong)) {
    test(`names the field of a wrong seed: ${message}`, async () => {
      const file = join(folder, "wrong.json");
      writeFileSync(file, JSON.stringify(content));
      const { code, stderr, stdout } = await runHere(["sim", "--seed", file]);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.ok(stderr.includes(message), stderr);
    });
  }

  test("refuses a port that is taken by its flag", async () => {
    const port = new URL(simulator.description.kms.url).port;
    const { code, stderr } = await runHere(["sim", "--plain-port", port]);
    assert.equal(code, 1);
    assert.match(stderr, /^enclave-kms sim: --plain-port must be one that can be listened on: EADDRINUSE/);
  });
});
