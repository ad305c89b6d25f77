import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setImmediate } from "node:timers";
import { beforeEach, describe, test } from "#test";
import type { Credentials, CredentialsProvider } from "../../../../lib/aws/credentials.ts";
import { CredentialsSource } from "../../../../lib/aws/credentials_source.ts";
import { Deadline } from "../../../../lib/core/deadline.ts";
import { decodeBase64, encodeBase64 } from "../../../../lib/core/encoding.ts";
import type { CheckedDecryptRequest } from "../../../../lib/kms/operations/decrypt.ts";
import type { Encrypted } from "../../../../lib/kms/operations/encrypt.ts";
import { HttpsEngine, type HttpsEngineOptions } from "../../../../lib/kms/https/https_engine.ts";
import type { KmsConnection } from "../../../../lib/kms/https/kms_connection.ts";
import type { Recipient } from "../../../../lib/kms/recipient/recipient.ts";
import {
  ConnectionError,
  CredentialsError,
  DisposedError,
  type KmsError,
  ProtocolError,
} from "../../../../lib/core/errors.ts";
import { SecretBytes } from "../../../../lib/core/secret_bytes.ts";
import { connectionTo, HOST, serveTls, type TestServer } from "./servers.ts";

const ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd";
const ENVELOPE = new Uint8Array([1, 2, 3]);
const GOOD = { KeyId: ARN, CiphertextForRecipient: encodeBase64(ENVELOPE) };
const REQUEST: CheckedDecryptRequest = {
  ciphertext: new Uint8Array([7, 7]),
  keyId: undefined,
  encryptionAlgorithm: undefined,
  encryptionContext: undefined,
  grantTokens: undefined,
  dryRun: false,
};

/** Its documents are the byte 5; it "opens" an envelope by returning it. */
class FakeRecipient implements Recipient {
  asked = 0;
  disposed = false;
  attestationDocument(): Promise<Uint8Array> {
    this.asked++;
    return Promise.resolve(new Uint8Array([5]));
  }
  open(envelope: Uint8Array): SecretBytes {
    return SecretBytes.copyOf(envelope);
  }
  [Symbol.dispose](): void {
    this.disposed = true;
  }
}

interface Received {
  readonly headers: IncomingMessage["headers"];
  readonly body: Record<string, unknown>;
}

type Answer = readonly [status: number, body: unknown, date?: string | undefined];

/** Gives the answers in turn, the last one for ever. */
class FakeKms {
  readonly received: Received[] = [];
  readonly #answers: Answer[];

  constructor(...answers: Answer[]) {
    this.#answers = answers;
  }

  readonly answer = (request: IncomingMessage, response: ServerResponse): void => {
    let text = "";
    request.on("data", (chunk) => (text += chunk));
    request.on("end", () => {
      this.received.push({ headers: request.headers, body: JSON.parse(text) });
      const [status, body, date] = this.#answers[this.received.length - 1] ?? this.#answers.at(-1)!;
      response.sendDate = false;
      response.writeHead(status, date === undefined ? {} : { date }).end(
        typeof body === "string" ? body : JSON.stringify(body),
      );
    });
  };
}

function isDisposed(error: unknown): boolean {
  assert.ok(error instanceof DisposedError, String(error));
  assert.match(error.message, /KmsClient|KmsConnection/);
  return true;
}

