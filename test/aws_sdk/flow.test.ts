/**
 * Answers that come faster than they are read.
 *
 * @module
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:https";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { describe, test } from "#test";
import { vsockRequestHandler } from "../../aws_sdk/mod.ts";
import { TlsAuthority } from "../../sim/tls/tls_certificates.ts";
import { CREDENTIALS, PATIENT, REGION, startServices } from "./fake_services.ts";

const HOST = "s3.eu-central-1.amazonaws.com";
const LENGTH = 48 << 20;

describe("answers that come faster than they are read", () => {
  test("every byte of one comes, to a reader that stops on its way", async () => {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-flow-"));
    const authority = await TlsAuthority.create("*.eu-central-1.amazonaws.com");
    const server = createServer(await authority.certificate("valid"), (_, response) => {
      response.writeHead(200, { "content-length": String(LENGTH) });
      response.end(new Uint8Array(LENGTH).fill(7));
    });
    server.listen(join(folder, "s"));
    await once(server, "listening");
    const { trustedCertificates } = authority;
    const endpoint = { transport: "unix", path: join(folder, "s") } as const;
    using handler = vsockRequestHandler({ endpoint, trustedCertificates, ...PATIENT, maxConnections: 1 });
    const request = { method: "GET", protocol: "https:", hostname: HOST, path: "/", headers: {} };
    for (let round = 0; round < 2; round++) {
      const { response } = await handler.handle(request);
      let length = 0;
      for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
        length += chunk.length;
        assert.ok(chunk.every((byte) => byte === 7));
        if (length % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      assert.equal(length, LENGTH);
    }
    handler.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });

  test("one that nobody reads is not taken into memory", async () => {
    const mebibyte = new Uint8Array(1 << 20);
    let sent = 0;
    await using services = await startServices((_, response) => {
      const send = () => {
        while (sent < 200) {
          sent++;
          if (!response.write(mebibyte)) return void response.once("drain", send);
        }
      };
      response.writeHead(200, { "content-length": String(200 << 20) });
      send();
    });
    using handler = services.handler();
    const s3 = new S3Client({
      region: REGION,
      credentials: CREDENTIALS,
      requestHandler: handler,
      forcePathStyle: true,
    });
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: "b", Key: "k" }));
    // Requests that are refused meanwhile: time for what would come by itself.
    const request = { method: "GET", protocol: "https:", hostname: HOST, path: "/", headers: {} };
    for (let round = 0; round < 200; round++) (await handler.handle(request)).response.body.destroy();
    assert.ok(sent < 100, `${sent} MiB were sent to nobody`);
    (Body as Readable).destroy();
    s3.destroy();
  });
});
