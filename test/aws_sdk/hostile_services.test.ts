/**
 * A parent that does not relay but answers in the place of the service, breaks off, or keeps silent; and services that
 * answer as none does.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { describe, test } from "#test";
import { vsockRequestHandler, type VsockRequestHandlerOptions } from "../../aws_sdk/mod.ts";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { type Delivery, TlsServer } from "../../sim/tls/tls_server.ts";
import { type CertificateKind, TlsAuthority } from "../../sim/tls/tls_certificates.ts";
import { until } from "../support/until.ts";
import { CREDENTIALS, openRelay, PATIENT, REGION } from "./fake_services.ts";

const SECRET = JSON.stringify({ Name: "a", SecretString: "attack at dawn" });
const OK = answerOf(SECRET);

interface Hostile {
  readonly certificate?: Exclude<CertificateKind, "valid"> | "silence" | undefined;
  readonly deliveries?: readonly Delivery[] | undefined;
  readonly options?: Partial<VsockRequestHandlerOptions> | undefined;
  readonly maxAttempts?: number | undefined;
}

/** A server that answers with the given deliveries in turn, and with a good one from then on. */
async function start({ certificate, deliveries = [], options, maxAttempts = 1 }: Hostile) {
  const authority = await TlsAuthority.create(`*.${REGION}.amazonaws.com`);
  const left = [...deliveries];
  let requestCount = 0;
  const server = new TlsServer({
    certificate: async () =>
      certificate === "silence" ? certificate : await authority.certificate(certificate ?? "valid"),
    answer: () => {
      requestCount++;
      return Promise.resolve(left.shift() ?? { answer: OK });
    },
  });
  const { port } = await server.listen({ transport: "tcp", host: "127.0.0.1", port: 0 }) as TcpEndpoint;
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-hostile-"));
  const relay = await openRelay(folder, port);
  const { trustedCertificates } = authority;
  const requestHandler = vsockRequestHandler({
    relay: relay.endpoint,
    trustedCertificates,
    ...PATIENT,
    ...options,
  });
  const common = { region: REGION, credentials: CREDENTIALS, requestHandler, maxAttempts };
  const client = new SecretsManagerClient(common);
  return {
    server,
    common,
    get requestCount() {
      return requestCount;
    },
    ask: () => client.send(new GetSecretValueCommand({ SecretId: "a" })),
    async [Symbol.asyncDispose]() {
      client.destroy();
      await relay[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

function answerOf(text: string) {
  return {
    status: 200,
    headers: { "content-type": "application/x-amz-json-1.1" },
    body: bytes(text),
  };
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

const raw = (head: string, body = SECRET) => ({ answer: bytes(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n${body}`) });
const cut = (atByte: number, how: "reset" | "end"): Delivery => ({
  answer: OK,
  cut: { atByte, how, ofBody: true },
});

describe("behind a hostile relay", () => {
  for (const certificate of ["expired", "notYetValid", "wrongName", "unknownCa"] as const) {
    test(`a certificate that is ${certificate} ends it, with nothing sent and nothing tried again`, async () => {
      await using world = await start({ certificate, maxAttempts: 3 });
      await assert.rejects(world.ask(), {
        code: "ERR_CERTIFICATE",
        message: /^Cannot trust secretsmanager\.eu-central-1\.amazonaws\.com: the certificate was refused/,
        $metadata: { attempts: 1, totalRetryDelay: 0 },
      });
      assert.equal(world.requestCount, 0);
    });
  }

  for (const how of ["reset", "end"] as const) {
    test(`an answer that breaks off (${how}) is an error, never a shorter one`, async () => {
      await using world = await start({ deliveries: [cut(20, how)] });
      await assert.rejects(world.ask(), { code: "ERR_CONNECTION" });
    });

    test(`nor is a stream (${how}), wherever the break is`, async () => {
      for (const atByte of [0, 1, SECRET.length - 1]) {
        await using world = await start({ deliveries: [cut(atByte, how)] });
        const s3 = new S3Client({ ...world.common, forcePathStyle: true });
        const read = async () =>
          await (await s3.send(new GetObjectCommand({ Bucket: "b", Key: "k" }))).Body?.transformToByteArray();
        await assert.rejects(read(), { code: "ERR_CONNECTION" }, `byte ${atByte}`);
      }
    });
  }

  test("the SDK tries again after a break, and after a time that is up", async () => {
    const silence: Delivery = { answer: OK, cut: { atByte: 0, how: "reset" } };
    await using world = await start({ deliveries: [silence, cut(5, "reset")], maxAttempts: 3 });
    const { SecretString, $metadata } = await world.ask();
    assert.equal(SecretString, "attack at dawn");
    assert.equal($metadata.attempts, 3);
  });

  test("a connection that was closed while it was idle costs a try, and not the call", async () => {
    await using world = await start({ deliveries: [{ answer: OK, closeAfterMs: 0 }], maxAttempts: 2 });
    await world.ask();
    assert.equal((await world.ask()).SecretString, "attack at dawn");
  });

  test("a chunked answer without its last chunk is an error", async () => {
    const head = "transfer-encoding: chunked";
    const chunk = `${SECRET.length.toString(16)}\r\n${SECRET}\r\n`;
    const whole = raw(head, `${chunk}0\r\n\r\n`);
    const { answer } = raw(head, chunk);
    const broken: Delivery = { answer, cut: { atByte: answer.length, how: "end" } };
    await using world = await start({ deliveries: [whole, broken] });
    assert.equal((await world.ask()).SecretString, "attack at dawn");
    await assert.rejects(world.ask(), { code: "ERR_CONNECTION" });
  });

  for (
    const [what, head, message] of [
      ["does not say how long it is", "connection: close", /does not say how long it is/],
      ["has a length in hexadecimal", "content-length: 0x2e", /content-length is not a number|not HTTP/],
      ["has a length with a sign", "content-length: +46", /content-length is not a number|not HTTP/],
      [
        "has a length beside its chunks",
        "content-length: 46\r\ntransfer-encoding: chunked",
        /has two lengths|not HTTP/,
      ],
      ["has a coding that is not chunked", "transfer-encoding: gzip", /does not say how long|not HTTP/],
      ["has headers without end", `x-a: ${"a".repeat(20_000)}`, /headers are larger|not HTTP/],
      [
        "has a thousand headers",
        Array.from({ length: 1000 }, (_, n) => `x-${n}: a`).join("\r\n"),
        /headers are larger|not HTTP/,
      ],
    ] as const
  ) {
    test(`an answer that ${what} is refused, once`, async () => {
      await using world = await start({ deliveries: [raw(head)], maxAttempts: 3 });
      await assert.rejects(world.ask(), { code: "ERR_PROTOCOL", message });
      assert.equal(world.requestCount, 1);
    });
  }

  test("what is not HTTP is an error", async () => {
    await using world = await start({ deliveries: [{ answer: bytes("SSH-2.0-OpenSSH_9.6\r\n\r\n") }] });
    await assert.rejects(
      world.ask(),
      ({ code }: { code: string }) => /^ERR_(?:PROTOCOL|CONNECTION)$/.test(code),
    );
  });

  test("headers that drip for ever are a time that is up", async () => {
    const drip: Delivery = { ...raw(`x-a: ${"a".repeat(10_000)}`), pace: { bytes: 1, pauseMs: 20 } };
    await using world = await start({ deliveries: [drip], options: { idleTimeoutMs: 400 } });
    await assert.rejects(world.ask(), { name: "TimeoutError" });
  });

  test("nobody's TLS is a time that is up", async () => {
    await using world = await start({ certificate: "silence", options: { connectTimeoutMs: 300 } });
    await assert.rejects(world.ask(), { name: "TimeoutError" });
  });

  test("a name that the relay does not have is no connection, and its hint names the service", async () => {
    await using world = await start({});
    const { requestHandler } = world.common;
    const request = { method: "GET", protocol: "https:", path: "/", headers: {} };
    const hostname = "ec2.eu-central-1.amazonaws.com";
    await assert.rejects(requestHandler.handle({ ...request, hostname }), {
      code: "ERR_CONNECTION",
      message: /^Cannot connect to ec2\.eu-central-1/,
      hint: /Can the proxy on the parent reach ec2\.eu-central-1/,
    });
    assert.equal(world.requestCount, 0);
  });

  test("one that drips stops no other", async () => {
    const drip: Delivery = { answer: OK, pace: { bytes: 20, pauseMs: 100 } };
    await using world = await start({ deliveries: [drip] });
    const slow = world.ask();
    await until(() => world.requestCount === 1);
    assert.equal((await world.ask()).SecretString, "attack at dawn");
    assert.equal((await slow).SecretString, "attack at dawn");
  });

  test("nothing listens: no connection, and the SDK's retries are used", async () => {
    const relay = { transport: "unix", path: "/nowhere/enclave-kms" } as const;
    await using world = await start({ options: { relay }, maxAttempts: 2 });
    const { attempts } = await world.ask().then(() => assert.fail(), (error) => error.$metadata);
    assert.equal(attempts, 2);
  });
});
