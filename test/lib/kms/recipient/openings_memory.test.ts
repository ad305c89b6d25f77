import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createCipheriv, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, test } from "#test";
import { findLibcrypto } from "../../../../lib/native/libcrypto.ts";
import { disguiseBytes } from "../../../support/disguise.ts";
import { countInMemory } from "../../../support/memory_scan.ts";
import { encryptNumber, modulusOf, padOaep } from "../../../support/oaep.ts";
import type { SealedParts } from "../../../support/openings_messages.ts";
import { OpeningsProcess } from "../../../support/openings_process.ts";
import { findFactor, privateNumbers } from "../../../support/rsa_factors.ts";

const runtime = "Deno" in globalThis ? "Deno" : "Node";
const { libcrypto, reason } = findLibcrypto();

/** Bytes that are looked for, by name. */
type Needles = Record<string, Uint8Array>;

/** Something to open, and what must not be left of it. */
interface Sealed {
  readonly parts: SealedParts;
  readonly needles: Needles;
}

/** Faults of what is sealed. */
type Fault = "none" | "padding of the content" | "content key of 31 bytes" | "no OAEP";

const FAULTS: readonly Fault[] = ["none", "padding of the content", "content key of 31 bytes", "no OAEP"];
const LENGTHS: readonly number[] = [32, 48, 4096];

/** Seals one secret of each length to the key, as KMS does but for the fault. */
function sealAll(publicKey: Uint8Array, fault: Fault, withPadded: boolean): Sealed[] {
  return LENGTHS.map((length) => seal(publicKey, fault, length, withPadded));
}

function seal(publicKey: Uint8Array, fault: Fault, length: number, withPadded: boolean): Sealed {
  const [plaintext, aesKey, iv] = [length, 32, 16].map((bytes) => new Uint8Array(randomBytes(bytes))) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const contentKey = fault === "content key of 31 bytes" ? aesKey.subarray(1) : aesKey;
  const padded = padOaep(contentKey, fault === "no OAEP" ? { separator: 2 } : {});
  const cipher = createCipheriv("aes-256-cbc", aesKey, iv);
  if (fault === "padding of the content") {
    cipher.setAutoPadding(false);
    // No padding ends so; one that is left to chance would pass every 256th time.
    plaintext[length - 1] = 0;
  }
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const wrappedKey = encryptNumber(publicKey, padded);
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  return {
    parts: { wrappedKey: base64(wrappedKey), iv: base64(iv), ciphertext: base64(ciphertext) },
    needles: {
      "begin of the plaintext": plaintext.subarray(0, 16),
      "end of the plaintext": plaintext.subarray(-16),
      "content key": contentKey.subarray(0, 16),
      "end of the content key": contentKey.subarray(-15),
      ...withPadded ? { "padded content key": padded.subarray(64, 96), "seed": padded.subarray(1, 33) } : {},
    },
  };
}

/** Names the needles of many apart. */
function gather(sealed: readonly Sealed[]): Needles {
  return Object.fromEntries(
    sealed.flatMap(({ needles }, index) =>
      Object.entries(needles).map(([name, bytes]) => [`${name} of ${index}`, bytes])
    ),
  );
}

/** @returns Names of those that are in the process's memory */
function foundIn({ pid }: OpeningsProcess, needles: Needles): string[] {
  return Object.entries(countInMemory(pid, needles)).filter(([, count]) => count > 0).map(([name]) => name);
}

/** Both orders of the bytes of secret numbers: their begin and their end. */
function needlesOf(numbers: Readonly<Record<string, bigint>>): Needles {
  return Object.fromEntries(
    Object.entries(numbers).flatMap(([name, number]) => {
      const text = number.toString(16);
      const bytes = Buffer.from(text.padStart(text.length + text.length % 2, "0"), "hex");
      const reversed = Buffer.from(bytes).reverse();
      return [bytes.subarray(0, 24), bytes.subarray(-24), reversed.subarray(0, 24), reversed.subarray(-24)]
        .map((needle, index) => [`${name} ${index}`, new Uint8Array(needle)] as const);
    }),
  );
}

