import assert from "node:assert/strict";
import type { Agent } from "node:https";
import { afterAll, afterEach, beforeAll, describe } from "#test";
import { decodeBase64, encodeBase64 } from "../../../lib/core/encoding.ts";
import { KMS_FAULTS, type KmsFault, type KmsFaultKind } from "../../../sim/kms/kms_faults.ts";
import { type Simulator, startSimulator } from "../../../sim/simulator.ts";
import { until } from "../../support/until.ts";
import { agentFor, call, type Reply } from "./caller.ts";
import { recipient, recipientKeys, SECRET } from "./kms_fixture.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests("Deno");

type Good = Readonly<Record<string, unknown>>;

/** Symptom of a fault that a plain client sees. */
type Symptom = (attempt: () => Promise<Reply>, fault: KmsFault) => Promise<void>;

const { publicKey } = recipientKeys();
let enclave: Simulator;
let keyArn: string;
let members: Readonly<Record<string, unknown>>;

beforeAll(async () => {
  enclave = await startSimulator({ envelopeShape: "constructed" });
  const { arn } = await enclave.createKey();
  keyArn = arn;
  const ciphertext = await enclave.encrypt({ keyId: arn, plaintext: SECRET });
  members = { CiphertextBlob: encodeBase64(ciphertext), Recipient: await recipient(enclave.nsm, publicKey) };
});

afterEach(() => enclave.kms.clearFaults());
afterAll(() => enclave.close());

function decrypt(agent?: Agent): Promise<Reply> {
  return call(enclave, "Decrypt", members, agent === undefined ? {} : { agent });
}

const breaks: Symptom = (attempt) => assert.rejects(attempt());

const stays: Symptom = async (attempt) => {
  const outcome = attempt().then(() => "answered", () => "failed");
  assert.equal(await Promise.race([outcome, pause(60).then(() => "waiting")]), "waiting");
};

function answers(check: (reply: Reply, fault: KmsFault) => void): Symptom {
  return async (attempt, fault) => check(await attempt(), fault);
}

function refuses(status: number, kmsCode: string): Symptom {
  return answers((reply) => {
    assert.equal(reply.status, status);
    assert.equal(reply.members["__type"], kmsCode);
  });
}

const answersWell = answers(({ status, members }) => {
  assert.equal(status, 200);
  assert.ok(members["CiphertextForRecipient"]);
});

const SYMPTOMS: Readonly<Record<KmsFaultKind, Symptom>> = {
  latency: async (attempt) => {
    let earlier = false;
    setTimeout(() => (earlier = true), 45);
    await answersWell(attempt, { kind: "latency", ms: 50 });
    assert.ok(earlier, "a timer that was due before it");
  },
  hang: stays,
  tlsSilence: stays,
  resetAtByte: breaks,
  truncate: breaks,
  throttled: refuses(400, "ThrottlingException"),
  internalError: refuses(500, "KMSInternalException"),
  refusal: refuses(500, "DependencyTimeoutException"),
  answer: answers(({ status, text }, fault) => {
    if (fault.kind === "answer") assert.deepEqual([status, text], [fault.status, fault.body]);
  }),
  unavailable: answers(({ status, members }) => assert.deepEqual([status, members], [503, {}])),
  garbage: answers(({ status, text, members }) => {
    assert.equal(status, 200);
    assert.ok(text.length > 10);
    assert.deepEqual(members, {});
  }),
  notHttp: breaks,
  oversized: answers(({ text }) => assert.ok(text.length >= 8_000_000)),
  wrongEnvelope: answers(({ status, members }, fault) => {
    assert.equal(status, 200);
    const envelope = decodeBase64(String(members["CiphertextForRecipient"]));
    assert.equal(envelope.length === 0, fault.kind === "wrongEnvelope" && fault.variant === "empty");
    assert.equal(members["Plaintext"], "");
  }),
  missingEnvelope: answers(({ members }) => {
    assert.equal("CiphertextForRecipient" in members, false);
    assert.equal(members["Plaintext"], "");
  }),
  plaintextInstead: answers(({ members }) => {
    assert.equal("CiphertextForRecipient" in members, false);
    assert.equal(members["Plaintext"], encodeBase64(new TextEncoder().encode(SECRET)));
  }),
  plaintextBeside: answers(({ members }) => {
    assert.ok(members["CiphertextForRecipient"]);
    assert.equal(members["Plaintext"], encodeBase64(new TextEncoder().encode(SECRET)));
  }),
  wrongKeyId: answers(({ members }) => {
    assert.notEqual(members["KeyId"], keyArn);
    assert.equal(String(members["KeyId"]).slice(0, -36), keyArn.slice(0, -36));
  }),
  certificate: async (attempt, fault) => {
    const pattern = fault.kind === "certificate" ? CERTIFICATE_ERRORS[fault.certificate] : undefined;
    await assert.rejects(attempt(), (error: Error & { code?: string }) => {
      assert.match(`${error.code} ${error.message}`, pattern ?? /never/);
      return true;
    });
  },
  closeWhenIdle: answersWell,
  refuse: breaks,
};

