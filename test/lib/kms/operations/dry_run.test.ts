import assert from "node:assert/strict";
import { describe, test } from "#test";
import { KmsError, ProtocolError } from "../../../../lib/core/errors.ts";
import { SecretBytes } from "../../../../lib/core/secret_bytes.ts";
import {
  asDryRun,
  checkDryRunName,
  type DryRunName,
  expectWillingness,
} from "../../../../lib/kms/operations/dry_run.ts";
import { type OperationName, operationOf, OPERATIONS } from "../../../../lib/kms/operations/operations.ts";

const BYTES = new Uint8Array([1, 2, 3]);

/** Description for messages and smallest request of each operation, by its name. */
const REQUESTS = {
  decrypt: ["decrypt", { ciphertext: BYTES }],
  encrypt: ["encrypt", { keyId: "a", plaintext: BYTES }],
  generateDataKey: ["generate a data key", { keyId: "a" }],
  generateDataKeyPair: ["generate a data key pair", { keyId: "a", keyPairSpec: "RSA_2048" }],
  generateRandom: ["generate random bytes", { numberOfBytes: 8 }],
  deriveSharedSecret: ["derive a shared secret", { keyId: "a", publicKey: BYTES }],
  generateMac: ["generate a MAC", { keyId: "a", message: BYTES, macAlgorithm: "HMAC_SHA_256" }],
  verifyMac: ["verify a MAC", { keyId: "a", message: BYTES, macAlgorithm: "HMAC_SHA_256", mac: BYTES }],
  sign: ["sign", { keyId: "a", message: BYTES, signingAlgorithm: "ECDSA_SHA_256" }],
  verify: [
    "verify a signature",
    { keyId: "a", message: BYTES, signingAlgorithm: "ECDSA_SHA_256", signature: BYTES },
  ],
  getPublicKey: ["get a public key", { keyId: "a" }],
} as const;

const DRY_RUNS = [
  "decrypt",
  "encrypt",
  "generateDataKey",
  "generateDataKeyPair",
  "deriveSharedSecret",
  "generateMac",
  "verifyMac",
  "sign",
  "verify",
];

interface AnyOperation {
  readonly what: string;
  check(request: object): { readonly dryRun?: boolean; readonly plaintext?: { readonly length: number } };
  release?(checked: object): void;
}

const operationFor = (name: OperationName) => operationOf(name) as unknown as AnyOperation;

test("every operation is in the cases below", () => {
  assert.deepEqual(Object.keys(REQUESTS), Object.keys(OPERATIONS));
});

describe("operations", () => {
  for (const [name, [what, request]] of Object.entries(REQUESTS)) {
    const operation = operationFor(name as OperationName);

    test(`${name} checks its request`, () => {
      assert.equal(operation.what, what);
      assert.notEqual(operation.check(request), request);
      assert.throws(() => operation.check({ ...request, unknown: 1 }), TypeError);
    });

    test(`${name} wipes what it copied, where that is secret`, () => {
      const checked = operation.check(request);
      assert.equal(checked.plaintext?.length, name === "encrypt" ? 3 : undefined);
      operation.release?.(checked);
      assert.equal(checked.plaintext?.length, name === "encrypt" ? 0 : undefined);
    });
  }
});

describe("a dry run", () => {
  for (const name of DRY_RUNS as readonly DryRunName[]) {
    test(`of ${name} is its request, and says that it is a dry run`, () => {
      assert.equal(checkDryRunName(name), name);
      const operation = operationFor(name);
      const request = operation.check(REQUESTS[name][1]);
      const dryRun = asDryRun(request as never) as typeof request;
      assert.deepEqual([request.dryRun, dryRun], [false, { ...request, dryRun: true }]);
      operation.release?.(dryRun);
      assert.equal(request.plaintext?.length, name === "encrypt" ? 0 : undefined);
    });
  }

  test("has no other name, those that objects inherit among them", () => {
    for (
      const name of [
        "generateRandom",
        "getPublicKey",
        "",
        "toString",
        "__proto__",
        "constructor",
        ["decrypt"],
        undefined,
        7,
      ]
    ) {
      assert.throws(() => checkDryRunName(name), {
        name: "TypeError",
        message: `operation must be one of ${DRY_RUNS.join(", ")}`,
      });
    }
  });
});

describe("expectWillingness()", () => {
  const refusal = (kmsCode: string) =>
    new KmsError("Cannot decrypt", {
      ...{ hint: "h", kmsCode, requestId: undefined, httpStatus: 400, retryable: false },
      credentialsRefused: false,
    });

  test("is content when KMS says that it would, and passes on every other refusal", async () => {
    await expectWillingness("decrypt", Promise.reject(refusal("DryRunOperationException")));
    const denied = refusal("AccessDeniedException");
    await assert.rejects(expectWillingness("decrypt", Promise.reject(denied)), denied);
    const other = new Error("DryRunOperationException");
    await assert.rejects(expectWillingness("decrypt", Promise.reject(other)), other);
  });

  test("trusts no answer, and wipes it", async () => {
    const secret = new SecretBytes(new Uint8Array([1, 2]));
    for (const answer of [secret, { ciphertext: BYTES }, undefined]) {
      await assert.rejects(expectWillingness("decrypt", Promise.resolve(answer)), (error) => {
        assert.ok(error instanceof ProtocolError);
        assert.equal(error.message, "Cannot trust the dry run: KMS did decrypt all the same");
        return true;
      });
    }
    assert.equal(secret.length, 0);
  });
});
