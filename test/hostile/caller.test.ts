import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { afterAll, beforeAll, describe, test } from "#test";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import { listen, type Listener } from "../../lib/transport/listen.ts";
import { KmsClient, KmsError } from "../../mod.ts";
import { startSimulator } from "../../sim/mod.ts";
import { parentOnly } from "../../enclave/gate.ts";
import { DEFAULT_HTTP_TIMEOUTS, HttpListener } from "../../enclave/http/http_listener.ts";
import { DEFAULT_KMSTOOL_TIMEOUTS, KmstoolListener } from "../../server/kmstool/kmstool_listener.ts";
import { KMSTOOL_ERRORS } from "../../lib/wire/kmstool_messages.ts";
import {
  ENCRYPTION_CONTEXT,
  Fixture,
  PARENT,
  PLAINTEXT,
  RecordingPolicy,
  STRANGER,
  TENANT,
} from "../server/fixture.ts";
import { cidOf } from "../support/policies.ts";
import { exchange, exchangeMessages } from "../server/serving.ts";
import { assertNothingOf, rejection } from "./fixture.ts";

/** Headers in which proxies, and dreamers, say who the caller is. */
const CLAIMS = [
  "x-cid: 3",
  "cid: 3",
  "x-vsock-cid: 3",
  "x-enclave-cid: 3",
  "x-caller: 3",
  "x-peer-cid: 3",
  "x-forwarded-for: 3",
  "x-real-ip: vsock:3",
  "forwarded: for=3;by=3",
  "via: 1.1 parent",
  "authorization: Bearer 3",
  "cookie: cid=3",
  "host: vsock:3:8080",
  "from: parent@3",
  "x-http-method-override: POST",
  "content-type: application/json; cid=3",
];

/** Both protocols on sockets, each for callers with one CID. */
class Doors implements AsyncDisposable {
  readonly #fixture: Fixture;
  readonly #http: HttpListener;
  readonly #kmstool: KmstoolListener;
  readonly #listeners: Listener[] = [];

  constructor(fixture: Fixture) {
    this.#fixture = fixture;
    const { app, service, logger, metrics, refusals } = fixture;
    this.#http = new HttpListener({
      logger,
      metrics,
      refusals,
      timeouts: DEFAULT_HTTP_TIMEOUTS,
      fetch: (request, env) => app.fetch(request, env),
    });
    const timeouts = DEFAULT_KMSTOOL_TIMEOUTS;
    this.#kmstool = new KmstoolListener({ logger, metrics, refusals, service, timeouts, region: undefined });
  }

  async open(protocol: "http" | "kmstool", cid: number): Promise<Endpoint> {
    const door = protocol === "http" ? this.#http : this.#kmstool;
    const any: Endpoint = { transport: "tcp", host: "127.0.0.1", port: 0 };
    const listener = await listen(any, {}, ({ stream }) => door.accept(stream, cid));
    this.#listeners.push(listener);
    return listener.endpoint;
  }

  /** Reads the CIDs in the log from a line on. */
  cidsSince(line: number): readonly unknown[] {
    return this.#fixture.logged.slice(line).map((text) => JSON.parse(text).cid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#http.close(200), this.#kmstool.close(200)]);
    for (const listener of this.#listeners) await listener[Symbol.asyncDispose]();
  }
}

