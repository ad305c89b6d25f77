import assert from "node:assert/strict";
import { describe, test } from "#test";
import { Deadline } from "../../../lib/core/deadline.ts";
import type { KmsEngine } from "../../../lib/kms/engine.ts";
import * as operations from "../../../lib/kms/kms_operations.ts";
import type { DryRunRequests } from "../../../lib/kms/kms_operations.ts";

const BYTES = new Uint8Array([1, 2, 3]);

/** Every operation: what messages call it, what it takes, and which method of the engine it is. */
const OPERATIONS = {
  DECRYPT: ["decrypt", { ciphertext: BYTES }, "decrypt"],
  ENCRYPT: ["encrypt", { keyId: "a", plaintext: BYTES }, "encrypt"],
  GENERATE_DATA_KEY: ["generate a data key", { keyId: "a" }, "generateDataKey"],
  GENERATE_DATA_KEY_PAIR: [
    "generate a data key pair",
    { keyId: "a", keyPairSpec: "RSA_2048" },
    "generateDataKeyPair",
  ],
  GENERATE_RANDOM: ["generate random bytes", { numberOfBytes: 8 }, "generateRandom"],
  DERIVE_SHARED_SECRET: [
    "derive a shared secret",
    { keyId: "a", publicKey: BYTES },
    "deriveSharedSecret",
  ],
} as const;

interface AnyOperation {
  readonly what: string;
  check(request: object): { readonly dryRun?: boolean; readonly plaintext?: { readonly length: number } };
  run(engine: KmsEngine, request: object, deadline: Deadline): Promise<unknown>;
  release?(request: object): void;
}

/** An engine that answers with the method that was called, and with what. */
const engine = new Proxy({}, {
  get: (_, method) => (...args: unknown[]) => Promise.resolve([method, ...args]),
}) as KmsEngine;

describe("operations of a client", () => {
  for (const [name, [what, request, method]] of Object.entries(OPERATIONS)) {
    const operation = operations[name as keyof typeof OPERATIONS] as unknown as AnyOperation;

    test(`${name} checks its request, and has the engine do it`, async () => {
      using deadline = new Deadline("test", 1000);
      assert.equal(operation.what, what);
      const checked = operation.check(request);
      assert.notEqual(checked, request);
      assert.deepEqual(await operation.run(engine, checked, deadline), [method, checked, deadline]);
      assert.throws(() => operation.check({ ...request, unknown: 1 }), TypeError);
    });

    test(`${name} wipes what it copied, where that is secret`, () => {
      const checked = operation.check(request);
      assert.equal(checked.plaintext?.length, name === "ENCRYPT" ? 3 : undefined);
      operation.release?.(checked);
      assert.equal(checked.plaintext?.length, name === "ENCRYPT" ? 0 : undefined);
    });
  }
});

describe("dryRunOf()", () => {
  const names = ["decrypt", "encrypt", "generateDataKey", "generateDataKeyPair", "deriveSharedSecret"];

  for (const [what, request, method] of Object.values(OPERATIONS)) {
    if (method === "generateRandom") continue;

    test(`${method} is the operation, and says that it is a dry run`, async () => {
      using deadline = new Deadline("test", 1000);
      const operation = operations.dryRunOf(method as keyof DryRunRequests) as unknown as AnyOperation;
      assert.equal(operation.what, what);
      const checked = operation.check(request);
      assert.equal(checked.dryRun, true);
      assert.deepEqual(await operation.run(engine, checked, deadline), [method, checked, deadline]);
      operation.release?.(checked);
      assert.equal(checked.plaintext?.length, method === "encrypt" ? 0 : undefined);
    });
  }

  test("refuses every other name, those that objects inherit among them", () => {
    for (
      const name of ["generateRandom", "", "toString", "__proto__", "constructor", ["decrypt"], undefined, 7]
    ) {
      assert.throws(() => operations.dryRunOf(name as "decrypt"), {
        name: "TypeError",
        message: `operation must be one of ${names.join(", ")}`,
      });
    }
  });
});
