import assert from "node:assert/strict";
import { afterAll, beforeAll, describe } from "#test";
import { extension, type Identity, issueCertificate, pem } from "../../sim/tls/certificates.ts";
import { type ServerCertificate, type Simulator, startSimulator } from "../../sim/mod.ts";
import { element, oid, sequence } from "../../sim/tls/der.ts";
import { type EngineCase, WIRE_CASES } from "../support/engines.ts";
import { shareKeyOfDouble } from "../support/sdk_double.ts";
import {
  assertNothingOf,
  Besieged,
  commonName,
  Impostor,
  makeAuthority,
  PLAINTEXT,
  serverCertificate,
  VALIDITY,
} from "./fixture.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests();

const HOST = "kms.us-east-1.amazonaws.com";

/** An authority that the client trusts, as it trusts the public ones; it certifies what it is asked to. */
const publicAuthority = await makeAuthority("A public authority");
const otherAuthority = await makeAuthority("Another authority");
const publicPem = pem("CERTIFICATE", publicAuthority.certificate);

/**
 * Certificates with which a parent can try to pass for KMS. Only what it can get: no key of KMS or an
 * authority.
 */
const IMPOSTORS: readonly (readonly [name: string, make: () => Promise<ServerCertificate>])[] = [
  ["signed by itself", () => serverCertificate({ dnsNames: [HOST] })],
  ["of an authority that nobody trusts", () => serverCertificate({ dnsNames: [HOST] }, otherAuthority)],
  ["of an authority that bears the trusted one's name", async () => {
    return await serverCertificate({ dnsNames: [HOST] }, await makeAuthority("A public authority"));
  }],
  ["of a server that plays authority", async () => {
    return await serverCertificate({ dnsNames: [HOST] }, await leaf("kms.attacker.example"), publicAuthority);
  }],
  ["of an authority below the one that may have none", async () => {
    const between = await makeAuthority("Between", publicAuthority);
    return await serverCertificate(
      { dnsNames: [HOST] },
      await makeAuthority("Below", between),
      between,
      publicAuthority,
    );
  }],
  ["for another name", () => serverCertificate({ dnsNames: ["kms.attacker.example"] }, publicAuthority)],
  ["for KMS of another region", () => {
    return serverCertificate({ dnsNames: ["kms.eu-west-1.amazonaws.com"] }, publicAuthority);
  }],
  ["for a longer name", () => serverCertificate({ dnsNames: [`${HOST}.attacker.example`] }, publicAuthority)],
  ["for a name with a NUL in it", () => {
    return serverCertificate({ dnsNames: [`${HOST}\0.attacker.example`] }, publicAuthority);
  }],
  ["for a wildcard too high up", () => serverCertificate({ dnsNames: ["*.amazonaws.com"] }, publicAuthority)],
  ["with the name as its common name only", () => {
    const subject = commonName(HOST);
    return serverCertificate({ subject, dnsNames: ["kms.attacker.example"] }, publicAuthority);
  }],
  ["for clients, not servers", () => {
    const forClients = extension("2.5.29.37", sequence(oid("1.3.6.1.5.5.7.3.2")));
    const names = extension("2.5.29.17", sequence(element(0x82, new TextEncoder().encode(HOST))));
    return serverCertificate({ extraExtensions: [forClients, names] }, publicAuthority);
  }],
  ["that has expired", () => {
    return serverCertificate({ dnsNames: [HOST], notAfter: Date.now() - 60_000 }, publicAuthority);
  }],
  ["that is not valid yet", () => {
    return serverCertificate({ dnsNames: [HOST], notBefore: Date.now() + 60_000 }, publicAuthority);
  }],
];

function leaf(name: string): Promise<Identity> {
  return issueCertificate(
    { subject: commonName(name), curve: "P-256", ...VALIDITY, dnsNames: [name] },
    publicAuthority,
  );
}

shareKeyOfDouble();

for (const engineCase of WIRE_CASES) {
  describe.skipIf(engineCase.skip)(
    `a proxy that ends TLS, engine ${engineCase.label}`,
    () => suite(engineCase),
  );
}

function suite(engineCase: EngineCase): void {
  const refusal = engineCase.speaksHttps ? "ERR_CERTIFICATE" : "ERR_SDK_KMS_CLIENT";
  let elsewhere: Simulator;
  let besieged: Besieged;

  beforeAll(async () => {
    elsewhere = await startSimulator({ region: "eu-west-1" });
    besieged = await Besieged.start(engineCase, publicPem, elsewhere.trustedCertificates);
  });
  afterAll(async () => {
    await besieged[Symbol.asyncDispose]();
    await elsewhere.close();
  });

  test("could pass if it had a key that an authority certified for KMS: the refusals below are about that", async () => {
    await using impostor = await Impostor.start(
      await serverCertificate({ dnsNames: [HOST] }, publicAuthority),
    );
    besieged.relay.redirect(impostor.endpoint);
    await besieged.relay.breakOpen();
    await besieged.expectRefused(
      besieged.decrypt(),
      engineCase.speaksHttps ? "ERR_PROTOCOL" : "ERR_SDK_KMS_DECRYPT",
    );
    assert.match(impostor.heard, /^POST \/ HTTP\/1\.1\r\n/);
    assertNothingOf(impostor.heard, PLAINTEXT, besieged.enclave.simulator.credentials.secretAccessKey);
    await besieged.relay.breakOpen();
    await besieged.expectServed();
  });

  for (const [name, make] of IMPOSTORS) {
    test(`shows a certificate ${name}, and reads nothing`, async () => {
      await using impostor = await Impostor.start(await make());
      besieged.relay.redirect(impostor.endpoint);
      await besieged.relay.breakOpen();
      await besieged.expectRefused(besieged.decrypt(), refusal);
      assert.equal(impostor.connections, 1);
      assert.equal(impostor.heard, "");
      await besieged.expectServed();
    });
  }

  test("leads to the genuine KMS of another region, and it reads nothing", async () => {
    besieged.relay.redirect(elsewhere.endpoint);
    await besieged.relay.breakOpen();
    await besieged.expectRefused(besieged.decrypt(), refusal);
    assert.deepEqual([elsewhere.kms.connectionCount, elsewhere.kms.requestCount], [1, 0]);
    await besieged.expectServed();
  });
}