/** In the words of Node and of Deno, which says of wrong dates that it cannot verify a signature. */
const CERTIFICATE_ERRORS = {
  expired: /CERT_HAS_EXPIRED|UNABLE_TO_VERIFY_LEAF_SIGNATURE/,
  notYetValid: /CERT_NOT_YET_VALID|UNABLE_TO_VERIFY_LEAF_SIGNATURE/,
  wrongName: /ERR_TLS_CERT_ALTNAME_INVALID|NotValidForName|not valid for/i,
  unknownCa: /SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO|UnknownIssuer|BadSignature|CERT_SIGNATURE_FAILURE/i,
} as const;

describe("KMS_FAULTS", () => {
  test("holds every kind, under different names", () => {
    assert.deepEqual(
      [...new Set(KMS_FAULTS.map(({ fault }) => fault.kind))].sort(),
      Object.keys(SYMPTOMS).sort(),
    );
    assert.equal(new Set(KMS_FAULTS.map(({ name }) => name)).size, KMS_FAULTS.length);
  });

  for (const { name, fault } of KMS_FAULTS) {
    test(`KMS ${name}; afterwards it works again`, async () => {
      await enclave.kms.injectFault(fault);
      await SYMPTOMS[fault.kind](decrypt, fault);
      await enclave.kms.clearFaults();
      await answersWell(decrypt, fault);
    });
  }
});

describe("faults of secrets", () => {
  /** Good requests of every operation that takes a recipient, and where their answers hold the secret. */
  const cases: readonly (readonly [operation: string, member: string, good: () => Promise<Good>])[] = [
    ["Decrypt", "Plaintext", () => Promise.resolve(members)],
    ["GenerateDataKey", "Plaintext", () => Promise.resolve({ KeyId: keyArn, KeySpec: "AES_256" })],
    [
      "GenerateDataKeyPair",
      "PrivateKeyPlaintext",
      () => Promise.resolve({ KeyId: keyArn, KeyPairSpec: "ECC_NIST_P256" }),
    ],
    ["GenerateRandom", "Plaintext", () => Promise.resolve({ NumberOfBytes: 32 })],
    ["DeriveSharedSecret", "SharedSecret", async () => {
      const { arn, publicKey } = await enclave.createKey({ spec: "ECC_NIST_P256" });
      const PublicKey = encodeBase64(publicKey ?? new Uint8Array());
      return { KeyId: arn, KeyAgreementAlgorithm: "ECDH", PublicKey };
    }],
  ];
  for (const [operation, member, good] of cases) {
    const ask = async () => {
      const request = { ...await good(), Recipient: members["Recipient"] };
      return async (fault?: KmsFault) => {
        if (fault !== undefined) await enclave.kms.injectFault(fault, { times: 1 });
        const reply = await call(enclave, operation, request);
        assert.equal(reply.status, 200, reply.text);
        return reply.members;
      };
    };

    test(`strike ${operation} as they strike Decrypt`, async () => {
      const answer = await ask();
      const well = await answer();
      assert.equal(well[member], "");
      assert.ok(well["CiphertextForRecipient"]);
      const missing = await answer({ kind: "missingEnvelope" });
      assert.deepEqual([missing[member], missing["CiphertextForRecipient"]], ["", undefined]);
      const instead = await answer({ kind: "plaintextInstead" });
      assert.ok(decodeBase64(String(instead[member])).length > 0);
      assert.equal(instead["CiphertextForRecipient"], undefined);
      const beside = await answer({ kind: "plaintextBeside" });
      assert.ok(decodeBase64(String(beside[member])).length > 0);
      assert.ok(beside["CiphertextForRecipient"]);
      const empty = await answer({ kind: "wrongEnvelope", variant: "empty" });
      assert.deepEqual([empty[member], empty["CiphertextForRecipient"]], ["", ""]);
    });

    test(`name another key in the answer of ${operation}, if it names one`, async () => {
      const answer = await ask();
      const { KeyId: right } = await answer();
      const { KeyId: wrong } = await answer({ kind: "wrongKeyId" });
      assert.equal(right === undefined, operation === "GenerateRandom");
      assert.equal(wrong === right, right === undefined);
      assert.equal(wrong === undefined, right === undefined);
    });
  }
});

describe("tamper()", () => {
  test("changes answers of any operation, and is told which", async () => {
    const seen: string[] = [];
    enclave.kms.tamper(({ KeyId: _, ...others }, operation) => {
      seen.push(operation);
      return { ...others, More: 1 };
    }, { times: 2 });
    const dataKey = await call(enclave, "GenerateDataKey", { KeyId: keyArn, KeySpec: "AES_256" });
    assert.deepEqual(Object.keys(dataKey.members).sort(), [
      "CiphertextBlob",
      "KeyMaterialId",
      "More",
      "Plaintext",
    ]);
    const random = await call(enclave, "GenerateRandom", { NumberOfBytes: 1 });
    assert.equal(random.members["More"], 1);
    assert.deepEqual(seen, ["GenerateDataKey", "GenerateRandom"]);
    assert.equal((await decrypt()).members["KeyId"], keyArn, "twice only");
  });

  test("leaves refusals alone, and ends with the faults", async () => {
    enclave.kms.tamper(() => ({}));
    assert.equal((await call(enclave, "Decrypt", {})).members["__type"], "ValidationException");
    assert.deepEqual((await decrypt()).members, {});
    await enclave.kms.clearFaults();
    assert.equal((await decrypt()).members["KeyId"], keyArn);
    assert.throws(() => enclave.kms.tamper(() => ({}), { times: 0 }), RangeError);
  });
});

