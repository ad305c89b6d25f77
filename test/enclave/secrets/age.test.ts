import assert from "node:assert/strict";
import { describe, test } from "#test";
import { importAgeIdentity, openAgeFile } from "../../../enclave/secrets/age_file.ts";
import {
  checkAgeHeader,
  MAX_AGE_HEADER_BYTES,
  MAX_AGE_STANZAS,
} from "../../../enclave/secrets/age_header.ts";
import { concatBytes } from "../../../lib/core/bytes.ts";
import { encryptWithAge, makeAgePair, SECRET } from "./secrets_lab.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const VERSION = "age-encryption.org/v1\n";
const STANZA = `-> X25519 ${"A".repeat(43)}\n${"B".repeat(43)}\n`;
const MAC = `--- ${"C".repeat(43)}\n`;

describe("checkAgeHeader()", () => {
  test("finds the end of a header, up to 20 recipients", () => {
    for (const count of [1, 2, MAX_AGE_STANZAS]) {
      const header = `${VERSION}${STANZA.repeat(count)}${MAC}`;
      assert.equal(checkAgeHeader(concatBytes([utf8(header), utf8("payload\n--- more\n")])), header.length);
    }
  });

  test("refuses a header of 1000 stanzas without parsing it, and one that never ends", () => {
    const many = utf8(`${VERSION}${STANZA.repeat(1000)}${MAC}`);
    assert.throws(() => checkAgeHeader(many), {
      code: "ERR_SECRET_OPEN",
      message: /more than 20 recipients/,
    });
    const grease = `-> ${"x".repeat(MAX_AGE_HEADER_BYTES)}\n`;
    for (
      const text of [`${VERSION}${grease}${MAC}`, `${VERSION}${STANZA}`, `${VERSION}${STANZA}---`, VERSION]
    ) {
      assert.throws(() => checkAgeHeader(utf8(text)), {
        code: "ERR_SECRET_OPEN",
        message: /does not end within/,
      });
    }
  });

  test("refuses what is no age file, and a header for nobody", () => {
    for (const text of ["", "age", "age-encryption.org/v2\n", "-----BEGIN AGE ENCRYPTED FILE-----\n", "{}"]) {
      assert.throws(() => checkAgeHeader(utf8(text)), { code: "ERR_SECRET_OPEN", message: /no age file/ });
    }
    const nobody = utf8(`${VERSION}${MAC}`);
    assert.throws(() => checkAgeHeader(nobody), { code: "ERR_SECRET_OPEN", message: /names no recipient/ });
  });
});

describe("importAgeIdentity()", () => {
  test("imports a key that cannot be exported, of the pinned recipient alone", async () => {
    const [pair, other] = [await makeAgePair(), await makeAgePair()];
    const key = await importAgeIdentity(utf8(`# comment\n\n${pair.identity}\r\n`), pair.recipient);
    assert.deepEqual([key.type, key.extractable, [...key.usages]], ["private", false, ["deriveBits"]]);
    await importAgeIdentity(utf8(other.identity), null);
    await assert.rejects(importAgeIdentity(utf8(other.identity), pair.recipient), {
      code: "ERR_SECRET_RECIPIENT",
    });
  });

  test("refuses what is no identity, and repeats nothing of it", async () => {
    const { identity, recipient } = await makeAgePair();
    const changed = identity.slice(0, -1) + (identity.endsWith("Q") ? "P" : "Q");
    for (
      const text of [
        ...["", "\n", "# only a comment\n", changed, identity.toLowerCase(), `${identity}\n${identity}`],
        ...[`x${identity}`, identity.slice(0, -1), `AGE-SECRET-KEY-PQ-1${"Q".repeat(58)}`, recipient],
      ]
    ) {
      await assert.rejects(importAgeIdentity(utf8(text), recipient), (error: Error & { code?: string }) => {
        assert.equal(error.code, "ERR_SECRET_OPEN", text);
        return text.length < 40 || !`${error.message}${error.stack}`.includes(text.slice(20));
      });
    }
  });
});

describe("openAgeFile()", () => {
  test("opens a file whole, and none that was changed anywhere", async () => {
    const { identity, recipient } = await makeAgePair();
    const key = await importAgeIdentity(utf8(identity), recipient);
    const file = await encryptWithAge(SECRET, recipient);
    using opened = await openAgeFile(file, key);
    assert.deepEqual([...opened.bytes], [...SECRET]);
    for (let at = 0; at < file.length; at += 7) {
      const changed = file.map((byte, i) => i === at ? byte ^ 1 : byte);
      await assert.rejects(openAgeFile(changed, key), { code: "ERR_SECRET_OPEN" }, String(at));
    }
    await assert.rejects(openAgeFile(concatBytes([file, [0]]), key), { code: "ERR_SECRET_OPEN" });
  });
});
