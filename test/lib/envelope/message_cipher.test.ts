import assert from "node:assert/strict";
import { hkdfSync } from "node:crypto";
import { describe, test } from "#test";
import { MessageCipher } from "../../../lib/envelope/message_cipher.ts";
import { SecretBytes } from "../../../lib/core/secret_bytes.ts";
import { pattern } from "./streams.ts";

const MESSAGE_ID = pattern(32);

describe("MessageCipher", () => {
  test("commits to the data key and the message id, and not to the AES key", () => {
    using dataKey = SecretBytes.copyOf(pattern(32));
    using cipher = new MessageCipher(dataKey, MESSAGE_ID);
    const derived = (info: string) => new Uint8Array(hkdfSync("sha512", dataKey.bytes, MESSAGE_ID, info, 32));
    assert.deepEqual(cipher.commitment, derived("COMMITKEY"));
    assert.notDeepEqual(cipher.commitment, derived("\x04\x78DERIVEKEY"));
  });

  test("leaves the data key to its owner", () => {
    using dataKey = SecretBytes.copyOf(pattern(32));
    new MessageCipher(dataKey, MESSAGE_ID)[Symbol.dispose]();
    assert.deepEqual(dataKey.bytes, pattern(32));
  });

  test("has no key after dispose", () => {
    using dataKey = SecretBytes.copyOf(pattern(32));
    const cipher = new MessageCipher(dataKey, MESSAGE_ID);
    const sealed = new Uint8Array(5 + 16);
    cipher.seal(1, MESSAGE_ID, pattern(5), sealed);
    const opened = new Uint8Array(5);
    cipher.open(1, MESSAGE_ID, sealed, opened);
    assert.deepEqual(opened, pattern(5));
    cipher[Symbol.dispose]();
    cipher[Symbol.dispose]();
    assert.throws(() => cipher.open(1, MESSAGE_ID, sealed, opened), { code: "ERR_DISPOSED" });
    assert.throws(() => cipher.seal(1, MESSAGE_ID, pattern(5), sealed), { code: "ERR_DISPOSED" });
  });
});