describe("a forged caller CID", () => {
  const policy = new RecordingPolicy();
  let fixture: Fixture;
  let doors: Doors;
  let stranger: Endpoint;
  let tenant: Endpoint;
  let kmstool: Endpoint;

  beforeAll(async () => {
    fixture = await Fixture.start({ policy });
    await fixture.setCredentials();
    doors = new Doors(fixture);
    stranger = await doors.open("http", STRANGER);
    tenant = await doors.open("http", TENANT);
    kmstool = await doors.open("kmstool", STRANGER);
  });
  afterAll(async () => {
    await doors[Symbol.asyncDispose]();
    await fixture[Symbol.asyncDispose]();
  });

  const post = (path: string, body: unknown, ...headers: readonly string[]) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const has = (name: string) => headers.some((header) => header.startsWith(`${name}:`));
    const own = [
      ...(has("host") ? [] : ["host: enclave"]),
      ...(has("content-type") ? [] : ["content-type: application/json"]),
      `content-length: ${Buffer.byteLength(text)}`,
      "connection: close",
    ];
    return `POST ${path} HTTP/1.1\r\n${[...own, ...headers].join("\r\n")}\r\n\r\n${text}`;
  };

  /** Expects an answer to a caller without rights: a code, and nothing else of use. */
  async function expectDenied(
    endpoint: Endpoint,
    request: string,
    status: number | readonly number[],
  ): Promise<void> {
    const before = fixture.logged.length;
    const decisions = policy.asked.length;
    const answer = await exchange(endpoint, request);
    const [, seen] = /^HTTP\/1\.1 (\d+) /.exec(answer) ?? [];
    assert.ok([status].flat().includes(Number(seen)), answer);
    assert.match(answer, /"code":"ERR_[A-Z_]+"/);
    assertNothingOf(answer, PLAINTEXT, "secret reason");
    assert.deepEqual(doors.cidsSince(before).filter((cid) => cid !== STRANGER), []);
    assert.ok(policy.asked.slice(decisions).every((facts) => cidOf(facts) === STRANGER));
  }

  async function expectServed(): Promise<void> {
    const answer = await exchange(tenant, post("/v1/decrypt", fixture.decryptBody));
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.ok(answer.includes(Buffer.from(PLAINTEXT).toString("base64")));
  }

  test("in a header of HTTP changes nothing, for a decrypt and for credentials", async () => {
    for (const claim of CLAIMS) {
      await expectDenied(stranger, post("/v1/decrypt", fixture.decryptBody, claim), 403);
      await expectDenied(stranger, post("/v1/credentials", fixture.simulator.credentials, claim), 404);
    }
    await expectServed();
  });

  test("in the path, the query or the target changes nothing", async () => {
    for (
      const path of ["/v1/decrypt?cid=3", "/v1/decrypt?principal.cid=3", "/v1/decrypt#3", "/v1/decrypt;cid=3"]
    ) {
      await expectDenied(stranger, post(path, fixture.decryptBody), [403, 404, 400]);
    }
    for (const target of ["http://3:8080/v1/decrypt", "vsock://3/v1/decrypt", "//3/v1/decrypt", "*"]) {
      await expectDenied(stranger, post(target, fixture.decryptBody), [400, 404]);
    }
    await expectServed();
  });

  test("in the body is a field that there is none of", async () => {
    for (const claim of [{ cid: 3 }, { principal: { cid: 3 } }, { caller: 3 }, { env: { cid: 3 } }]) {
      await expectDenied(stranger, post("/v1/decrypt", { ...fixture.decryptBody, ...claim }), 400);
      const credentials = { ...fixture.simulator.credentials, ...claim };
      await expectDenied(stranger, post("/v1/credentials", credentials), 404);
    }
    const polluted = JSON.stringify(fixture.decryptBody).replace("{", '{"__proto__":{"cid":3},');
    await expectDenied(stranger, post("/v1/decrypt", polluted), [400, 403]);
    await expectServed();
  });

  test("by a request hidden in another one's body stays the stranger's own", async () => {
    const hidden = post("/v1/decrypt", fixture.decryptBody, "x-cid: 3");
    const twoLengths = hidden.replace("content-length:", "content-length: 0\r\ncontent-length:");
    await expectDenied(stranger, twoLengths, 400);
    await expectDenied(
      stranger,
      hidden.replace("content-length:", "transfer-encoding: chunked\r\ncontent-length:"),
      400,
    );
    await expectDenied(stranger, hidden.replace("content-length:", "transfer-encoding: xchunked\r\nx:"), [
      400,
      403,
      501,
    ]);
    const before = fixture.logged.length;
    const first = post("/healthz", "", "x-cid: 3").replace("connection: close\r\n", "");
    const answers = await exchange(stranger, first.replace("POST", "GET") + hidden);
    assert.deepEqual([...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status), ["200", "403"]);
    assert.deepEqual(doors.cidsSince(before), [STRANGER, STRANGER]);
    await expectServed();
  });

  test("in a message of kmstool changes nothing: no credentials, no client, no plaintext", async () => {
    const { accessKeyId, secretAccessKey, sessionToken } = fixture.simulator.credentials;
    const setClient = {
      Operation: "SetClient",
      AwsAccessKeyId: accessKeyId,
      AwsSecretAccessKey: secretAccessKey,
      AwsSessionToken: sessionToken,
    };
    const decrypt = {
      Operation: "Decrypt",
      Ciphertext: fixture.ciphertext,
      EncryptionContext: ENCRYPTION_CONTEXT,
    };
    const before = fixture.logged.length;
    const kmsBefore = fixture.simulator.kms.requestCount;
    for (
      const claim of [{}, { Cid: 3 }, { cid: 3 }, { CID: "3" }, { Principal: { cid: 3 } }, { Caller: 3 }]
    ) {
      const messages = [setClient, decrypt].map((message) => `${JSON.stringify({ ...message, ...claim })}\0`);
      assert.deepEqual(await exchangeMessages(kmstool, messages.join(""), 2), [
        { Status: "Error", Message: KMSTOOL_ERRORS.client },
        { Status: "Error", Message: KMSTOOL_ERRORS.noClient },
      ]);
    }
    assert.deepEqual(doors.cidsSince(before).filter((cid) => cid !== STRANGER), []);
    assert.equal(fixture.simulator.kms.requestCount, kmsBefore);
    await expectServed();
  });

  test("is not to be had from the app either: a request without a CID is nobody's", async () => {
    const init = {
      method: "POST",
      headers: { "content-type": "application/json", "x-cid": "3" },
      body: JSON.stringify(fixture.simulator.credentials),
    };
    const answer = await fixture.app.request("/v1/credentials", init);
    assert.equal(answer.status, 404);
    assert.equal(fixture.lastLine["cid"], 0xffff_ffff);
    await using open = await Fixture.start({ credentialPolicy: parentOnly });
    for (const cid of [0, 1, 2, PARENT, 4, STRANGER, 0xffff_ffff, 3.5, -3, Number.NaN]) {
      assert.equal((await open.app.request("/v1/credentials", init, { cid })).status, 403, `CID ${cid}`);
      assert.equal((await fixture.app.request("/v1/credentials", init, { cid })).status, 404, `CID ${cid}`);
    }
    assert.equal((await open.callControl("/v1/credentials", open.simulator.credentials)).status, 204);
    await expectServed();
  });

  test("nothing of all that is in the log but the CID of the socket", () => {
    const { secretAccessKey, sessionToken } = fixture.simulator.credentials;
    assertNothingOf(fixture.logged.join(""), PLAINTEXT, secretAccessKey, sessionToken);
  });
});

