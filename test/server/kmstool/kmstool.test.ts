import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import process from "node:process";
import fc from "fast-check";
import { afterAll, beforeAll, describe, test } from "#test";
import { listen, type Listener } from "../../../lib/transport/listen.ts";
import { DEFAULT_KMSTOOL_TIMEOUTS, KmstoolListener } from "../../../server/kmstool/kmstool_listener.ts";
import { KMSTOOL_ERRORS, MAX_MALFORMED_MESSAGES } from "../../../lib/wire/kmstool_messages.ts";
import {
  ENCRYPTION_CONTEXT,
  Fixture,
  PARENT,
  PLAINTEXT,
  RecordingPolicy,
  STRANGER,
  TENANT,
  until,
} from "../fixture.ts";

const OK = { Status: "Ok" };
const ANSWER = { Status: "Ok", Message: Buffer.from(PLAINTEXT).toString("base64") };
const error = (text: string) => ({ Status: "Error", Message: text });

/** A client as simple as kmstool_instance: writes messages, reads up to each NUL. */
class Client implements Disposable {
  readonly socket: Socket;
  readonly #replies: AsyncGenerator<string>;
  closed = false;

  constructor(port: number) {
    this.socket = connect({ host: "127.0.0.1", port, noDelay: true });
    this.socket.on("error", () => {});
    this.socket.on("close", () => (this.closed = true));
    this.#replies = readReplies(this.socket);
  }

  async next(): Promise<unknown> {
    const { value } = await this.#replies.next();
    return value === undefined ? undefined : JSON.parse(value);
  }

