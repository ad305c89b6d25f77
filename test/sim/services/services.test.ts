import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:https";
import { connect } from "node:tls";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KmsClient } from "../../../lib/kms/kms_client.ts";
import { decodeBase64 } from "../../../lib/core/encoding.ts";
import type { TcpEndpoint } from "../../../lib/core/endpoint.ts";
import { NsmSocket } from "../../../lib/nsm/nsm_socket.ts";
import { type SimulatedServices, startServices } from "../../../sim/mod.ts";
import { describe, test } from "#test";
import { codeBlocks, readPage } from "../../support/documents.ts";

const KEY_ID = "11111111-2222-4333-8444-555555555555";
const SEED = {
  region: "eu-central-1",
  pcrs: { 0: "ab".repeat(48) },
  credentials: {
    accessKeyId: "ASIASEED",
    secretAccessKey: "it's 'quoted'".replaceAll(" ", "-"),
    sessionToken: "t",
  },
  keys: [{ keyId: KEY_ID, material: Buffer.alloc(32, 7).toString("base64"), alias: "alias/app" }],
  ciphertexts: [{ name: "pw", key: "alias/app", plaintext: "hello", encryptionContext: { tenant: "a" } }],
  buckets: [{ name: "sealed", objects: { "age-key": "AQID" } }],
};