describe("credentials of another account", () => {
  test("are refused by KMS, the client says so, and is served once it has its own", async () => {
    await using enclave = await startSimulator();
    await using elsewhere = await startSimulator();
    const { keyId } = await enclave.createKey();
    const ciphertext = await enclave.encrypt({ keyId, plaintext: PLAINTEXT });
    let credentials = elsewhere.credentials;
    const options = { ...enclave.clientOptions, engine: "direct" as const, credentials: () => credentials };
    await using client = await KmsClient.open(options);
    const error = await rejection(client.decrypt({ ciphertext }));
    assert.ok(error instanceof KmsError);
    assert.deepEqual([error.kmsCode, error.retryable], ["UnrecognizedClientException", false]);
    assertNothingOf(`${error.stack}`, PLAINTEXT, credentials.secretAccessKey, credentials.sessionToken);
    credentials = enclave.credentials;
    using plaintext = await client.decrypt({ ciphertext });
    assert.equal(new TextDecoder().decode(plaintext.bytes), PLAINTEXT);
  });

  test("that KMS knows and the key's policy does not are an AccessDeniedException", async () => {
    await using enclave = await startSimulator();
    // The simulator has one account: to its KMS, a key that lets nobody in is a key of another one.
    const theirs = await enclave.createKey({ policy: { Statement: [] } });
    const ours = await enclave.createKey();
    const ciphertext = await enclave.encrypt({ keyId: ours.keyId, plaintext: PLAINTEXT });
    await using client = await KmsClient.open({ ...enclave.clientOptions, engine: "direct" });
    const error = await rejection(client.generateDataKey({ keyId: theirs.arn }));
    assert.ok(error instanceof KmsError);
    assert.deepEqual([error.kmsCode, error.retryable], ["AccessDeniedException", false]);
    using plaintext = await client.decrypt({ ciphertext });
    assert.equal(plaintext.length, PLAINTEXT.length);
  });

  test("pushed to the server by whoever comes over an ordinary listener leave those of the parent in force", async () => {
    await using elsewhere = await startSimulator();
    await using fixture = await Fixture.start();
    await fixture.setCredentials();
    for (const cid of [TENANT, STRANGER]) {
      const answer = await fixture.call("/v1/credentials", elsewhere.credentials, cid);
      assert.equal(answer.status, 404);
      assert.equal((await answer.json() as { code: string }).code, "ERR_NOT_FOUND");
    }
    assert.equal((await fixture.call("/v1/decrypt", fixture.decryptBody)).status, 200);
    assertNothingOf(
      fixture.logged.join(""),
      elsewhere.credentials.secretAccessKey,
      elsewhere.credentials.sessionToken,
    );
  });

  test("pushed by the parent itself are KMS's to refuse, and better ones put it right", async () => {
    await using elsewhere = await startSimulator();
    await using fixture = await Fixture.start();
    assert.equal((await fixture.callControl("/v1/credentials", elsewhere.credentials)).status, 204);
    const answer = await fixture.call("/v1/decrypt", fixture.decryptBody);
    const text = await answer.text();
    assert.equal(answer.status, 503);
    assert.equal(JSON.parse(text).code, "ERR_CREDENTIALS");
    assertNothingOf(
      text,
      PLAINTEXT,
      elsewhere.credentials.secretAccessKey,
      elsewhere.credentials.accessKeyId,
    );
    await fixture.setCredentials();
    assert.equal((await fixture.call("/v1/decrypt", fixture.decryptBody)).status, 200);
  });

  test("lead an alias to a key of that account: a key ARN tells, an alias alone does not", async () => {
    await using enclave = await startSimulator();
    const alias = "alias/app";
    const { arn } = await enclave.createKey({ alias });
    const theirs = arn.replace(/:\d{12}:/, ":999999999999:");
    await using client = await KmsClient.open({ ...enclave.clientOptions, engine: "direct" });
    enclave.kms.tamper((members) => ({ ...members, KeyId: theirs }));
    for (const keyId of [arn, arn.replace(/key\/.*/, alias)]) {
      const error = await rejection(client.generateDataKey({ keyId }));
      assert.equal((error as KmsError).code, "ERR_PROTOCOL");
    }
    // What SECURITY.md must say: who hands over the credentials chooses the account that an alias is looked up in.
    using dataKey = await client.generateDataKey({ keyId: alias });
    assert.equal(dataKey.keyId, theirs);
  });
});
