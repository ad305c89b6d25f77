import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setImmediate as turn } from "node:timers/promises";
import { beforeEach, describe, test } from "#test";
import { CredentialsSource } from "../../../../lib/aws/credentials_source.ts";
import { Deadline } from "../../../../lib/core/deadline.ts";
import { encodeBase64 } from "../../../../lib/core/encoding.ts";
import { DisposedError, ProtocolError, TimeoutError } from "../../../../lib/core/errors.ts";
import { SecretBytes } from "../../../../lib/core/secret_bytes.ts";
import { HttpsEngine } from "../../../../lib/kms/https/https_engine.ts";
import { envelopeError } from "../../../../lib/kms/recipient/read_envelope.ts";
import type { Recipient } from "../../../../lib/kms/recipient/recipient.ts";
import { connectionTo, HOST, serveTls, type TestServer } from "./servers.ts";

const ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234";
const ENVELOPE = new Uint8Array([1, 2, 3]);
const REQUEST = {
  ciphertext: new Uint8Array([9]),
  keyId: undefined,
  encryptionAlgorithm: undefined,
  encryptionContext: undefined,
  grantTokens: undefined,
  dryRun: false,
};

/** Opens on this thread at once, and elsewhere when the test says so. */
class TwoWayRecipient implements Recipient {
  readonly openedHere: Uint8Array[] = [];
  readonly openings: PromiseWithResolvers<SecretBytes>[] = [];
  attestationDocument(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array([5]));
  }
  open(envelope: Uint8Array): SecretBytes {
    this.openedHere.push(envelope);
    return SecretBytes.copyOf(envelope);
  }
  readonly openElsewhere = (envelope: Uint8Array): Promise<SecretBytes> => {
    assert.deepEqual(envelope, ENVELOPE);
    const opening = Promise.withResolvers<SecretBytes>();
    this.openings.push(opening);
    return opening.promise;
  };
  [Symbol.dispose](): void {}
}

/** Answers every request with the envelope, once `expected` of them are there. */
function serveTogether(expected: number): Promise<TestServer> {
  const waiting: ServerResponse[] = [];
  return serveTls((request: IncomingMessage, response: ServerResponse) => {
    request.resume().on("end", () => {
      if (waiting.push(response) < expected) return;
      const body = JSON.stringify({ KeyId: ARN, CiphertextForRecipient: encodeBase64(ENVELOPE) });
      for (const each of waiting.splice(0)) each.end(body);
    });
  });
}

describe("HttpsEngine opens on other threads", () => {
  let recipient: TwoWayRecipient;

  beforeEach(() => {
    recipient = new TwoWayRecipient();
  });

  function engineFor(server: TestServer): HttpsEngine {
    return new HttpsEngine({
      name: "direct",
      region: "eu-central-1",
      hostName: HOST,
      credentials: new CredentialsSource({ accessKeyId: "AKIA", secretAccessKey: "secret" }),
      connection: connectionTo(server),
      recipient,
      maxAttempts: 1,
      attestationMaxAgeMs: 60_000,
    });
  }

  /** Waits until so many openings have begun. */
  async function begun(count: number): Promise<void> {
    while (recipient.openings.length < count) await turn();
  }

  test("when more than one call is in flight, and not when one is alone", async () => {
    await using server = await serveTogether(2);
    await using engine = engineFor(server);
    using deadline = new Deadline("decrypt", 60_000);
    const calls = [1, 2].map(() => engine.run("decrypt", REQUEST, { deadline }));
    await begun(2);
    assert.equal(recipient.openedHere.length, 0);
    for (const [index, { resolve }] of recipient.openings.entries()) {
      resolve(new SecretBytes(new Uint8Array([index])));
    }
    assert.deepEqual((await Promise.all(calls)).map(({ bytes }) => bytes[0]).sort(), [0, 1]);

    await using lonely = await serveTogether(1);
    await using other = engineFor(lonely);
    using plaintext = await other.run("decrypt", REQUEST, { deadline });
    assert.deepEqual([plaintext.bytes, recipient.openings.length], [ENVELOPE, 2]);
  });

  test("and passes on the error of an envelope that does not open", async () => {
    await using server = await serveTogether(2);
    await using engine = engineFor(server);
    using deadline = new Deadline("decrypt", 60_000);
    const calls = [1, 2].map(() =>
      assert.rejects(engine.run("decrypt", REQUEST, { deadline }), ProtocolError)
    );
    await begun(2);
    for (const { reject } of recipient.openings) reject(envelopeError());
    await Promise.all(calls);
  });

  test("and gives up at the deadline, and wipes what is opened after it", async () => {
    await using server = await serveTogether(2);
    await using engine = engineFor(server);
    using deadline = new Deadline("decrypt", 60_000);
    const caller = new AbortController();
    using other = new Deadline("decrypt", 60_000, caller.signal);
    const patient = engine.run("decrypt", REQUEST, { deadline });
    const abandoned = engine.run("decrypt", REQUEST, { deadline: other });
    await begun(2);
    caller.abort(new TimeoutError("Cannot decrypt: given up", { hint: "none", stage: "process" }));
    await assert.rejects(abandoned, TimeoutError);
    const secrets = recipient.openings.map(({ resolve }, index) => {
      const secret = new SecretBytes(new Uint8Array([index + 1]));
      resolve(secret);
      return secret;
    });
    using plaintext = await patient;
    await turn();
    assert.deepEqual(secrets.map(({ length }) => length).sort(), [0, 1]);
    assert.equal(plaintext.length, 1);
  });

  test("and fails when the client is closed meanwhile, and wipes what was opened", async () => {
    await using server = await serveTogether(2);
    const engine = engineFor(server);
    using deadline = new Deadline("decrypt", 60_000);
    const calls = [1, 2].map(() =>
      assert.rejects(engine.run("decrypt", REQUEST, { deadline }), DisposedError)
    );
    await begun(2);
    await engine[Symbol.asyncDispose]();
    const secrets = recipient.openings.map(({ resolve }) => {
      const secret = new SecretBytes(new Uint8Array([7]));
      resolve(secret);
      return secret;
    });
    await Promise.all(calls);
    await turn();
    assert.deepEqual(secrets.map(({ length }) => length), [0, 0]);
  });
});
