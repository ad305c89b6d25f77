import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "#test";
import { EnclaveKmsError, KmsClient, KmsError } from "../../../mod.ts";
import { FAULTS, type KmsFault, type KmsFaultKind } from "../../../sim/mod.ts";
import { type Enclave, ENGINE_CASES, type EngineCase, startEnclave } from "../../support/engines.ts";

/** What a decrypt has to come to: the plaintext, or an error's code. */
const OUTCOME: Readonly<Record<KmsFaultKind, string>> = {
  latency: "plaintext",
  hang: "ERR_TIMEOUT",
  tlsSilence: "ERR_TIMEOUT",
  resetAtByte: "ERR_CONNECTION",
  truncate: "ERR_CONNECTION",
  throttled: "ThrottlingException",
  internalError: "KMSInternalException",
  unavailable: "503",
  refusal: "DependencyTimeoutException",
  answer: "403",
  garbage: "ERR_PROTOCOL",
  notHttp: "ERR_PROTOCOL",
  oversized: "ERR_PROTOCOL",
  wrongEnvelope: "ERR_PROTOCOL",
  missingEnvelope: "ERR_PROTOCOL",
  plaintextInstead: "ERR_PROTOCOL",
  plaintextBeside: "ERR_PROTOCOL",
  wrongKeyId: "ERR_PROTOCOL",
  certificate: "ERR_CERTIFICATE",
  closeWhenIdle: "plaintext",
  refuse: "ERR_CONNECTION",
};

/** Where nothing answers, or nothing listens for now, all of it is waited for… */
const TIMEOUT_MS = 400;
/** …and anything else comes long before, also on a busy machine. */
const AMPLE_TIMEOUT_MS = 3000;

for (const engineCase of ENGINE_CASES.filter(({ speaksHttps }) => speaksHttps)) {
  describe.skipIf(engineCase.skip)(`faults of KMS on engine ${engineCase.label}`, () => suite(engineCase));
}

function suite(engineCase: EngineCase): void {
  let enclave: Enclave;
  let client: KmsClient;
  let keyId: string;
  let ciphertext: Uint8Array;

  beforeAll(async () => {
    enclave = await startEnclave();
    keyId = (await enclave.simulator.createKey()).arn;
    ciphertext = await enclave.simulator.encrypt({ keyId, plaintext: "still here" });
    client = await KmsClient.open(enclave.optionsFor(engineCase));
  });
  afterAll(async () => {
    await client.close();
    await enclave[Symbol.asyncDispose]();
  });

  for (const { name, fault } of FAULTS) {
    test(`KMS ${name}: ${OUTCOME[fault.kind]}, and the next decrypt works`, async () => {
      const { kms } = enclave.simulator;
      await kms.injectFault(fault);
      const connections = needsNewConnection(fault)
        ? await KmsClient.open(enclave.optionsFor(engineCase))
        : client;
      try {
        await expectOutcome(connections, fault.kind);
      } finally {
        await kms.clearFaults();
        if (connections !== client) await connections.close();
      }
      using after = await client.decrypt({ ciphertext, keyId });
      assert.equal(new TextDecoder().decode(after.bytes), "still here");
    });
  }

  async function expectOutcome(subject: KmsClient, kind: KmsFaultKind): Promise<void> {
    const outcome = OUTCOME[kind];
    const takesAll = outcome === "ERR_TIMEOUT" || kind === "refuse";
    const timeoutMs = takesAll ? TIMEOUT_MS : AMPLE_TIMEOUT_MS;
    const started = performance.now();
    try {
      for (let round = 0; round < 3; round++) {
        using decrypted = await subject.decrypt({ ciphertext, keyId, timeoutMs });
        assert.equal(decrypted.length, 10);
      }
      assert.equal("plaintext", outcome);
    } catch (error) {
      assert.ok(error instanceof EnclaveKmsError, String(error));
      const seen = error instanceof KmsError ? [error.kmsCode, String(error.httpStatus)] : [error.code];
      assert.ok(seen.includes(outcome), `${seen} instead of ${outcome}: ${error.message}`);
      assert.notEqual(error.hint, "");
      assert.ok(performance.now() - started < 10 * TIMEOUT_MS, "long after the deadline");
    }
  }
}

/** These show only when a connection is made. */
function needsNewConnection({ kind }: KmsFault): boolean {
  return kind === "certificate" || kind === "tlsSilence";
}
