/**
 * Whole service of examples/field-encryption over AF_VSOCK: AWS by the parent's relay, KMS, callers over attested
 * TLS, and data keys that change while requests run.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createLogger } from "../../../enclave/telemetry/log.ts";
import { startFieldEncryption } from "../../../examples/field-encryption/service.ts";
import { attestedTlsFetch } from "../../../lib/channel/node/mod.ts";
import { createFetch } from "../../../lib/transport/create_fetch.ts";
import { pem } from "../../../sim/tls/certificates.ts";
import { PATIENCE_MS, PATIENT, REGION } from "../../aws_sdk/fake_services.ts";
import { makeAuthority, makeClient } from "../../enclave/channels/tls_serving.ts";
import { startEnclave } from "../../support/engines.ts";
import { FieldEncryptionWorld } from "../../support/field_encryption_world.ts";
import { until } from "../../support/until.ts";
import { check } from "../check.ts";
import { GUEST_CID, KMS_HOST, SERVICES_HOST } from "../guest_addresses.ts";
import { startKmsProxy } from "../kms_proxy.ts";
import { Load } from "../load.ts";

/** Another one than the relay's: the parent and the enclave have one CID here. */
const TLS_PORT = 9443;
const WIDTH = 4;
const CUSTOMER = { id: 7, name: "Ada", born: "1815-12-10" };
const DOCUMENT = {
  openapi: "3.1.0",
  components: {
    schemas: {
      Customer: {
        type: "object",
        properties: {
          id: { type: "integer" },
          name: { type: "string", "x-encrypt": true },
          born: { type: "string", "x-encrypt": true },
        },
      },
    },
  },
};

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-fields-"));
const listen = { transport: "tcp", host: KMS_HOST, port: 0 } as const;
await using surroundings = await startEnclave({ region: REGION, listen });
const { simulator } = surroundings;
await using world = await FieldEncryptionWorld.create(simulator, { host: SERVICES_HOST });
world.documents.set("customers.json", JSON.stringify(DOCUMENT));
await using _proxy = await startKmsProxy(simulator.endpoint);
const authority = await makeAuthority();
writeFileSync(join(folder, "clients.pem"), pem("CERTIFICATE", authority.certificate));

const lines: string[] = [];
const { trustedCertificates } = world;
const relay = { transport: "vsock", cid: GUEST_CID, port: 8443 } as const;
const enclave = await startFieldEncryption({ dataKeySeconds: 2, schemaSeconds: 2, ...world.settings }, {
  aws: { relay, trustedCertificates, ...PATIENT },
  enclave: {
    trustedCertificates: simulator.trustedCertificates,
    logger: createLogger("info", (line) => lines.push(line)),
    signals: false,
    environment: {
      ENCLAVE_KMS_REGION: REGION,
      ENCLAVE_KMS_TLS: `vsock:${TLS_PORT}`,
      ENCLAVE_KMS_CLIENT_AUTHORITIES_FILE: join(folder, "clients.pem"),
      ENCLAVE_KMS_POLICY_FILE: fileURLToPath(
        new URL("../../../examples/field-encryption/policy.cedar", import.meta.url),
      ),
      ENCLAVE_KMS_ENGINE: "direct",
      ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "100000",
      ENCLAVE_KMS_IDLE_TIMEOUT_MS: "200000",
    },
  },
});
const { cert, key } = await makeClient(authority);
const ask = attestedTlsFetch({
  pcrs: { 0: simulator.nsm.pcr(0) },
  root: simulator.nsm.root,
  endpoint: { transport: "vsock", cid: GUEST_CID, port: TLS_PORT },
  timeoutMs: PATIENCE_MS,
  cert,
  key,
});
pushCredentials();

await check("it is ready: a secret, its data key and the schemas came through the relay", async () => {
  const clear = createFetch({ transport: "vsock", cid: GUEST_CID, port: 8080 });
  const readiness = async () => {
    const answer = await clear("http://enclave/readyz");
    const { clock } = await answer.json() as { clock?: boolean };
    return answer.status === 200 && clock === true;
  };
  await until(readiness, () => lines.slice(-4).join(""));
});

await check("data keys and schemas change under load, and no request is lost", async () => {
  const old = await post("encrypt", CUSTOMER);
  const used = new Set<string>();
  const counted = { count: 0 };
  {
    await using load = Load.start(WIDTH, async () => {
      const encrypted = await post("encrypt", CUSTOMER);
      used.add(String(encrypted.body["name"]).split(":")[1] ?? "");
      const { status, body } = await post("decrypt", encrypted.body);
      assert.deepEqual(body, CUSTOMER);
      counted.count++;
      return `${encrypted.status} ${status}`;
    });
    for (const id of ["second", "third"]) {
      await load.untilAllMade(2);
      await world.rotate(id);
      world.documents.set(`${id}.json`, JSON.stringify({ openapi: "3.1.0", components: { schemas: {} } }));
      pushCredentials();
      await until(() => used.has(id), () => JSON.stringify([...used, load.outcomes, lines.slice(-3)]));
    }
    await load.untilAllMade(2);
    assert.deepEqual(Object.keys(load.outcomes), ["200 200"]);
  }
  assert.deepEqual([...used], ["first", "second", "third"]);
  assert.deepEqual(await post("decrypt", old.body), { status: 200, body: CUSTOMER });
  return `${2 * counted.count} requests`;
});

await enclave.close();
rmSync(folder, { recursive: true });

/** Gives the enclave credentials, as the parent does: the port for them takes none from the loopback's CID. */
function pushCredentials(): void {
  const expiration = new Date(Date.now() + 250_000); // so near that the SDK asks each time
  enclave.kms.updateCredentials({ ...world.issueCredentials(), expiration }, { force: true });
}

async function post(path: string, body: object) {
  const answer = await ask(`https://enclave.internal/v1/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-schema-name": "Customer" },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() as Record<string, unknown> };
}