describe("injectFault()", () => {
  test("refuses a fault that is misspelt: it would do something else", async () => {
    for (
      const [fault, message] of [
        [{ kind: "hangs" }, /^A fault must have a kind: KMS_FAULTS has one of each$/],
        [{ kind: "refusal" }, /^kmsCode of the refusal fault must be a string$/],
        [{ kind: "refusal", code: "a" }, /^The refusal fault has no field `code`: expected kind, kmsCode/],
      ] as const
    ) {
      await assert.rejects(enclave.kms.injectFault(fault as never), { name: "TypeError", message });
    }
    await enclave.kms.injectFault({ kind: "closeWhenIdle", afterMs: 5 }, { times: 1 });
  });

  test("strikes the given number of requests", async () => {
    await enclave.kms.injectFault({ kind: "throttled" }, { times: 2 });
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await decrypt()).status);
    assert.deepEqual(statuses, [400, 400, 200]);
    assert.deepEqual(enclave.kms.requests.slice(-3).map(({ fault }) => fault), [
      "throttled",
      "throttled",
      undefined,
    ]);
  });

  test("of several faults, the last injected strikes first", async () => {
    await enclave.kms.injectFault({ kind: "throttled" }, { times: 1 });
    await enclave.kms.injectFault({ kind: "internalError" }, { times: 1 });
    assert.deepEqual([(await decrypt()).status, (await decrypt()).status, (await decrypt()).status], [
      500,
      400,
      200,
    ]);
  });

  test("cuts the answer at the very byte", async () => {
    const whole = await received();
    for (const byte of [1, 7, 60, whole.length - 1]) {
      await enclave.kms.injectFault({ kind: "truncate", byte }, { times: 1 });
      assert.equal((await received()).length, byte);
    }
    await enclave.kms.injectFault({ kind: "truncate", byte: 1_000_000 }, { times: 1 });
    assert.ok(Math.abs((await received()).length - whole.length) < 8, "a cut beyond the end only closes");
  });

  test("closeWhenIdle ends a kept connection after its answer", async () => {
    const agent = agentFor(enclave, enclave.endpoint, true);
    await enclave.kms.injectFault({ kind: "closeWhenIdle" }, { times: 1 });
    const before = enclave.kms.connectionCount;
    const { headers } = await decrypt(agent);
    assert.equal(headers["connection"], "keep-alive", "it had promised to keep it");
    await untilLost(agent);
    assert.equal((await decrypt(agent)).status, 200);
    assert.equal(enclave.kms.connectionCount, before + 2);
    agent.destroy();
  });

  test("refuse breaks kept connections too, and listens again at the same address", async () => {
    const agent = agentFor(enclave, enclave.endpoint, true);
    assert.equal((await decrypt(agent)).status, 200);
    await enclave.kms.injectFault({ kind: "refuse" });
    await untilLost(agent);
    await assert.rejects(decrypt(agent), /ECONNREFUSED|refused/i);
    await enclave.kms.clearFaults();
    assert.equal((await decrypt(agent)).status, 200);
    agent.destroy();
  });

  test("a wrong certificate strikes new connections only", async () => {
    const agent = agentFor(enclave, enclave.endpoint, true);
    assert.equal((await decrypt(agent)).status, 200);
    await enclave.kms.injectFault({ kind: "certificate", certificate: "expired" });
    assert.equal((await decrypt(agent)).status, 200);
    await assert.rejects(decrypt());
    agent.destroy();
  });

  test("a wrong number of times is a RangeError", async () => {
    for (const times of [0, -1, 0.5, NaN]) {
      await assert.rejects(enclave.kms.injectFault({ kind: "hang" }, { times }), RangeError);
    }
  });
});

/** Waits until an agent knows that none of its connections is left: a request on one that has ended fails. */
function untilLost({ sockets, freeSockets }: Agent): Promise<void> {
  return until(() => [sockets, freeSockets].every((held) => Object.values(held).flat().length === 0));
}

/** Reads all bytes of one answer from the TLS connection itself. */
async function received(): Promise<string> {
  const { connect } = await import("node:tls");
  const { endpoint, hostName, trustedCertificates: ca } = enclave;
  if (endpoint.transport !== "tcp") throw new Error("not over TCP");
  return await new Promise((resolve, reject) => {
    const socket = connect({ host: endpoint.host, port: endpoint.port, servername: hostName, ca }, () => {
      socket.write(`POST / HTTP/1.1\r\nhost: ${hostName}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
    });
    let text = "";
    socket.on("data", (chunk: Uint8Array) => (text += new TextDecoder().decode(chunk)));
    socket.on("error", reject);
    socket.on("close", () => resolve(text));
  });
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
