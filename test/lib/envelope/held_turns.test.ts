import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { afterEach, beforeEach, describe, test } from "#test";
import { chooseGcm } from "../../../lib/envelope/choose_gcm.ts";
import { decryptStream } from "../../../lib/envelope/mod.ts";
import { MessageCipher } from "../../../lib/envelope/message_cipher.ts";
import { FakeKms, KEY_ARN } from "./fake_kms.ts";
import { encrypt, streamOf } from "./streams.ts";

const LENGTH = 12 * 1_048_576;
/** Most bytes of one turn, and of one that another test has begun. */
const MOST_IN_TURN = 2 * 9 * (chooseGcm().bytesAtOnce + 65_536);
const message = await encrypt(new Uint8Array(LENGTH), { frameBytes: 1024, signed: true });

describe("the plaintext of a signed message, while it is held,", () => {
  const open = MessageCipher.prototype.open;
  let opened = 0;

  beforeEach(() => {
    opened = 0;
    MessageCipher.prototype.open = function (...frame) {
      open.apply(this, frame);
      opened += frame[3].length;
    };
  });
  afterEach(() => {
    MessageCipher.prototype.open = open;
  });

  test("is opened in many turns of the event loop, however much is there", async () => {
    let [before, isOver] = [0, false];
    const inTurn: number[] = [];
    const tick = () => {
      inTurn.push(opened - before);
      before = opened;
      if (!isOver) setImmediate(tick);
    };
    setImmediate(tick);
    let length = 0;
    for await (const piece of stream()) length += piece.length;
    isOver = true;
    inTurn.push(opened - before);
    assert.equal(length, LENGTH);
    assert.ok(Math.max(...inTurn) <= MOST_IN_TURN, `${inTurn}`);
  });

  test("is not opened any further once the output is cancelled", async () => {
    const reader = stream().getReader();
    const read = reader.read();
    while (opened === 0) await turn();
    await reader.cancel();
    assert.equal((await read).done, true);
    for (let turns = 0; turns < 20; turns++) await turn();
    assert.ok(opened <= 2 * MOST_IN_TURN && opened < LENGTH, `${opened}`);
  });

  function stream(): ReadableStream<Uint8Array> {
    return streamOf(message).pipeThrough(decryptStream(new FakeKms(), { keyId: KEY_ARN }));
  }
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
