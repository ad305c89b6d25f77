/**
 * What a caller of an enclave runs with the packed package: verifies a document and seals a secret, which the
 * enclave opens.
 */
import assert from "node:assert/strict";
import { AttestationError, sealTo, SessionKey, verifyAttestation } from "enclave-kms/attestation";
import * as library from "enclave-kms";
import { NsmClient } from "enclave-kms/nsm";
import { SoftwareNsm } from "enclave-kms/sim";

const software = await SoftwareNsm.create();
const nsm = new NsmClient(software);
const nonce = crypto.getRandomValues(new Uint8Array(32));
const expected = { nonce, pcrs: { 0: software.pcr(0) }, maxAgeMs: 60_000, root: software.root };

const session = await SessionKey.create(nsm, { nonce });
assert.equal((await verifyAttestation(session.document, expected)).digest, "SHA384");
await assert.rejects(verifyAttestation(session.document), { code: "ERR_ATTESTATION_ROOT" });
await assert.rejects(
  verifyAttestation(session.document, { ...expected, nonce: new Uint8Array(32) }),
  (error) => error instanceof AttestationError && error.code === "ERR_ATTESTATION_NONCE",
);

const secret = await session.open(
  await sealTo(session.document, new TextEncoder().encode("attack at dawn"), expected),
);
assert.ok(secret instanceof library.SecretBytes, "both entries share their classes");
console.log(new TextDecoder().decode(secret.bytes));
