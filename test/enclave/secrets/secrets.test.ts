import assert from "node:assert/strict";
import { describe, test } from "#test";
import { enclaveApp } from "../../../enclave/mod.ts";
import { encodeHex } from "../../../lib/core/encoding.ts";
import { NsmClient } from "../../../lib/nsm/mod.ts";
import { createFetch } from "../../../lib/transport/mod.ts";
import { expectedPcr16 } from "../../../lib/wire/secret_measurement.ts";
import { parseSignedSecret } from "../../../lib/wire/signed_secret.ts";
import { codeOf, SECRET, SecretsLab, sha256 } from "./secrets_lab.ts";

describe("an enclave that declares secrets", () => {
  test("takes them from an honest parent, and hands them over once they are recorded", async () => {
    await using lab = await SecretsLab.create();
    const app = enclaveApp().get("/", (c) => c.json({ names: [...c.var.secrets.keys()] }));
    const starting = lab.start(lab.recipe, {}, app);
    const receipts = await lab.sendAll();
    assert.deepEqual(receipts.map((receipt) => receipt.ok && receipt.name), [
      "credentials",
      "age-key",
      "key-shares",
    ]);
    const enclave = await starting;
    assert.deepEqual([...enclave.secrets.keys()], ["key-shares"]);
    assert.deepEqual([...enclave.secrets.get("key-shares")!.bytes], [...SECRET]);
    const answer = await createFetch(enclave.endpoint)("http://enclave/");
    assert.deepEqual(await answer.json(), { names: ["key-shares"] });
    const held = enclave.secrets.get("key-shares")!.bytes;
    await enclave.close();
    assert.ok(held.every((byte) => byte === 0), "it is wiped at the end");
    assert.equal(enclave.secrets.size, 0);
  });

  test("extends PCR16 with what it took, in order of declaration, and locks it", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start();
    await lab.sendCredentials();
    const [identity, shares] = [await lab.identity({ version: 5 }), await lab.shares({ version: 3 })];
    await lab.send(7101, identity, { framed: true });
    await lab.send(7102, shares, { framed: true });
    const enclave = await starting;
    const statements = [identity, shares].map((sent) => {
      const { statement: { name, version }, sealed } = parseSignedSecret(sent)!;
      return { name, version, sha256: sha256(sealed) };
    });
    const { value, locked } = await new NsmClient(lab.simulator.nsm).describePcr(16);
    assert.equal(locked, true);
    assert.deepEqual([...value], [...await expectedPcr16(statements)]);
    const info = await (await createFetch(enclave.endpoint)("http://enclave/v1/info")).json() as {
      pcrs: Record<string, string>;
    };
    assert.equal(info.pcrs["16"], encodeHex(value), "documents and facts have it");
  });

  test("says in /readyz which are missing, and answers while it waits", async () => {
    await using lab = await SecretsLab.create();
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const starting = lab.start(lab.recipe, { ENCLAVE_PORT: String(port) });
    await lab.sendCredentials();
    const fetch = createFetch({ transport: "tcp", host: "127.0.0.1", port });
    const missing = async () => {
      const answer = await fetch("http://enclave/readyz");
      const parts = Object.entries(await answer.json() as Record<string, boolean>);
      return [
        answer.status,
        ...parts.filter(([name, is]) => name.startsWith("secret:") && !is).map(([name]) => name),
      ];
    };
    assert.deepEqual(await missing(), [503, "secret:age-key", "secret:key-shares"]);
    assert.equal(codeOf(await lab.send(7101, await lab.identity())), "taken");
    assert.deepEqual(await missing(), [503, "secret:key-shares"]);
    assert.equal(codeOf(await lab.send(7102, await lab.shares())), "taken");
    await starting;
    assert.deepEqual((await missing()).slice(1), []);
  });

  test("fails the start at the end of the window, by name, and closes its ports", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start(lab.recipe, { ENCLAVE_KMS_SECRETS_WINDOW_MS: "300" });
    (await lab.connect(7101)).destroy();
    await assert.rejects(starting, { code: "ERR_SECRET_MISSING", message: /no age-key, key-shares within/ });
  });

  test("goes on without an optional one at the end of the window, and records the rest", async () => {
    await using lab = await SecretsLab.create();
    const [identity, shares] = lab.recipe;
    const starting = lab.start([identity, { ...shares, optional: true }], {
      ENCLAVE_KMS_SECRETS_WINDOW_MS: "6000",
    });
    await lab.sendCredentials();
    assert.equal(codeOf(await lab.send(7101, await lab.identity())), "taken");
    const enclave = await starting;
    assert.equal(enclave.secrets.size, 0);
    assert.equal((await new NsmClient(lab.simulator.nsm).describePcr(16)).locked, true);
    assert.equal(codeOf(await lab.send(7102, await lab.shares())), "LATE");
  });
});
