import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "#test";
import { encode } from "cbor2";
import { NsmClient } from "../../../lib/nsm/mod.ts";
import { expectedPcr16, secretMeasurement, SECRETS_PCR } from "../../../lib/wire/secret_measurement.ts";
import { SoftwareNsm } from "../../../sim/mod.ts";

const FIRST = { name: "age-key", version: 3, sha256: new Uint8Array(32).fill(1) };
const SECOND = { name: "key-shares", version: 0, sha256: new Uint8Array(32).fill(2) };

describe("secretMeasurement()", () => {
  test("is SHA-384 of the CBOR that another library writes", async () => {
    const cbor = encode([FIRST.name, FIRST.version, FIRST.sha256]);
    const expected = createHash("sha384").update(cbor).digest();
    assert.deepEqual([...await secretMeasurement("age-key", 3, FIRST.sha256)], [...expected]);
  });

  test("differs with name, version and hash", async () => {
    const values = await Promise.all([
      secretMeasurement("age-key", 3, FIRST.sha256),
      secretMeasurement("age-kez", 3, FIRST.sha256),
      secretMeasurement("age-key", 4, FIRST.sha256),
      secretMeasurement("age-key", 3, SECOND.sha256),
    ]);
    assert.equal(new Set(values.map((value) => value.join())).size, 4);
  });

  test("refuses what no secret has", async () => {
    await assert.rejects(secretMeasurement("", 1, FIRST.sha256), TypeError);
    await assert.rejects(secretMeasurement("a", -1, FIRST.sha256), RangeError);
    await assert.rejects(secretMeasurement("a", 1, new Uint8Array(48)), TypeError);
  });
});

describe("expectedPcr16()", () => {
  test("is zeros without secrets, and depends on the order", async () => {
    assert.deepEqual([...await expectedPcr16([])], [...new Uint8Array(48)]);
    assert.notDeepEqual(await expectedPcr16([FIRST, SECOND]), await expectedPcr16([SECOND, FIRST]));
  });

  test("is the register of a module that was extended with the same", async () => {
    using nsm = new NsmClient(await SoftwareNsm.create());
    for (const { name, version, sha256 } of [FIRST, SECOND]) {
      await nsm.extendPcr(SECRETS_PCR, await secretMeasurement(name, version, sha256));
    }
    const { value } = await nsm.describePcr(SECRETS_PCR);
    assert.deepEqual([...value], [...await expectedPcr16([FIRST, SECOND])]);
  });
});
