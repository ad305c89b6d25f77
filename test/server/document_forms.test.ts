import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "#test";
import { sealTo, SessionKey, verifyAttestation } from "../../lib/attestation/mod.ts";
import { attestedKeyPolicy } from "../../sim/mod.ts";
import { Fixture, PLAINTEXT, RecordingPolicy } from "./fixture.ts";

const FIRST_BYTES = { indefinite: 0xbf, definite: 0xa9 } as const;

describe("the server over an NSM", () => {
  for (const documentForm of ["indefinite", "definite"] as const) {
    test(`whose documents are of ${documentForm} form is ready, attests and decrypts`, async () => {
      const policy = new RecordingPolicy();
      await using fixture = await Fixture.start({ documentForm, policy });
      const { simulator } = fixture;
      assert.equal((await fixture.setCredentials()).status, 204);
      const ready = await fixture.call("/readyz");
      assert.deepEqual([ready.status, (await ready.json() as { nsm: boolean }).nsm], [200, true]);

      const nonce = Uint8Array.of(1, 2, 3);
      const answer = await fixture.call("/v1/attestation?nonce=AQID");
      const { document } = await answer.json() as { document: string };
      const expected = {
        nonce,
        root: simulator.nsm.root,
        pcrs: { 0: simulator.nsm.pcr(0) },
        maxAgeMs: 60_000,
      };
      const { payload } = await verifyAttestation(Buffer.from(document, "base64"), expected);
      assert.equal(payload[0], FIRST_BYTES[documentForm]);

      const { keyId } = await simulator.createKey({ policy: attestedKeyPolicy({ 0: simulator.nsm.pcr(0) }) });
      const bytes = await simulator.encrypt({ keyId, plaintext: PLAINTEXT });
      const decrypted = await fixture.call("/v1/decrypt", {
        ciphertext: Buffer.from(bytes).toString("base64"),
      });
      assert.equal(decrypted.status, 200);
      const { plaintext } = await decrypted.json() as { plaintext: string };
      assert.equal(Buffer.from(plaintext, "base64").toString(), PLAINTEXT);
      const { pcrs } = policy.asked.at(-1)?.context ?? {};
      assert.deepEqual([pcrs?.["pcr0"], pcrs?.["pcr4"]], [simulator.nsm.pcr(0), simulator.nsm.pcr(4)]);
    });

    test(`whose documents are of ${documentForm} form has sessions that secrets are sealed to`, async () => {
      await using fixture = await Fixture.start({ documentForm });
      const { nsm } = fixture.simulator;
      using session = await SessionKey.create(nsm);
      const secret = new TextEncoder().encode(PLAINTEXT);
      const sealed = await sealTo(session.document, secret, { root: nsm.root, pcrs: { 0: nsm.pcr(0) } });
      using opened = await session.open(sealed);
      assert.deepEqual(opened.bytes, secret);
    });
  }
});