for (const provider of ["OpenSSL", "node:crypto"]) {
  const skip = provider === "OpenSSL" && libcrypto === undefined;
  describe.skipIf(skip)(
    `memory after openings with a key pair of ${provider}${skip ? ` (skipped: ${reason})` : ""}`,
    () => suite(provider),
  );
}

function suite(provider: string): void {
  const isOpenssl = provider === "OpenSSL";
  // Deno's own frees the content key as it is, and the last block of what has a wrong padding.
  const leavesMuch = !isOpenssl && runtime === "Deno";
  let process: OpeningsProcess;
  let publicKey: Uint8Array;
  const asked: Sealed[] = [];

  beforeAll(async () => {
    process = new OpeningsProcess(runtime);
    publicKey = await makeIn(process);
  });
  afterAll(() => process[Symbol.dispose]());

  async function makeIn(opening: OpeningsProcess): Promise<Uint8Array> {
    const [spki = ""] = await opening.tell({ does: "make", provider });
    return new Uint8Array(Buffer.from(spki, "base64"));
  }

  const ways = isOpenssl ? [false, true] : [false];
  for (const elsewhere of ways) {
    for (const fault of leavesMuch ? FAULTS.slice(0, 1) : FAULTS) {
      const outcome = fault === "none" ? "it opens" : `it has a fault: ${fault}`;
      test(`nothing is left on ${elsewhere ? "another" : "this"} thread when ${outcome}`, async () => {
        const sealed = [1, 2, 3].flatMap(() => sealAll(publicKey, fault, isOpenssl));
        asked.push(...sealed);
        const answers = await process.tell({
          does: "open",
          parts: sealed.map(({ parts }) => parts),
          elsewhere,
        });
        const expected = LENGTHS.map((length) => fault === "none" ? `opened ${length}` : "ERR_PROTOCOL");
        assert.deepEqual(answers, [...expected, ...expected, ...expected]);
        const needles = Object.entries(gather(sealed)).filter(([name]) =>
          !leavesMuch || name.includes("plaintext")
        );
        assert.deepEqual(foundIn(process, Object.fromEntries(needles)), []);
      });
    }
  }

  test("the search finds what is kept on purpose", async () => {
    using keeping = new OpeningsProcess(runtime);
    const needles = gather(sealAll(await makeIn(keeping), "none", true));
    await keeping.tell({ does: "keep", disguised: Object.values(needles).map(disguiseBytes) });
    assert.deepEqual(foundIn(keeping, needles), Object.keys(needles));
  });

  // node:crypto leaves a prime on its heap, until it is written over.
  if (!isOpenssl) return;

  test("nothing is left of calls that nobody waits for, whose key pair is destroyed meanwhile", async () => {
    using abandoning = new OpeningsProcess(runtime);
    const own = await makeIn(abandoning);
    const sealed = [1, 2, 3].flatMap(() => sealAll(own, "none", true));
    const answers = await abandoning.tell({ does: "abandon", parts: sealed.map(({ parts }) => parts) });
    assert.deepEqual(new Set(answers), new Set(LENGTHS.map((length) => `opened ${length}`)));
    assert.deepEqual(foundIn(abandoning, gather(sealed)), []);
  });

  test("no private number and nothing of all this is left when the key pair was destroyed", async () => {
    const modulus = modulusOf(publicKey);
    const factor = findFactor(process.pid, modulus);
    assert.ok(factor !== undefined, "the search finds a factor while the key pair lives");
    const numbers = needlesOf(privateNumbers(modulus, factor));
    assert.ok(foundIn(process, numbers).length >= 4, "and other private numbers");
    await process.tell({ does: "dispose" });
    assert.equal(findFactor(process.pid, modulus), undefined);
    assert.deepEqual(foundIn(process, { ...numbers, ...gather(asked) }), []);
  });
}