  async ask(message: unknown): Promise<unknown> {
    this.socket.write(`${typeof message === "string" ? message : JSON.stringify(message)}\0`);
    return await this.next();
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

async function* readReplies(socket: Socket): AsyncGenerator<string, undefined> {
  let pending = "";
  try {
    for await (const chunk of socket) {
      pending += String(chunk);
      for (let end = pending.indexOf("\0"); end >= 0; end = pending.indexOf("\0")) {
        yield pending.slice(0, end);
        pending = pending.slice(end + 1);
      }
    }
  } catch {
    // Cut: there are no more replies.
  }
  return undefined;
}

describe("the kmstool protocol", () => {
  const policy = new RecordingPolicy();
  let fixture: Fixture;
  const ports = new Map<number, number>();
  const listeners: Listener[] = [];
  let server: KmstoolListener;

  beforeAll(async () => {
    fixture = await Fixture.start({ policy });
    const timeouts = { ...DEFAULT_KMSTOOL_TIMEOUTS, messageMs: 1500 };
    server = new KmstoolListener({ ...parts(fixture), region: undefined, timeouts });
    for (const cid of [PARENT, TENANT, STRANGER]) ports.set(cid, await listenFor(server, cid));
  });
  afterAll(async () => {
    await server.close(100);
    for (const listener of listeners) await listener[Symbol.asyncDispose]();
    await fixture[Symbol.asyncDispose]();
  });

  const parts = ({ service, logger, metrics, refusals }: Fixture) => ({ service, logger, metrics, refusals });

  async function listenFor(kmstool: KmstoolListener, cid: number): Promise<number> {
    const listener = await listen(
      { transport: "tcp", host: "127.0.0.1", port: 0 },
      {},
      ({ stream }) => kmstool.accept(stream, cid),
    );
    listeners.push(listener);
    return listener.endpoint.transport === "tcp" ? listener.endpoint.port : 0;
  }

  const client = (cid: number = PARENT) => new Client(ports.get(cid) ?? 0);
  const setClient = (extra: Record<string, unknown> = {}) => {
    const { accessKeyId, secretAccessKey, sessionToken } = fixture.simulator.credentials;
    return {
      Operation: "SetClient",
      AwsAccessKeyId: accessKeyId,
      AwsSecretAccessKey: secretAccessKey,
      AwsSessionToken: sessionToken,
      ...extra,
    };
  };
  const decrypt = (extra: Record<string, unknown> = {}) => ({
    Operation: "Decrypt",
    Ciphertext: fixture.ciphertext,
    EncryptionContext: ENCRYPTION_CONTEXT,
    ...extra,
  });

  test("SetClient and Decrypt, one reply for each message", async () => {
    using caller = client();
    assert.deepEqual(await caller.ask(setClient()), OK);
    assert.deepEqual(await caller.ask(decrypt()), ANSWER);
    assert.deepEqual(await caller.ask(decrypt()), ANSWER);
    assert.deepEqual(
      await caller.ask(decrypt({ EncryptionContext: { tenant: "blue" } })),
      error(KMSTOOL_ERRORS.decrypt),
    );
    assert.deepEqual(await caller.ask(setClient({ AwsRegion: "us-east-1" })), OK);
    assert.deepEqual(await caller.ask(decrypt()), ANSWER);
    caller.socket.end();
    assert.equal(await caller.next(), undefined, "no second, bare error after a success");
  });

  test("every error has its text, and the connection goes on", async () => {
    using caller = client();
    const cases: [unknown, string][] = [
      ["", KMSTOOL_ERRORS.notJson],
      ["{", KMSTOOL_ERRORS.notJson],
      ["null", KMSTOOL_ERRORS.notJson],
      ["\xff", KMSTOOL_ERRORS.notJson],
      ["[]", KMSTOOL_ERRORS.notObject],
      ["3", KMSTOOL_ERRORS.notObject],
      ["{}", KMSTOOL_ERRORS.noOperation],
      ['{"Operation":null}', KMSTOOL_ERRORS.noOperation],
      ['{"__proto__":{"Operation":"Decrypt"}}', KMSTOOL_ERRORS.noOperation],
      [{ Operation: 1 }, KMSTOOL_ERRORS.operationType],
      [{ Operation: "decrypt" }, KMSTOOL_ERRORS.operationUnknown],
      [decrypt(), KMSTOOL_ERRORS.noClient],
      [{ Operation: "SetClient" }, KMSTOOL_ERRORS.credentials],
      [setClient({ AwsSecretAccessKey: 1 }), KMSTOOL_ERRORS.credentials],
      [setClient({ AwsSecretAccessKey: "a b" }), KMSTOOL_ERRORS.credentials],
      [setClient({ AwsSessionToken: {} }), KMSTOOL_ERRORS.credentials],
      [setClient({ AwsRegion: "nowhere" }), KMSTOOL_ERRORS.region],
      [setClient({ AwsRegion: 1 }), KMSTOOL_ERRORS.region],
    ];
    for (const [message, text] of cases) {
      assert.deepEqual(await caller.ask(message), error(text), String(message));
    }
    assert.deepEqual(await caller.ask(setClient()), OK);
    const withClient: [unknown, string][] = [
      [decrypt({ Ciphertext: null }), KMSTOOL_ERRORS.noCiphertext],
      [decrypt({ Ciphertext: 1 }), KMSTOOL_ERRORS.ciphertextType],
      [decrypt({ Ciphertext: "*" }), KMSTOOL_ERRORS.ciphertextType],
      [decrypt({ Ciphertext: "" }), KMSTOOL_ERRORS.decrypt],
      [decrypt({ Ciphertext: "AAAA" }), KMSTOOL_ERRORS.decrypt],
      [decrypt({ EncryptionContext: [] }), KMSTOOL_ERRORS.decrypt],
      [decrypt({ EncryptionContext: { tenant: 1 } }), KMSTOOL_ERRORS.decrypt],
      ...["", "red", "null", "3", "[]", '"red"', '{"tenant":1}', '{"tenant":"red"} x', '{"tenant":"blue"}']
        .map(
          (text): [unknown, string] => [decrypt({ EncryptionContext: text }), KMSTOOL_ERRORS.decrypt],
        ),
    ];
    for (const [message, text] of withClient) assert.deepEqual(await caller.ask(message), error(text));
    assert.deepEqual(await caller.ask(decrypt()), ANSWER);
  });

  test("an EncryptionContext that is JSON text is taken as kmstool_enclave takes it, and judged as any other", async () => {
    using caller = client();
    assert.deepEqual(await caller.ask(setClient()), OK);
    const text = JSON.stringify(ENCRYPTION_CONTEXT);
    for (const context of [text, ` ${text}\n`, '{"tenant":"blue","tenant":"red"}']) {
      assert.deepEqual(await caller.ask(decrypt({ EncryptionContext: context })), ANSWER, context);
    }
    assert.deepEqual(policy.asked.at(-1)?.context.encryptionContext, ENCRYPTION_CONTEXT);
  });

  test("a refused SetClient changes nothing", async () => {
    using caller = client();
    assert.deepEqual(await caller.ask(setClient()), OK);
    assert.deepEqual(await caller.ask(setClient({ AwsRegion: "no" })), error(KMSTOOL_ERRORS.region));
    assert.deepEqual(await caller.ask(setClient({ AwsAccessKeyId: "" })), error(KMSTOOL_ERRORS.credentials));
    assert.deepEqual(await caller.ask(decrypt()), ANSWER);
  });

  test("the policy applies: only the parent sets credentials", async () => {
    using caller = client(TENANT);
    assert.deepEqual(await caller.ask(setClient()), error(KMSTOOL_ERRORS.client));
    assert.equal(fixture.lastLine["outcome"], "denied");
    assert.deepEqual(await caller.ask(decrypt()), error(KMSTOOL_ERRORS.noClient));
  });

  test("a region that the enclave has is not to be named again", async () => {
    const own = new KmstoolListener({
      ...parts(fixture),
      region: "us-east-1",
      timeouts: DEFAULT_KMSTOOL_TIMEOUTS,
    });
    using caller = new Client(await listenFor(own, PARENT));
    assert.deepEqual(await caller.ask(setClient({ AwsRegion: "us-east-1" })), error(KMSTOOL_ERRORS.region));
    assert.deepEqual(await caller.ask(setClient()), OK);
    await own.close(100);
  });

  test("each connection has credentials of its own, many at once", async () => {
    const wrong = { AwsSecretAccessKey: "not-the-one" };
    await Promise.all(Array.from({ length: 20 }, async (_, index) => {
      using caller = client();
      assert.deepEqual(await caller.ask(setClient(index % 2 === 0 ? {} : wrong)), OK);
      for (let round = 0; round < 3; round++) {
        const expected = index % 2 === 0 ? ANSWER : error(KMSTOOL_ERRORS.decrypt);
        assert.deepEqual(await caller.ask(decrypt()), expected, `connection ${index}`);
      }
    }));
  });

  test("what KMS says of credentials is remembered for their connection alone", async () => {
    const { kms } = fixture.simulator;
    using refused = client();
    using other = client();
    assert.deepEqual(await refused.ask(setClient({ AwsSecretAccessKey: "not-the-one" })), OK);
    assert.deepEqual(await other.ask(setClient()), OK);
    const before = kms.requestCount;
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(await refused.ask(decrypt()), error(KMSTOOL_ERRORS.decrypt));
    }
    assert.equal(kms.requestCount - before, 1);
    assert.deepEqual(await other.ask(decrypt()), ANSWER);
    assert.deepEqual(await refused.ask(setClient()), OK);
    assert.deepEqual(await refused.ask(decrypt()), ANSWER);
  });

  test("messages in one piece and in many", async () => {
    using caller = client();
    caller.socket.write(`${JSON.stringify(setClient())}\0{}\0${JSON.stringify(decrypt())}\0`);
    assert.deepEqual(await caller.next(), OK);
    assert.deepEqual(await caller.next(), error(KMSTOOL_ERRORS.noOperation));
    assert.deepEqual(await caller.next(), ANSWER);
    for (const byte of Buffer.from(`${JSON.stringify({ Operation: "x" })}\0`)) {
      caller.socket.write(Buffer.of(byte));
    }
    assert.deepEqual(await caller.next(), error(KMSTOOL_ERRORS.operationUnknown));
  });

  test("8192 bytes with the NUL are a message, 8193 are too large and the end", async () => {
    using caller = client();
    const padded = (length: number) => `{}${" ".repeat(length - 3)}`;
    assert.deepEqual(await caller.ask(padded(8192)), error(KMSTOOL_ERRORS.noOperation));
    assert.deepEqual(await caller.ask(padded(8193)), error(KMSTOOL_ERRORS.tooLarge));
    assert.equal(await caller.next(), undefined);
    using flood = client();
    flood.socket.write("x".repeat(200_000));
    assert.deepEqual(await flood.next(), error(KMSTOOL_ERRORS.tooLarge));
  });

  test(`who sends ${MAX_MALFORMED_MESSAGES} messages that are no JSON object is answered them, and cut off`, async () => {
    using caller = client();
    const malformed = ["", "{", "null", "[]", "3", "x", '"{}"', "\xff"];
    assert.equal(malformed.length, MAX_MALFORMED_MESSAGES);
    // Those in between change nothing: who sends objects now and then sends them for that.
    for (const [index, message] of malformed.entries()) {
      const text = ["[]", "3", '"{}"'].includes(message) ? KMSTOOL_ERRORS.notObject : KMSTOOL_ERRORS.notJson;
      if (index % 3 === 0) assert.deepEqual(await caller.ask("{}"), error(KMSTOOL_ERRORS.noOperation));
      assert.deepEqual(await caller.ask(message), error(text), message);
    }
    assert.equal(await caller.next(), undefined);
  });

  test("what is refused counts in the rate of its connection, and of no other with the same CID", async () => {
    using caller = client();
    using other = client();
    const recentCount = async (asker: Client) => {
      await asker.ask(setClient());
      await asker.ask(decrypt());
      return policy.asked.at(-1)?.context.recentCount ?? 0;
    };
    const before = await recentCount(caller);
    await caller.ask("[]");
    await caller.ask("{}");
    await caller.ask(decrypt({ Ciphertext: "*" }));
    // Decrypt is permitted each time, and counts for all. SetClient is not for this policy to permit.
    assert.equal(await recentCount(other), before + 1);
    assert.equal(await recentCount(caller), before + 2 + 3);
  });

  test("a message that does not end is cut off, and others are served meanwhile", async () => {
    using slow = client();
    slow.socket.write('{"Operation":');
    using caller = client();
    assert.deepEqual(await caller.ask("{}"), error(KMSTOOL_ERRORS.noOperation));
    await until(() => slow.closed);
    assert.ok(slow.closed);
  });

  test("random and mutated messages: one reply each, and it is one of the texts", async () => {
    const texts: readonly string[] = Object.values(KMSTOOL_ERRORS);
    const malformed: readonly string[] = [KMSTOOL_ERRORS.notJson, KMSTOOL_ERRORS.notObject];
    let [caller, count] = [client(STRANGER), 0];
    const seeds = [JSON.stringify(setClient()), JSON.stringify(decrypt()), '{"Operation":"x"}'];
    const mutated = fc.tuple(fc.constantFrom(...seeds), fc.nat(), fc.integer({ min: 1, max: 255 })).map(
      ([seed, at, byte]) => {
        const bytes = Buffer.from(seed);
        bytes[at % bytes.length] = byte;
        return bytes;
      },
    );
    const random = fc.uint8Array({ min: 1, max: 255, maxLength: 300 }).map((bytes) => Buffer.from(bytes));
    const json = fc.json().map((text) => Buffer.from(text.replaceAll("\0", " ")));
    const property = fc.asyncProperty(fc.oneof(mutated, random, json), async (bytes) => {
      caller.socket.write(Buffer.concat([bytes, Buffer.of(0)]));
      const reply = await caller.next() as { Status: string; Message: string };
      if (malformed.includes(reply.Message) && ++count === MAX_MALFORMED_MESSAGES) {
        assert.equal(await caller.next(), undefined);
        caller[Symbol.dispose]();
        [caller, count] = [client(STRANGER), 0];
      }
      assert.equal(reply.Status, "Error");
      assert.ok(texts.includes(reply.Message), reply.Message);
    });
    try {
      await fc.assert(property, { numRuns: process.env["SLOW"] === "1" ? 50_000 : 3000 });
    } finally {
      caller[Symbol.dispose]();
    }
  });

  test("the log says who asked for what and how it was decided, and has no secret", () => {
    const { credentials } = fixture.simulator;
    const log = fixture.logged.join("");
    for (
      const secret of [
        PLAINTEXT,
        ANSWER.Message,
        credentials.secretAccessKey,
        credentials.sessionToken ?? "?",
      ]
    ) {
      assert.ok(!log.includes(secret));
    }
    const line = fixture.logged.map((text) => JSON.parse(text)).find(({ outcome, operation }) =>
      outcome === "ok" && operation === "Decrypt"
    );
    assert.equal(line.protocol, "kmstool");
    assert.equal(line.cid, PARENT);
    assert.equal(line.decision.allowed, true);
  });

  test("closing finishes what runs", async () => {
    const closing = new KmstoolListener({
      ...parts(fixture),
      region: undefined,
      timeouts: DEFAULT_KMSTOOL_TIMEOUTS,
    });
    const port = await listenFor(closing, PARENT);
    using idle = new Client(port);
    using caller = new Client(port);
    assert.deepEqual(await idle.ask("{}"), error(KMSTOOL_ERRORS.noOperation));
    assert.deepEqual(await caller.ask(setClient()), OK);
    const reply = caller.ask(decrypt());
    const before = fixture.simulator.kms.requestCount;
    await until(() =>
      fixture.simulator.kms.requestCount > before || fixture.metrics.openConnections("kmstool") < 2
    );
    await closing.close(2000);
    assert.deepEqual(await reply, ANSWER);
    await until(() => idle.closed && caller.closed);
    assert.ok(idle.closed && caller.closed);
  });
});
