import assert from "node:assert/strict";
import { resolve } from "node:path";
import { describe, test } from "#test";
import { enclaveApp, sealedSecret, type SecretDeclaration } from "../../../enclave/mod.ts";
import { sealedFetch } from "../../../lib/channel/mod.ts";
import { createFetch } from "../../../lib/transport/mod.ts";
import { parseSecretReceipt } from "../../../lib/wire/secret_receipt.ts";
import { codeOf, makePublisher, SECRET, SecretsLab, signSecret } from "./secrets_lab.ts";

/** Starts an enclave that waits for one secret over a channel, and gives the ways to it. */
function begin(lab: SecretsLab, declaration: Partial<SecretDeclaration> = {}) {
  const port = 30_000 + Math.floor(Math.random() * 2000);
  const { pem: publisher } = lab.publisher;
  const secret = {
    name: "seed",
    from: sealedSecret(),
    publisher,
    minVersion: 1,
    maxBytes: 1000,
    ...declaration,
  };
  const starting = lab.start([secret], {
    ENCLAVE_PORT: String(port),
    ENCLAVE_KMS_POLICY_FILE: resolve("examples/policies/attest.cedar"),
  }, enclaveApp());
  const clear = createFetch({ transport: "tcp", host: "127.0.0.1", port });
  const { nsm } = lab.simulator;
  const sealed = sealedFetch("http://enclave/", { pcrs: { 0: nsm.pcr(0) }, root: nsm.root, fetch: clear });
  const post = async (content: Uint8Array, name = "seed") => {
    const body = Uint8Array.from(content);
    const answer = await sealed(`/v1/secrets/${name}`, { method: "POST", body });
    return parseSecretReceipt(new Uint8Array(await answer.arrayBuffer()));
  };
  return { starting, clear, post };
}

/** Waits until the enclave listens. */
async function untilListening(lab: SecretsLab): Promise<void> {
  while (!lab.lines.some((line) => line.includes('"listening"'))) {
    await new Promise((done) => setTimeout(done, 5));
  }
}

describe("a secret that comes past the parent", () => {
  test("is taken over a channel that ends in this boot, and recorded", async () => {
    await using lab = await SecretsLab.create();
    const { starting, post } = begin(lab);
    await untilListening(lab);
    assert.equal(codeOf(await post(signSecret("seed", 1, SECRET, lab.publisher))), "taken");
    const enclave = await starting;
    assert.deepEqual([...enclave.secrets.get("seed")!.bytes], [...SECRET]);
    assert.notDeepEqual(lab.simulator.nsm.pcr(16), new Uint8Array(48));
    assert.equal(codeOf(await post(signSecret("seed", 1, SECRET, lab.publisher))), "TAKEN");
  });

  test("is refused in the clear, where the parent would read it", async () => {
    await using lab = await SecretsLab.create();
    const { starting, clear, post } = begin(lab);
    await untilListening(lab);
    const body = Uint8Array.from(signSecret("seed", 1, SECRET, lab.publisher));
    const answer = await clear("http://enclave/v1/secrets/seed", { method: "POST", body });
    assert.deepEqual([answer.status, (await answer.json() as { code: string }).code], [403, "ERR_CHANNEL"]);
    assert.equal(codeOf(await post(signSecret("seed", 1, SECRET, lab.publisher))), "taken");
    await starting;
  });

  test("is refused without the publisher's signature, whoever posts it, and the honest one is taken", async () => {
    await using lab = await SecretsLab.create();
    const { starting, post } = begin(lab);
    await untilListening(lab);
    assert.equal(codeOf(await post(SECRET)), "SIGNATURE");
    assert.equal(codeOf(await post(signSecret("seed", 1, SECRET, makePublisher()))), "SIGNATURE");
    assert.equal(codeOf(await post(signSecret("seed", 0, SECRET, lab.publisher))), "VERSION");
    assert.equal(codeOf(await post(signSecret("other", 1, SECRET, lab.publisher))), "NAME");
    assert.equal(codeOf(await post(new Uint8Array(1001))), "TOO_LARGE");
    for (const name of ["other", "..", "constructor"]) {
      const receipt = await post(SECRET, encodeURIComponent(name)).catch((error: unknown) => error);
      assert.ok(receipt instanceof Error || codeOf(receipt as never) === "NAME", name);
    }
    assert.equal(codeOf(await post(signSecret("seed", 1, SECRET, lab.publisher))), "taken");
    assert.equal((await starting).secrets.size, 1);
  });

  test("has no route where none is declared", async () => {
    await using lab = await SecretsLab.create();
    const enclave = await lab.start([]);
    const answer = await createFetch(enclave.endpoint)("http://enclave/v1/secrets/seed", { method: "POST" });
    assert.equal(answer.status, 404);
  });
});
