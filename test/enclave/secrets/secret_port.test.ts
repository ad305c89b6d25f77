import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "#test";
import { SecretPort } from "../../../enclave/secrets/secret_port.ts";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { encodeSecretFrame } from "../../../lib/wire/secret_frame.ts";
import type { SecretReceipt } from "../../../lib/wire/secret_receipt.ts";
import { until } from "../../support/until.ts";

const RECEIPT: SecretReceipt = { ok: true, name: "a", sha256: "00".repeat(32) };

describe("SecretPort", () => {
  test("reads nothing behind a frame while that is opened, and wipes it afterwards", async () => {
    const taking = Promise.withResolvers<SecretReceipt>();
    let takenCount = 0;
    const port = new SecretPort({
      name: "a",
      maxBytes: 1024,
      timeoutMs: 60_000,
      take: () => {
        takenCount++;
        return taking.promise;
      },
      logger: createLogger("silent"),
    });
    const answers: Uint8Array[] = [];
    let readCount = 0;
    const stream = new Duplex({
      read: () => void readCount++,
      write: (chunk, _encoding, done) => {
        answers.push(chunk as Uint8Array);
        done();
      },
    });
    port.accept(stream);
    stream.push(encodeSecretFrame(Uint8Array.of(1, 2, 3)));
    await until(() => takenCount === 1);
    const behind = Array.from({ length: 8 }, () => new Uint8Array(65_536).fill(7));
    for (const chunk of behind) stream.push(chunk);
    await sleep(10);
    assert.equal(stream.readableLength, 8 * 65_536, "a sender without end is held up, and costs nothing");
    taking.resolve(RECEIPT);
    await until(() => behind.every((chunk) => chunk.every((byte) => byte === 0)));
    assert.deepEqual(JSON.parse(new TextDecoder().decode(answers[0])), RECEIPT);
    stream.destroy();
    await port.close(0);
  });
});
