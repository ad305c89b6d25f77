import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, hash } from "node:crypto";
import { afterAll, beforeAll, describe, test } from "#test";
import { Deadline } from "../../lib/core/deadline.ts";
import { decodeBase64, encodeBase64 } from "../../lib/core/encoding.ts";
import { OPERATIONS } from "../../lib/kms/operations/operations.ts";
import { type SeamCounts, Seams } from "../support/seams.ts";
import { ENCRYPTION_CONTEXT, Fixture, PLAINTEXT } from "./fixture.ts";
import { exchangeMessages, Serving } from "./serving.ts";

/** Counts of a request whose bytes are decoded, judged and sent. */
const ONCE = { decodes: 1, copies: 0, encodes: 1, bodyDigests: 1, checks: 1, deadlines: 1 };

describe("a request is parsed once", () => {
  let fixture: Fixture;

  beforeAll(async () => {
    fixture = await Fixture.start();
    await fixture.setCredentials();
    // The key pair, the attestation document and the connection are there when a request is counted.
    assert.equal((await fixture.call("/v1/decrypt", fixture.decryptBody)).status, 200);
  });
  afterAll(() => fixture[Symbol.asyncDispose]());

  const ciphertext = () => Buffer.from(fixture.ciphertext, "base64");

  function expectOnce({ memories, ...counts }: SeamCounts, digests: number): void {
    assert.deepEqual(counts, { ...ONCE, digests });
    assert.equal(memories.size, 1, "the bytes that were decoded are those that are judged and sent");
  }

  test("a decrypt over HTTP, whose log has the digest that the policy judged", async () => {
    using seams = new Seams(ciphertext());
    assert.equal((await fixture.call("/v1/decrypt", fixture.decryptBody)).status, 200);
    expectOnce(seams.counts, 1);
    assert.equal(fixture.lastLine["ciphertextSha256"], hash("sha256", ciphertext()));
  });

  test("a decrypt with everything", async () => {
    const body = { ...fixture.decryptBody, keyId: fixture.keyId, encryptionAlgorithm: "SYMMETRIC_DEFAULT" };
    using seams = new Seams(ciphertext());
    const answer = await fixture.call("/v1/decrypt", { ...body, dryRun: true });
    assert.equal(answer.status, 204);
    expectOnce(seams.counts, 1);
  });

  test("a decrypt over kmstool", async () => {
    await using serving = new Serving(fixture);
    const endpoint = await serving.listen("kmstool");
    const { accessKeyId, secretAccessKey, sessionToken } = fixture.simulator.credentials;
    const keys = { AwsAccessKeyId: accessKeyId, AwsSecretAccessKey: secretAccessKey };
    const setClient = { Operation: "SetClient", ...keys, AwsSessionToken: sessionToken };
    const region = { AwsRegion: fixture.simulator.region };
    const decrypt = { Operation: "Decrypt", Ciphertext: fixture.ciphertext };
    const messages = [{ ...setClient, ...region }, { ...decrypt, EncryptionContext: ENCRYPTION_CONTEXT }];
    using seams = new Seams(ciphertext());
    const text = messages.map((message) => `${JSON.stringify(message)}\0`).join("");
    const replies = await exchangeMessages(endpoint, text, 2);
    assert.deepEqual(replies[1], { Status: "Ok", Message: Buffer.from(PLAINTEXT).toString("base64") });
    expectOnce(seams.counts, 1);
  });

  test("an encrypt over HTTP", async () => {
    const plaintext = Buffer.from("retreat at dusk, tenant red, and nobody is to be woken");
    using seams = new Seams(plaintext);
    const body = { keyId: fixture.keyId, plaintext: plaintext.toString("base64") };
    const before = { ...seams.counts };
    const answer = await fixture.call("/v1/encrypt", body);
    assert.equal(answer.status, 200);
    const { memories, ...counts } = seams.counts;
    assert.equal(before.encodes, 1, "the test's own");
    assert.deepEqual(counts, { ...ONCE, encodes: 1 + before.encodes, digests: 0 });
    assert.equal(memories.size, 2, "the test's, and the one that was decoded and sent");
    assert.ok([...memories].some((memory) => new Uint8Array(memory).every((byte) => byte === 0)), "wiped");
  });

  test("as the counters see it: one that does something once more is found", async () => {
    const bytes = Buffer.from("some bytes that nobody else has");
    const base64 = encodeBase64(bytes);
    const again: readonly (readonly [Exclude<keyof SeamCounts, "memories">, () => unknown])[] = [
      ["decodes", () => decodeBase64(base64)],
      ["decodes", () => Buffer.from(base64, "base64")],
      ["copies", () => new Uint8Array(bytes.length).set(bytes)],
      ["copies", () => Buffer.from(bytes)],
      ["copies", () => Buffer.concat([bytes])],
      ["copies", () => Uint8Array.prototype.slice.call(bytes)],
      ["encodes", () => encodeBase64(bytes)],
      ["digests", () => hash("sha256", bytes)],
      ["digests", () => createHash("sha256").update(bytes).digest()],
      ["bodyDigests", () => createHash("sha256").update(new TextEncoder().encode(`{"${base64}"}`)).digest()],
      ["bodyDigests", () => hash("sha256", `{"${base64}"}`)],
      ["checks", () => OPERATIONS.decrypt.check({ ciphertext: new Uint8Array(1) })],
      ["deadlines", () => new Deadline("test", 1000)[Symbol.dispose]()],
    ];
    for (const [name, work] of again) {
      using seams = new Seams(bytes);
      await work();
      const { memories: _, [name]: counted, ...others } = seams.counts;
      // A runtime may copy by another method that counts.
      assert.ok(counted >= 1, name);
      assert.deepEqual(Object.values(others).filter((count) => count !== 0), [], name);
    }
  });
});