describe("startServices()", () => {
  test("plants the seed, whose ciphertexts open in the simulator of the same seed", async () => {
    let ciphertext = "";
    {
      await using services = await startServices({ seed: JSON.stringify(SEED) });
      ciphertext = services.description.ciphertexts[0]?.ciphertext ?? "";
      const arn = services.description.keys[0]?.arn;
      assert.equal(arn, `arn:aws:kms:eu-central-1:111122223333:key/${KEY_ID}`);
      assert.equal(await decrypted(services, ciphertext), "hello");
    }
    await using again = await startServices({ seed: JSON.stringify({ ...SEED, ciphertexts: [] }) });
    assert.equal(await decrypted(again, ciphertext), "hello");
    await using other = await startServices({ seed: JSON.stringify({ ...SEED, pcrs: {} }) });
    assert.equal(await decrypted(other, ciphertext), "hello", "the policy follows the enclave's registers");
    const material = Buffer.alloc(32, 8).toString("base64");
    const strange = { ...SEED, ciphertexts: [], keys: [{ ...SEED.keys[0], material }] };
    await using foreign = await startServices({ seed: JSON.stringify(strange) });
    await assert.rejects(decrypted(foreign, ciphertext), { kmsCode: "InvalidCiphertextException" });
  });

  test("takes the seed that docs/testing-your-application.md shows", async () => {
    const page = "docs/testing-your-application.md";
    const [block] = codeBlocks(page, readPage(page), ["json"]);
    await using services = await startServices({ seed: block?.code });
    assert.deepEqual(services.description.keys.map(({ alias }) => alias), ["alias/app", "alias/signing"]);
    assert.equal(services.description.variables["AWS_ACCESS_KEY_ID"], "ASIASIMULATED");
  });

  test("keeps a key of the default policy from whoever has no document", async () => {
    await using services = await startServices({ seed: JSON.stringify(SEED) });
    const { simulator, description } = services;
    const CiphertextBlob = description.ciphertexts[0]?.ciphertext;
    const EncryptionContext = { tenant: "a" };
    const refused = simulator.kms.call("Decrypt", { CiphertextBlob, EncryptionContext });
    await assert.rejects(refused, { kmsCode: "AccessDeniedException" });
  });

  test("writes files that only their owner reads, and removes them and the socket", async () => {
    const services = await startServices({ seed: JSON.stringify(SEED) });
    const { folder, envFile, kms, nsm, variables } = services.description;
    assert.deepEqual(readdirSync(folder).sort(), ["ca.pem", "env", "nsm.sock", "ready.json", "root.pem"]);
    assert.match(readFileSync(kms.caFile, "utf8"), /^-----BEGIN CERTIFICATE/);
    assert.match(readFileSync(nsm.rootFile, "utf8"), /^-----BEGIN CERTIFICATE/);
    const ready = JSON.parse(readFileSync(join(folder, "ready.json"), "utf8")) as { variables: object };
    assert.deepEqual(ready.variables, variables);
    const env = readFileSync(envFile, "utf8");
    assert.ok(env.includes(`export AWS_SECRET_ACCESS_KEY='it'\\''s-'\\''quoted'\\'''\n`), env);
    await services[Symbol.asyncDispose]();
    assert.equal(existsSync(folder), false);
  });

  test("has the names that clients connect to on KMS's certificate, and no other", async () => {
    await using services = await startServices({ names: ["kms"] });
    const { kms } = services.description;
    assert.match(kms.url, /^https:\/\/kms:\d+$/);
    const { port } = services.simulator.endpoint as TcpEndpoint;
    const ca = services.simulator.trustedCertificates;
    const verified = (servername: string) =>
      new Promise((resolve) => {
        const socket = connect({ host: "127.0.0.1", port, ca, servername }, () => {
          resolve(true);
          socket.destroy();
        });
        socket.on("error", () => resolve(false));
      });
    const names = ["kms", "localhost", "kms.us-east-1.amazonaws.com", "kms.example.com"];
    assert.deepEqual(await Promise.all(names.map(verified)), [true, true, true, false]);
    const status = await new Promise((resolve, reject) => {
      const sent = request({ host: "127.0.0.1", port, ca, method: "POST", agent: false }, (answer) => {
        resolve(answer.statusCode);
        answer.resume();
      });
      sent.on("error", reject);
      sent.end("{}");
    });
    assert.equal(status, 400, "by its address, too");
  });

  test("serves KMS in clear only when it is told to, the metadata service and S3", async () => {
    await using services = await startServices({ seed: JSON.stringify(SEED), plainPort: 0 });
    const { kms, imds, s3 } = services.description;
    const answer = await fetch(kms.plainUrl ?? "", { method: "POST", body: "{}" });
    assert.equal((await answer.json() as { __type: string }).__type, "UnknownOperationException");
    const headers = { "x-aws-ec2-metadata-token-ttl-seconds": "60" };
    assert.equal((await fetch(`${imds.url}/latest/api/token`, { method: "PUT", headers })).status, 200);
    const refused = await fetch(`${s3.url}/sealed/age-key`);
    await refused.body?.cancel();
    assert.equal(refused.status, 403);
    await using closed = await startServices();
    assert.equal(closed.description.kms.plainUrl, undefined);
  });

  test("takes the place of a simulator that was killed, and of no other", async () => {
    const folder = mkdtempSync(join(tmpdir(), "services-"));
    const aside = mkdtempSync(join(tmpdir(), "services-"));
    try {
      await using _first = await startServices({ folder });
      await assert.rejects(startServices({ folder }), /^TypeError: folder must be that of no other running/);
      const kept = join(aside, "kept");
      writeFileSync(kept, "kept");
      symlinkSync(kept, join(aside, "env"));
      await using second = await startServices({ folder: aside });
      assert.equal(readFileSync(kept, "utf8"), "kept", "a link in the place of a file is not followed");
      assert.match(readFileSync(second.description.envFile, "utf8"), /^export AWS_ACCESS_KEY_ID=/);
    } finally {
      assert.deepEqual(readdirSync(aside), ["kept"]);
      rmSync(folder, { recursive: true });
      rmSync(aside, { recursive: true });
    }
  });

  test("refuses what is no folder, what everybody may write to, and what is no socket", async () => {
    const folder = mkdtempSync(join(tmpdir(), "services-"));
    try {
      writeFileSync(join(folder, "nsm.sock"), "mine");
      await assert.rejects(startServices({ folder }), /no nsm\.sock that is not a socket/);
      assert.equal(readFileSync(join(folder, "nsm.sock"), "utf8"), "mine");
      await assert.rejects(startServices({ folder: join(folder, "nsm.sock") }), /must be a folder/);
      chmodSync(folder, 0o777);
      await assert.rejects(startServices({ folder }), /must not be writable by everybody/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  const wrong = {
    "a key that KMS has not": [{ keys: [{ spec: "RSA_1" }] }, /^TypeError: keys\[0\]: KeyUsage/],
    "material of another length": [{ keys: [{ material: "AA==" }] }, /keys\[0\]: material must be 32 bytes/],
    "material of a key pair": [
      { keys: [{ spec: "RSA_2048", material: "AA==" }] },
      /material must not be given/,
    ],
    "an alias twice": [{ keys: [{ alias: "alias/a" }, { alias: "alias/a" }] }, /keys\[1\]: alias must be/],
    "a policy that cannot be judged": [
      { keys: [{ policy: { Statement: [{ Effect: "Allow", NotPrincipal: "*", Action: "*" }] } }] },
      /keys\[0\]: .*NotPrincipal/,
    ],
    "a ciphertext under no key": [
      { ciphertexts: [{ name: "a", key: "alias/none", plaintext: "b" }] },
      /ciphertexts\[0\]: KMS refuses it with NotFoundException/,
    ],
  } as const;
  for (const [name, [seed, message]] of Object.entries(wrong)) {
    test(`refuses a seed with ${name}`, async () => {
      await assert.rejects(startServices({ seed: JSON.stringify(seed) }), message);
    });
  }

  test("refuses a host that is no address, and a port that is taken", async () => {
    await assert.rejects(startServices({ host: "example.com" }), /^TypeError: host must be an IPv4 address/);
    await using services = await startServices();
    const { port } = services.simulator.endpoint as TcpEndpoint;
    await assert.rejects(startServices({ port }), /^TypeError: port must be one that can be .*EADDRINUSE$/);
  });
});

async function decrypted({ simulator, description }: SimulatedServices, ciphertext: string): Promise<string> {
  const { kms, nsm, variables } = description;
  using socket = new NsmSocket(nsm.socket);
  await using client = await KmsClient.open({
    region: description.region,
    endpoint: simulator.endpoint,
    trustedCertificates: readFileSync(kms.caFile, "utf8"),
    credentials: {
      accessKeyId: variables["AWS_ACCESS_KEY_ID"] ?? "",
      secretAccessKey: variables["AWS_SECRET_ACCESS_KEY"] ?? "",
      sessionToken: variables["AWS_SESSION_TOKEN"],
    },
    nsm: socket,
  });
  const request = { ciphertext: decodeBase64(ciphertext), encryptionContext: { tenant: "a" } };
  using secret = await client.decrypt(request);
  return new TextDecoder().decode(secret.bytes);
}
