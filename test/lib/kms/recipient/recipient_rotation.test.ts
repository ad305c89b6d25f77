import assert from "node:assert/strict";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, test } from "#test";
import { Deadline } from "../../../../lib/core/deadline.ts";
import type { Recipient } from "../../../../lib/kms/recipient/recipient.ts";
import { RecipientRotation } from "../../../../lib/kms/recipient/recipient_rotation.ts";
import { DisposedError } from "../../../../lib/core/errors.ts";
import { SecretBytes } from "../../../../lib/core/secret_bytes.ts";

/** Its documents and what it opens are its number. */
class NumberedRecipient implements Recipient {
  readonly number: number;
  openElsewhere: Recipient["openElsewhere"];
  disposed = 0;
  asked = 0;
  constructor(number: number) {
    this.number = number;
  }
  attestationDocument(): Promise<Uint8Array> {
    this.asked++;
    return Promise.resolve(new Uint8Array([this.number]));
  }
  open(): SecretBytes {
    return SecretBytes.copyOf(new Uint8Array([this.number]));
  }
  [Symbol.dispose](): void {
    this.disposed++;
  }
}

describe("RecipientRotation", () => {
  let first: NumberedRecipient;
  let making: PromiseWithResolvers<Recipient>[];
  let disposals: string[];

  beforeEach(() => {
    first = new NumberedRecipient(0);
    making = [];
    disposals = [];
  });

  function rotate(
    keyPairMaxUses: number,
    keyPairMaxAgeMs?: number,
    attestationMaxAgeMs = 1000,
  ): RecipientRotation {
    return new RecipientRotation({
      recipient: first,
      makeRecipient: () => {
        making.push(Promise.withResolvers<Recipient>());
        return making.at(-1)!.promise;
      },
      shared: { [Symbol.dispose]: () => void disposals.push(`shared after ${first.disposed}`) },
      keyPairMaxUses,
      keyPairMaxAgeMs,
      attestationMaxAgeMs,
    });
  }

  async function use(rotation: RecipientRotation): Promise<number | undefined> {
    using lease = rotation.take();
    using deadline = new Deadline("test", 60_000);
    return (await lease.document(deadline))[0];
  }

  test("makes the next key pair after so many uses, while the old one serves", async () => {
    using rotation = rotate(2);
    assert.deepEqual([await use(rotation), await use(rotation), making.length], [0, 0, 0]);
    assert.deepEqual([await use(rotation), await use(rotation), making.length], [0, 0, 1]);
    making[0]?.resolve(new NumberedRecipient(1));
    await turn();
    assert.deepEqual([await use(rotation), making.length, first.disposed], [1, 1, 1]);
  });

  test("makes the next key pair after so long", async () => {
    using rotation = rotate(100, 10_000);
    const { now } = performance;
    assert.deepEqual([await use(rotation), making.length], [0, 0]);
    performance.now = () => now.call(performance) + 10_000;
    try {
      await use(rotation);
      assert.equal(making.length, 1);
    } finally {
      performance.now = now;
    }
    making[0]?.resolve(new NumberedRecipient(1));
    await turn();
    assert.equal(await use(rotation), 1);
  });

  test("opens with the key pair whose document was sent, and disposes it after the last such call", async () => {
    using rotation = rotate(1);
    using deadline = new Deadline("test", 60_000);
    const [one, two] = [rotation.take(), rotation.take()];
    await one.document(deadline);
    await use(rotation);
    making[0]?.resolve(new NumberedRecipient(1));
    await turn();
    assert.equal(await use(rotation), 1);
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    assert.equal(first.disposed, 0);
    using opened = two.open(new Uint8Array());
    assert.equal(opened.bytes[0], 0);
    two[Symbol.dispose]();
    assert.equal(first.disposed, 1);
  });

  test("opens on another thread only while another call has the same recipient", () => {
    first.openElsewhere = () => Promise.resolve(new SecretBytes(new Uint8Array([9])));
    using rotation = rotate(1000);
    using one = rotation.take();
    assert.equal(one.openElsewhere, undefined);
    const two = rotation.take();
    assert.equal(one.openElsewhere, first.openElsewhere);
    assert.equal(two.openElsewhere, first.openElsewhere);
    two[Symbol.dispose]();
    assert.equal(one.openElsewhere, undefined);
  });

  test("goes on with the old key pair when there can be no other, and does not try at every use", async () => {
    using rotation = rotate(1);
    await use(rotation);
    await use(rotation);
    making[0]?.reject(new Error("no entropy"));
    await turn();
    assert.deepEqual([await use(rotation), await use(rotation), making.length], [0, 0, 1]);
    const { now } = performance;
    performance.now = () => now.call(performance) + 60_001;
    try {
      await use(rotation);
    } finally {
      performance.now = now;
    }
    assert.deepEqual([making.length, first.disposed], [2, 0]);
  });

  test("disposes all, and then what they share, and what is made too late", async () => {
    const rotation = rotate(1);
    const lease = rotation.take();
    await use(rotation);
    await use(rotation);
    const second = new NumberedRecipient(1);
    making[0]?.resolve(second);
    await turn();
    await use(rotation);
    await use(rotation);
    assert.equal(making.length, 2);
    rotation[Symbol.dispose]();
    rotation[Symbol.dispose]();
    assert.deepEqual([first.disposed, second.disposed, disposals], [1, 1, ["shared after 1"]]);
    lease[Symbol.dispose]();
    assert.equal(first.disposed, 1);
    assert.throws(
      () => rotation.take(),
      (error) => error instanceof DisposedError && /KmsClient/.test(error.message),
    );
    const late = new NumberedRecipient(2);
    making[1]?.resolve(late);
    await turn();
    assert.equal(late.disposed, 1);
  });

  test("asks for documents ahead of time, but not for a key pair that is replaced or disposed", async () => {
    const rotation = rotate(1, undefined, 200);
    await use(rotation);
    while (first.asked < 2) await sleep(5);
    using _lease = rotation.take();
    const second = new NumberedRecipient(1);
    making[0]?.resolve(second);
    await turn();
    const { asked } = first;
    while (second.asked < 2) await sleep(5);
    assert.deepEqual([first.asked, first.disposed], [asked, 0]);
    rotation[Symbol.dispose]();
    const afterwards = second.asked;
    await sleep(400);
    assert.deepEqual([first.asked, second.asked], [asked, afterwards]);
  });
});
