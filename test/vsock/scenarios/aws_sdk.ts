/**
 * A program written for three clients of the AWS SDK, over AF_VSOCK: its clients are made with two more lines, TLS goes
 * through the parent's relay to the simulated KMS and to fakes that check signatures, and `/dev/nsm` attests.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { KMSClient } from "@aws-sdk/client-kms";
import { S3Client } from "@aws-sdk/client-s3";
import { SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { recipientPlugin, vsockRequestHandler } from "../../../aws_sdk/mod.ts";
import { encodeBase64 } from "../../../lib/core/encoding.ts";
import { attestedKeyPolicy } from "../../../sim/mod.ts";
import { TlsAuthority } from "../../../sim/tls/tls_certificates.ts";
import { NAMES, openRelay, PATIENT, REGION } from "../../aws_sdk/fake_services.ts";
import { type SignedRequest, SignedServer } from "../../aws_sdk/signed_server.ts";
import { startEnclave } from "../../support/engines.ts";
import { type Clients, keepObject, openSecret, remakeDataKey } from "../aws_program.ts";
import { check } from "../check.ts";
import { GUEST_CID, KMS_HOST, SERVICES_HOST } from "../guest_addresses.ts";

const SECRET_ARN = `arn:aws:secretsmanager:${REGION}:111122223333:secret:report-key-a1b2c3`;
const PLAINTEXT = "attack at dawn";
const OBJECT_BYTES = 3_000_000;

const listen = { transport: "tcp", host: KMS_HOST, port: 0 } as const;
await using enclave = await startEnclave({ region: REGION, listen });
const { simulator } = enclave;
const { endpoint, credentials, hostName } = simulator;
assert.ok(endpoint.transport === "tcp");
const { keyId } = await simulator.createKey({ policy: attestedKeyPolicy({ 0: simulator.nsm.pcr(0) }) });
const sealed = encodeBase64(await simulator.encrypt({ keyId, plaintext: PLAINTEXT }));

const objects = new Map<string, Uint8Array>();
const authority = await TlsAuthority.create(NAMES);
await using services = await SignedServer.start(authority, {
  host: SERVICES_HOST,
  port: endpoint.port,
  secretOf: (id) => id === credentials.accessKeyId ? credentials.secretAccessKey : "",
  answer,
});
const names: string[] = [];
await using relay = await openRelay(undefined, endpoint.port, {
  lookup: (name) => {
    names.push(name);
    return Promise.resolve([name === hostName ? KMS_HOST : SERVICES_HOST]);
  },
});
assert.equal(relay.endpoint.transport, "vsock");

const trustedCertificates = simulator.trustedCertificates + authority.trustedCertificates;
const to = {
  relay: { transport: "vsock", cid: GUEST_CID, port: 8443 },
  trustedCertificates,
  ...PATIENT,
} as const;
const requestHandler = vsockRequestHandler(to); // the first line
const clients = makeClients();
using recipient = recipientPlugin({ timeoutMs: PATIENT.connectTimeoutMs });

await check("without the second line, KMS gives nothing to whoever is not attested", async () => {
  await assert.rejects(openSecret(clients, SECRET_ARN), { name: "AccessDeniedException" });
});

clients.kms.middlewareStack.use(recipient); // the second line

await check("a secret of Secrets Manager is opened by KMS", async () => {
  for (let index = 0; index < 5; index++) assert.equal(await openSecret(clients, SECRET_ARN), PLAINTEXT);
});

await check("KMS makes a data key, and opens it again", async () => {
  assert.equal(await remakeDataKey(clients, keyId), true);
});

await check("an object goes to S3, and comes back in chunks", async () => {
  const bytes = randomBytes(OBJECT_BYTES);
  assert.equal(await keepObject(clients, bytes), OBJECT_BYTES);
  assert.deepEqual([...objects.values()].map(({ length }) => length), [OBJECT_BYTES]);
});

await check("many at once, of all services", async () => {
  const bytes = randomBytes(10_000);
  const rounds = Array.from({ length: 20 }, async () => {
    assert.equal(await openSecret(clients, SECRET_ARN), PLAINTEXT);
    assert.equal(await keepObject(clients, bytes), bytes.length);
  });
  await Promise.all(rounds);
  const { length } = services.seen;
  assert.equal(length, 1 + 5 + 2 + 20 + 40, "each request once");
  assert.deepEqual(new Set(names), new Set(["kms", "s3", "secretsmanager"].map(nameOf)));
  return `connections: ${names.length}`;
});

for (const client of Object.values(clients)) client.destroy();
requestHandler[Symbol.dispose]();

function makeClients(): Clients {
  const common = { region: REGION, credentials, requestHandler };
  return {
    kms: new KMSClient(common),
    s3: new S3Client({ ...common, forcePathStyle: true }),
    secrets: new SecretsManagerClient(common),
  };
}

function nameOf(service: string): string {
  return `${service}.${REGION}.amazonaws.com`;
}

/** Answers as Secrets Manager and S3. */
function answer({ service, method, target, body }: SignedRequest, response: ServerResponse): void {
  if (service === "secretsmanager") {
    const { SecretId } = JSON.parse(new TextDecoder().decode(body)) as { SecretId: string };
    response.writeHead(SecretId === SECRET_ARN ? 200 : 400, { "content-type": "application/x-amz-json-1.1" });
    return void response.end(JSON.stringify({ ARN: SecretId, SecretString: sealed }));
  }
  const { pathname } = new URL(target, "https://s3");
  if (method === "PUT") objects.set(pathname, body);
  const object = method === "PUT" ? new Uint8Array() : objects.get(pathname);
  const length = String(object?.length ?? 0);
  response.writeHead(object === undefined ? 404 : 200, { "content-length": length }).end(object);
}