describe("HttpsEngine", () => {
  let recipient: FakeRecipient;

  beforeEach(() => {
    recipient = new FakeRecipient();
  });

  function engineFor(
    connection: KmsConnection,
    options: Partial<HttpsEngineOptions> = {},
    credentials: CredentialsProvider = {
      accessKeyId: "AKIA",
      secretAccessKey: "secret",
      sessionToken: "token",
    },
  ): HttpsEngine {
    return new HttpsEngine({
      name: "direct",
      region: "eu-central-1",
      hostName: HOST,
      credentials: new CredentialsSource(credentials),
      connection,
      recipient,
      maxAttempts: 3,
      attestationMaxAgeMs: 1000,
      ...options,
    });
  }

  async function decrypt(
    server: TestServer,
    request: Partial<CheckedDecryptRequest> = {},
  ): Promise<Uint8Array> {
    await using engine = engineFor(connectionTo(server));
    using deadline = new Deadline("decrypt", 60_000);
    using plaintext = await engine.run("decrypt", { ...REQUEST, ...request }, { deadline });
    return plaintext.bytes.slice();
  }

  test("sends a signed Decrypt with the attestation document, and opens the envelope", async () => {
    const kms = new FakeKms([200, GOOD]);
    await using server = await serveTls(kms.answer);
    await using engine = engineFor(connectionTo(server), { now: () => new Date("2026-11-05T12:00:00Z") });
    using deadline = new Deadline("decrypt", 60_000);
    using plaintext = await engine.run("decrypt", REQUEST, { deadline });
    assert.deepEqual(plaintext.bytes, ENVELOPE);
    const { headers, body } = kms.received[0]!;
    assert.equal(headers["x-amz-target"], "TrentService.Decrypt");
    assert.equal(headers["content-type"], "application/x-amz-json-1.1");
    assert.equal(headers["x-amz-date"], "20261105T120000Z");
    assert.equal(headers["x-amz-security-token"], "token");
    assert.match(
      headers.authorization ?? "",
      /^AWS4-HMAC-SHA256 Credential=AKIA\/20261105\/eu-central-1\/kms\/aws4_request, /,
    );
    assert.deepEqual(body, {
      CiphertextBlob: encodeBase64(REQUEST.ciphertext),
      Recipient: {
        AttestationDocument: encodeBase64(new Uint8Array([5])),
        KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
      },
    });
  });

  test("sends key id, algorithm and encryption context when there are any", async () => {
    const kms = new FakeKms([200, GOOD]);
    await using server = await serveTls(kms.answer);
    const encryptionContext = JSON.parse('{"tenant":"a","__proto__":"b"}');
    await decrypt(server, { keyId: ARN, encryptionAlgorithm: "SYMMETRIC_DEFAULT", encryptionContext });
    const { body } = kms.received[0]!;
    assert.deepEqual([body["KeyId"], body["EncryptionAlgorithm"]], [ARN, "SYMMETRIC_DEFAULT"]);
    assert.equal(JSON.stringify(body["EncryptionContext"]), JSON.stringify(encryptionContext));
    assert.deepEqual(decodeBase64(String(body["CiphertextBlob"])), REQUEST.ciphertext);
  });

  const COMMON = { keyId: ARN, encryptionContext: { tenant: "a" }, grantTokens: ["t"], dryRun: false };
  const SENT = { KeyId: ARN, EncryptionContext: { tenant: "a" }, GrantTokens: ["t"] };
  const BLOB = encodeBase64(new Uint8Array([9, 9]));

  /** Members that each of the other operations sends besides a Recipient. */
  const OPERATIONS: readonly {
    readonly name: string;
    readonly isAttested: boolean;
    readonly body: Record<string, unknown>;
    readonly answer: Record<string, unknown>;
    readonly call: (engine: HttpsEngine, deadline: Deadline) => Promise<Disposable | Encrypted>;
  }[] = [
    {
      name: "Encrypt",
      isAttested: false,
      body: {
        ...SENT,
        Plaintext: encodeBase64(new Uint8Array([1, 2, 3, 4])),
        EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
      },
      answer: { KeyId: ARN, CiphertextBlob: BLOB },
      call: (engine, deadline) => {
        const plaintext = new SecretBytes(new Uint8Array([1, 2, 3, 4]));
        return engine.run("encrypt", { ...COMMON, plaintext, encryptionAlgorithm: "SYMMETRIC_DEFAULT" }, {
          deadline,
        });
      },
    },
    {
      name: "GenerateDataKey",
      isAttested: true,
      body: { ...SENT, NumberOfBytes: 3 },
      answer: { ...GOOD, CiphertextBlob: BLOB },
      call: (engine, deadline) => engine.run("generateDataKey", { ...COMMON, length: 3 }, { deadline }),
    },
    {
      name: "GenerateDataKeyPair",
      isAttested: true,
      body: { ...SENT, KeyPairSpec: "ECC_NIST_P256" },
      answer: { ...GOOD, KeyPairSpec: "ECC_NIST_P256", PrivateKeyCiphertextBlob: BLOB, PublicKey: BLOB },
      call: (engine, deadline) =>
        engine.run("generateDataKeyPair", { ...COMMON, keyPairSpec: "ECC_NIST_P256" }, { deadline }),
    },
    {
      name: "GenerateRandom",
      isAttested: true,
      body: { NumberOfBytes: 3 },
      answer: { CiphertextForRecipient: GOOD.CiphertextForRecipient },
      call: (engine, deadline) => engine.run("generateRandom", { numberOfBytes: 3 }, { deadline }),
    },
    {
      name: "DeriveSharedSecret",
      isAttested: true,
      body: { KeyId: ARN, GrantTokens: ["t"], KeyAgreementAlgorithm: "ECDH", PublicKey: BLOB },
      answer: { ...GOOD, KeyAgreementAlgorithm: "ECDH" },
      call: (engine, deadline) => {
        const publicKey = new Uint8Array([9, 9]);
        return engine.run("deriveSharedSecret", { ...COMMON, keyAgreementAlgorithm: "ECDH", publicKey }, {
          deadline,
        });
      },
    },
  ];

  for (const { name, isAttested, body, answer, call } of OPERATIONS) {
    test(`sends ${name}, ${isAttested ? "with" : "without"} a document`, async () => {
      const kms = new FakeKms([200, answer]);
      await using server = await serveTls(kms.answer);
      await using engine = engineFor(connectionTo(server));
      using deadline = new Deadline(name, 60_000);
      const result = await call(engine, deadline);
      if (Symbol.dispose in result) result[Symbol.dispose]();
      const [received] = kms.received;
      assert.equal(received?.headers["x-amz-target"], `TrentService.${name}`);
      const { Recipient, ...members } = received?.body ?? {};
      assert.deepEqual(members, body);
      assert.equal(Recipient !== undefined, isAttested);
      assert.equal(recipient.asked, isAttested ? 1 : 0);
    });
  }

  for (const Plaintext of [null, "", undefined]) {
    test(`takes an answer whose Plaintext is ${JSON.stringify(Plaintext)}`, async () => {
      await using server = await serveTls(new FakeKms([200, { ...GOOD, Plaintext }]).answer);
      assert.deepEqual(await decrypt(server), ENVELOPE);
    });
  }

  const refused: readonly (readonly [name: string, body: unknown])[] = [
    ["a plaintext in the clear", { ...GOOD, Plaintext: "AAAA" }],
    ["a plaintext of another type", { ...GOOD, Plaintext: 0 }],
    ["no envelope", { KeyId: ARN }],
    ["an envelope of null", { ...GOOD, CiphertextForRecipient: null }],
    ["an envelope that is not canonical base64", { ...GOOD, CiphertextForRecipient: "AQI" }],
    ["a list", [GOOD]],
    ["null", null],
    ["text", '"text"'],
    ["nothing", ""],
    ["HTML", "<html></html>"],
    ["JSON that is cut off", JSON.stringify(GOOD).slice(0, 20)],
  ];
  for (const [name, body] of refused) {
    test(`refuses ${name}, and does not ask again`, async () => {
      const kms = new FakeKms([200, body]);
      await using server = await serveTls(kms.answer);
      await assert.rejects(decrypt(server), (error: unknown) => {
        assert.ok(error instanceof ProtocolError);
        assert.doesNotMatch(error.message, /AAAA/);
        return true;
      });
      assert.equal(kms.received.length, 1);
    });
  }

  test("refuses an answer for another key than the ARN that was asked for", async () => {
    for (const KeyId of [`${ARN}0`, undefined, null]) {
      await using server = await serveTls(new FakeKms([200, { ...GOOD, KeyId }]).answer);
      await assert.rejects(decrypt(server, { keyId: ARN }), ProtocolError);
    }
  });

  test("leaves aliases and bare key ids to KMS", async () => {
    await using server = await serveTls(new FakeKms([200, GOOD]).answer);
    for (const keyId of ["alias/a", "1234abcd", "arn:aws:kms:eu-central-1:111122223333:alias/a"]) {
      assert.deepEqual(await decrypt(server, { keyId }), ENVELOPE);
    }
  });

  test("tries again what may pass, with credentials asked for each time and one document", async () => {
    const kms = new FakeKms([400, { __type: "ThrottlingException" }], [500, "<html>"], [200, GOOD]);
    await using server = await serveTls(kms.answer);
    let asked = 0;
    const provider = () => ({ accessKeyId: `AKIA${++asked}`, secretAccessKey: "secret" });
    await using engine = engineFor(connectionTo(server), {}, provider);
    using deadline = new Deadline("decrypt", 60_000);
    using plaintext = await engine.run("decrypt", REQUEST, { deadline });
    assert.deepEqual(plaintext.bytes, ENVELOPE);
    const ids = kms.received.map(({ headers }) => /Credential=(\w+)/.exec(headers.authorization ?? "")?.[1]);
    assert.deepEqual(ids, ["AKIA1", "AKIA2", "AKIA3"]);
    assert.equal(recipient.asked, 1);
  });

  test("does not try again what KMS refuses, or a provider that fails", async () => {
    const kms = new FakeKms([400, { __type: "AccessDeniedException" }]);
    await using server = await serveTls(kms.answer);
    await assert.rejects(decrypt(server), { name: "KmsError", kmsCode: "AccessDeniedException" });
    assert.equal(kms.received.length, 1);
    let asked = 0;
    await using engine = engineFor(connectionTo(server), {}, () => Promise.reject(new Error(`${++asked}`)));
    using deadline = new Deadline("decrypt", 60_000);
    await assert.rejects(engine.run("decrypt", REQUEST, { deadline }), CredentialsError);
    assert.equal(asked, 1);
  });

  const skewed = {
    __type: "InvalidSignatureException",
    message: "Signature expired: 1 is now earlier than 2",
  };
  const now = () => new Date("2026-11-05T12:00:00Z");
  const dates = (kms: FakeKms) => kms.received.map(({ headers }) => headers["x-amz-date"]);

  test("signs once more by KMS's clock when it refuses a signature for its time", async () => {
    const kms = new FakeKms([400, skewed, "Thu, 05 Nov 2026 12:10:00 GMT"], [200, GOOD]);
    await using server = await serveTls(kms.answer);
    await using engine = engineFor(connectionTo(server), { now, maxAttempts: 1 });
    using deadline = new Deadline("decrypt", 60_000);
    assert.equal(engine.clockOffsetMs, 0);
    for (let round = 0; round < 2; round++) {
      using plaintext = await engine.run("decrypt", REQUEST, { deadline });
      assert.deepEqual(plaintext.bytes, ENVELOPE);
    }
    assert.equal(engine.clockOffsetMs, 600_000);
    assert.deepEqual(dates(kms), ["20261105T120000Z", "20261105T121000Z", "20261105T121000Z"]);
    assert.equal(recipient.asked, 1);
  });

  test("reports a signature that is refused for its time by KMS's clock, too", async () => {
    const kms = new FakeKms([400, skewed, "Thu, 05 Nov 2026 11:50:00 GMT"]);
    await using server = await serveTls(kms.answer);
    await using engine = engineFor(connectionTo(server), { now });
    using deadline = new Deadline("decrypt", 60_000);
    await assert.rejects(engine.run("decrypt", REQUEST, { deadline }), {
      name: "KmsError",
      hint: /clock right/,
    });
    assert.deepEqual(dates(kms), ["20261105T120000Z", "20261105T115000Z"]);
  });

  const notBelieved: readonly (readonly [name: string, date: string | undefined])[] = [
    ["none", undefined],
    ["one more than a day ahead", "Fri, 06 Nov 2026 12:00:01 GMT"],
    ["one more than a day behind", "Wed, 04 Nov 2026 11:59:59 GMT"],
    ["one in another form", "2026-11-05T12:10:00Z"],
    ["one that does not exist", "Thu, 05 Xyz 2026 12:10:00 GMT"],
  ];
  for (const [name, date] of notBelieved) {
    test(`keeps to its own clock when the Date header is ${name}`, async () => {
      const kms = new FakeKms([400, skewed, date]);
      await using server = await serveTls(kms.answer);
      await using engine = engineFor(connectionTo(server), { now });
      using deadline = new Deadline("decrypt", 60_000);
      await assert.rejects(engine.run("decrypt", REQUEST, { deadline }), {
        name: "KmsError",
        hint: /clock right/,
      });
      assert.deepEqual([kms.received.length, engine.clockOffsetMs], [1, 0]);
    });
  }

  test("keeps to its own clock when KMS refuses for another reason", async () => {
    const date = "Thu, 05 Nov 2026 12:10:00 GMT";
    const refusals = [{ ...skewed, message: "It does not match" }, {
      ...skewed,
      __type: "ValidationException",
    }];
    for (const refusal of refusals) {
      const kms = new FakeKms([400, refusal, date]);
      await using server = await serveTls(kms.answer);
      await using engine = engineFor(connectionTo(server), { now });
      using deadline = new Deadline("decrypt", 60_000);
      await assert.rejects(engine.run("decrypt", REQUEST, { deadline }), { name: "KmsError" });
      assert.deepEqual([kms.received.length, engine.clockOffsetMs], [1, 0]);
    }
  });

  const expired = { __type: "ExpiredTokenException" };
  const refusing = (credentials: Credentials) => new CredentialsSource(credentials, "refuse");
  const REFUSALS = [
    "ExpiredTokenException",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
  ];
  const ids = (kms: FakeKms) =>
    kms.received.map(({ headers }) => /Credential=(\w+)/.exec(headers.authorization ?? "")?.[1]);

  for (const __type of REFUSALS) {
    test(`asks the provider once more when KMS refuses its credentials with ${__type}`, async () => {
      const date = "Thu, 05 Nov 2026 12:10:00 GMT";
      const kms = new FakeKms([400, skewed, date], [400, { __type }, date], [200, GOOD]);
      await using server = await serveTls(kms.answer);
      let asked = 0;
      const expiration = "2026-11-05T13:00:00Z";
      const provider = () => ({ accessKeyId: `AKIA${++asked}`, secretAccessKey: "secret", expiration });
      await using engine = engineFor(connectionTo(server), { now, maxAttempts: 1 }, provider);
      using deadline = new Deadline("decrypt", 60_000);
      for (let round = 0; round < 2; round++) {
        (await engine.run("decrypt", REQUEST, { deadline }))[Symbol.dispose]();
      }
      assert.deepEqual(ids(kms), ["AKIA1", "AKIA1", "AKIA2", "AKIA2"]);
    });

    test(`reports ${__type} when there are no others, or KMS refuses those as well`, async () => {
      const same = { accessKeyId: "AKIA", secretAccessKey: "secret" };
      let asked = 0;
      const cases: readonly (readonly [CredentialsProvider, requests: number])[] = [
        [same, 1],
        [() => same, 1],
        [() => ({ ...same, accessKeyId: `AKIA${++asked}` }), 2],
      ];
      for (const [provider, requests] of cases) {
        const kms = new FakeKms([400, { __type }]);
        await using server = await serveTls(kms.answer);
        await using engine = engineFor(connectionTo(server), {}, provider);
        using deadline = new Deadline("decrypt", 60_000);
        await assert.rejects(engine.run("decrypt", REQUEST, { deadline }), {
          kmsCode: __type,
          credentialsRefused: true,
        });
        assert.equal(kms.received.length, requests);
      }
    });
  }

  test("names KMS's refusal and the provider's failure when there are no others for it", async () => {
    const kms = new FakeKms([400, expired]);
    await using server = await serveTls(kms.answer);
    let asked = 0;
    const provider = () => {
      if (++asked > 1) throw new Error("canary");
      return { accessKeyId: "AKIA", secretAccessKey: "secret", expiration: "2026-11-05T13:00:00Z" };
    };
    await using engine = engineFor(connectionTo(server), { now }, provider);
    using deadline = new Deadline("decrypt", 60_000);
    await assert.rejects(engine.run("decrypt", REQUEST, { deadline }), {
      name: "CredentialsError",
      message: "Cannot get credentials: the provider failed with Error",
      hint:
        /^KMS refused the previous credentials with ExpiredTokenException\. The provider's error is not shown/,
    });
    assert.deepEqual([kms.received.length, asked], [1, 2]);
  });

  test("uses credentials that expired by their own date for as long as KMS takes them", async () => {
    const kms = new FakeKms([200, GOOD, "Thu, 05 Nov 2026 12:03:00 GMT"]);
    await using server = await serveTls(kms.answer);
    const expiration = "2026-11-05T12:00:00Z";
    const credentials = { accessKeyId: "AKIA", secretAccessKey: "secret", expiration };
    await using engine = engineFor(connectionTo(server), { now }, credentials);
    using deadline = new Deadline("decrypt", 60_000);
    for (let round = 0; round < 2; round++) {
      (await engine.run("decrypt", REQUEST, { deadline }))[Symbol.dispose]();
    }
    assert.deepEqual(ids(kms), ["AKIA", "AKIA"]);
  });

  test("sends nothing with expired credentials that are to be refused, by the clock that KMS put right", async () => {
    const kms = new FakeKms([400, skewed, "Thu, 05 Nov 2026 12:10:00 GMT"], [200, GOOD]);
    await using server = await serveTls(kms.answer);
    const credentials = {
      accessKeyId: "AKIA",
      secretAccessKey: "secret",
      expiration: "2026-11-05T12:05:00Z",
    };
    await using engine = engineFor(connectionTo(server), { now, credentials: refusing(credentials) });
    using deadline = new Deadline("decrypt", 60_000);
    (await engine.run("decrypt", REQUEST, { deadline }))[Symbol.dispose]();
    await assert.rejects(engine.run("decrypt", REQUEST, { deadline }), {
      name: "CredentialsError",
      message: "Cannot sign the request: the credentials expired at 2026-11-05T12:05:00.000Z",
    });
    assert.equal(kms.received.length, 2);
  });

  describe("asks KMS for the time when credentials look expired and nothing was heard of KMS yet", () => {
    const missing = { __type: "MissingAuthenticationTokenException" };
    const looksExpired = (expiration = "2026-11-05T11:00:00Z") => ({
      accessKeyId: "AKIA",
      secretAccessKey: "secret",
      sessionToken: "token",
      expiration,
    });

    test("without a signature, a token or a document, and goes by it", async () => {
      const kms = new FakeKms([400, missing, "Thu, 05 Nov 2026 10:00:00 GMT"], [200, GOOD]);
      await using server = await serveTls(kms.answer);
      await using engine = engineFor(connectionTo(server), { now, credentials: refusing(looksExpired()) });
      using deadline = new Deadline("decrypt", 60_000);
      (await engine.run("decrypt", REQUEST, { deadline }))[Symbol.dispose]();
      const [question] = kms.received;
      assert.deepEqual(Object.keys(question?.headers ?? {}).filter((name) => /auth|token/.test(name)), []);
      assert.deepEqual(question?.body, {});
      assert.equal(ids(kms)[1], "AKIA");
    });

    const unhelpful: readonly (readonly [name: string, answer: Answer, RegExp])[] = [
      ["agrees", [400, missing, "Thu, 05 Nov 2026 12:00:00 GMT"], /By KMS's clock it is 2026-11-05T12:00/],
      [
        "shows none",
        [400, missing],
        /By this machine's clock, which KMS has not confirmed, it is 2026-11-05T12/,
      ],
      [
        "shows one that is too far away",
        [400, missing, "Tue, 03 Nov 2026 10:00:00 GMT"],
        /By this machine's clock, which is more than a day off KMS's, it is 2026-11-05T12/,
      ],
    ];
    for (const [name, answer, hint] of unhelpful) {
      test(`and reports that they expired when it ${name}`, async () => {
        const kms = new FakeKms(answer);
        await using server = await serveTls(kms.answer);
        await using engine = engineFor(connectionTo(server), { now, credentials: refusing(looksExpired()) });
        using deadline = new Deadline("decrypt", 60_000);
        const expected = {
          name: "CredentialsError",
          message: "Cannot sign the request: the credentials expired at 2026-11-05T11:00:00.000Z",
          hint,
        };
        await assert.rejects(engine.run("decrypt", REQUEST, { deadline }), expected);
        assert.equal(kms.received.length, 1);
      });
    }

    test("and reports that they expired when there is no answer, unless the caller aborts", async () => {
      await using server = await serveTls((request) => void request.socket.destroy());
      await using engine = engineFor(connectionTo(server), { now, credentials: refusing(looksExpired()) });
      using deadline = new Deadline("decrypt", 60_000);
      await assert.rejects(engine.run("decrypt", REQUEST, { deadline }), { name: "CredentialsError" });
      assert.equal(server.sockets.length, 1);

      await using silent = await serveTls(() => controller.abort(reason));
      const controller = new AbortController();
      const reason = new Error("enough");
      await using waiting = engineFor(connectionTo(silent), { now, credentials: refusing(looksExpired()) });
      using aborted = new Deadline("decrypt", 5000, controller.signal);
      await assert.rejects(waiting.run("decrypt", REQUEST, { deadline: aborted }), reason);
    });

    test("but not when an answer has shown it before", async () => {
      const kms = new FakeKms([200, GOOD, "Thu, 05 Nov 2026 12:03:00 GMT"]);
      await using server = await serveTls(kms.answer);
      await using engine = engineFor(connectionTo(server), {
        now,
        credentials: refusing(looksExpired("2026-11-05T12:02:00Z")),
      });
      using deadline = new Deadline("decrypt", 60_000);
      (await engine.run("decrypt", REQUEST, { deadline }))[Symbol.dispose]();
      await assert.rejects(engine.run("decrypt", REQUEST, { deadline }), {
        name: "CredentialsError",
        hint: /By KMS's clock it is 2026-11-05T12:03/,
      });
      assert.deepEqual([kms.received.length, engine.clockOffsetMs], [1, 0]);
    });
  });

  test("tells of each refusal, those that are tried again included, and of each try but the first", async () => {
    const throttled = [400, { __type: "ThrottlingException" }] as const;
    const kms = new FakeKms(throttled, [500, { __type: "KMSInternalException" }], throttled);
    await using server = await serveTls(kms.answer);
    await using engine = engineFor(connectionTo(server));
    using deadline = new Deadline("decrypt", 60_000);
    const told: string[] = [];
    const onRefused = (error: KmsError) => void told.push(error.throttled ? "throttled" : error.kmsCode);
    const call = { deadline, onRefused, onRetry: () => void told.push("retry") };
    await assert.rejects(engine.run("decrypt", REQUEST, call), { throttled: true });
    assert.equal(kms.received.length, 3);
    assert.deepEqual(told, ["throttled", "retry", "KMSInternalException", "retry", "throttled"]);
  });

  test("gives up after maxAttempts", async () => {
    await using server = await serveTls((request) => void request.socket.destroy());
    await using engine = engineFor(connectionTo(server), { maxAttempts: 2 });
    using deadline = new Deadline("decrypt", 60_000);
    await assert.rejects(engine.run("decrypt", REQUEST, { deadline }), ConnectionError);
    assert.equal(server.sockets.length, 2);
  });

  describe("a connection that was kept, and is closed once it has the next request,", () => {
    for (
      const [maxAttempts, outcomes, requests] of [
        [1, ["plaintext", "ERR_CONNECTION", "plaintext", "ERR_CONNECTION"], 4],
        [2, ["plaintext", "plaintext", "plaintext", "plaintext"], 7],
      ] as const
    ) {
      test(`is replaced as far as maxAttempts allows: ${maxAttempts}`, async () => {
        const seen = new WeakSet<object>();
        let count = 0;
        await using server = await serveTls((request, response) => {
          count++;
          if (seen.has(request.socket)) return void request.socket.destroy();
          seen.add(request.socket);
          request.resume().on("end", () => response.end(JSON.stringify(GOOD)));
        });
        await using engine = engineFor(connectionTo(server), { maxAttempts });
        const decrypt = async () => {
          using deadline = new Deadline("decrypt", 60_000);
          using plaintext = await engine.run("decrypt", REQUEST, { deadline });
          return plaintext.length > 0 ? "plaintext" : "nothing";
        };
        const came: string[] = [];
        for (const _ of outcomes) came.push(await decrypt().catch(({ code }) => code));
        assert.deepEqual(came, outcomes);
        assert.equal(count, requests, "requests that arrived");
      });
    }
  });

  describe("answers that come in a burst", () => {
    const BURST = 6;

    /** Answers nobody before all have asked. */
    function holdBack(): (request: IncomingMessage, response: ServerResponse) => void {
      const held: (() => void)[] = [];
      return (request, response) => {
        request.resume().on("end", () => {
          held.push(() => response.end(JSON.stringify(GOOD)));
          if (held.length === BURST) held.forEach((answer) => answer());
        });
      };
    }

    test("are opened in turns of the event loop of their own", async () => {
      await using server = await serveTls(holdBack());
      await using engine = engineFor(connectionTo(server));
      let turn = 0;
      let isOver = false;
      const tick = () => {
        turn++;
        if (!isOver) setImmediate(tick);
      };
      const openedIn: number[] = [];
      recipient.open = (envelope) => {
        // Meanwhile all the other answers arrive.
        const end = performance.now() + 20;
        while (performance.now() < end);
        openedIn.push(turn);
        return SecretBytes.copyOf(envelope);
      };
      tick();
      using deadline = new Deadline("decrypt", 60_000);
      const all = Array.from({ length: BURST }, () => engine.run("decrypt", REQUEST, { deadline }));
      for (const plaintext of await Promise.all(all)) plaintext[Symbol.dispose]();
      isOver = true;
      assert.equal(new Set(openedIn).size, BURST, `turns ${openedIn}`);
    });

    test("are not opened after the end", async () => {
      await using server = await serveTls(holdBack());
      const engine = engineFor(connectionTo(server));
      let opened = 0;
      recipient.open = (envelope) => {
        // Meanwhile all the other answers arrive, and wait in line when the second is opened.
        const end = performance.now() + 20;
        while (performance.now() < end);
        if (++opened === 2) void engine[Symbol.asyncDispose]();
        return SecretBytes.copyOf(envelope);
      };
      using deadline = new Deadline("decrypt", 60_000);
      const all = Array.from({ length: BURST }, () => engine.run("decrypt", REQUEST, { deadline }));
      const outcomes = await Promise.allSettled(all);
      const failed = outcomes.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
      assert.deepEqual([opened, failed.length], [2, BURST - 2]);
      for (const { reason } of failed) assert.ok(reason instanceof DisposedError, String(reason));
    });
  });

  test("disposing fails the calls that run, and later ones", async () => {
    await using server = await serveTls(() => {});
    const engine = engineFor(connectionTo(server));
    using deadline = new Deadline("decrypt", 60_000);
    const running = assert.rejects(engine.run("decrypt", REQUEST, { deadline }), isDisposed);
    while (server.sockets.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await engine[Symbol.asyncDispose]();
    await running;
    await assert.rejects(engine.run("decrypt", REQUEST, { deadline }), isDisposed);
    await engine[Symbol.asyncDispose]();
    assert.equal(recipient.disposed, true);
  });

  test("releases everything even when the recipient cannot be released", async () => {
    await using server = await serveTls(new FakeKms([200, GOOD]).answer);
    const credentials = new CredentialsSource({ accessKeyId: "AKIA", secretAccessKey: "secret" });
    const connection = connectionTo(server);
    const failure = new Error("stuck");
    recipient[Symbol.dispose] = () => {
      throw failure;
    };
    const engine = engineFor(connection, { credentials });
    using deadline = new Deadline("decrypt", 60_000);
    (await engine.run("decrypt", REQUEST, { deadline }))[Symbol.dispose]();
    await assert.rejects(engine[Symbol.asyncDispose](), failure);
    await assert.rejects(credentials.get(deadline), DisposedError);
    await assert.rejects(
      connection.request({}, { bytes: new Uint8Array(), isSecret: false }, deadline),
      DisposedError,
    );
  });
});
