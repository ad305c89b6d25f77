import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "#test";
import { ClientAuthorities } from "../../../enclave/channels/client_authorities.ts";
import { TlsChannel } from "../../../enclave/channels/tls_channel.ts";
import { extension, type Identity, issueCertificate, pem } from "../../../sim/tls/certificates.ts";
import { element, oid, sequence } from "../../../sim/tls/der.ts";
import { until } from "../../support/until.ts";
import {
  ask,
  BOOT_ID,
  type ClientIdentity,
  DAY_MS,
  identityPem,
  makeAuthority,
  makeClient,
  open,
  TlsServing,
} from "./tls_serving.ts";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
/** Deno's TLS itself stops at what it cannot read, and says nothing. */
const ON_DENO = "Deno" in globalThis;
const CLIENT_AUTH = extension("2.5.29.37", sequence(oid("1.3.6.1.5.5.7.3.2")));
const UNKNOWN_CRITICAL = extension("1.3.6.1.4.1.55555.1", sequence(), true);

describe("a client's certificate", () => {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-clients-"));
  let authority: Identity;
  let clientAuthorities: string;
  let good: Awaited<ReturnType<typeof makeClient>>;
  beforeAll(async () => {
    authority = await makeAuthority();
    clientAuthorities = pem("CERTIFICATE", authority.certificate);
    good = await makeClient(authority);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Asks with an identity, and tells the bindings that the request had; none when it was refused. */
  async function bindings(serving: TlsServing, client: ClientIdentity | undefined) {
    const before = serving.callers.length;
    await ask(await serving.listen(), { ca: serving.channel.certificatePem, ...client });
    const { channel, certificate } = serving.callers[before] ?? {};
    return serving.callers.length === before ? undefined : { channel, certificate };
  }

  test("is a binding of its requests when an authority vouches for it", async () => {
    await using serving = new TlsServing({ clientAuthorities });
    assert.deepEqual(await bindings(serving, good), { channel: "tls", certificate: good.der });
    const withPurpose = await makeClient(authority, { extraExtensions: [CLIENT_AUTH] });
    assert.deepEqual((await bindings(serving, withPurpose))?.certificate, withPurpose.der);
    assert.deepEqual(serving.refusals, []);
  });

  test("may be missing: then its client is nobody", async () => {
    await using serving = new TlsServing({ clientAuthorities });
    assert.deepEqual(await bindings(serving, undefined), { channel: "tls", certificate: undefined });
  });

  test("is not asked for, and counts for nothing, without authorities", async () => {
    await using serving = new TlsServing();
    assert.deepEqual(await bindings(serving, good), { channel: "tls", certificate: undefined });
  });

  test("is refused with its connection when nobody vouches for it, whatever it says", async () => {
    await using serving = new TlsServing({ clientAuthorities, limits: { handshakeMs: 5000 } });
    const sameName = await makeAuthority();
    const below = await issueCertificate({
      subject: [["CN", "Below"]],
      curve: "P-256",
      notBefore: Date.now() - DAY_MS,
      notAfter: Date.now() + DAY_MS,
      pathLength: 0,
    }, authority);
    const cases: readonly (readonly [what: string, reason: string, client: ClientIdentity])[] = [
      ["self-signed", "certificate-issuer", await makeClient(undefined)],
      ["of an authority of the same name", "certificate-issuer", await makeClient(sameName)],
      ["of an authority below", "certificate-issuer", await makeClient(below)],
      ["a server's", "certificate-usage", await makeClient(authority, { dnsNames: ["enclave.internal"] })],
      [
        "of a key that may only sign certificates",
        "certificate-usage",
        await makeClient(authority, { keyUsage: "certificates" }),
      ],
      [
        "with a critical extension",
        ON_DENO ? "timeout" : "certificate-form",
        await makeClient(authority, { extraExtensions: [UNKNOWN_CRITICAL] }),
      ],
      ["the authority's own", "certificate-usage", await identityPem(authority)],
      ["an authority's below", "certificate-usage", await identityPem(below)],
      [
        "expired",
        "certificate-expired",
        await makeClient(authority, { notBefore: Date.now() - 2 * DAY_MS, notAfter: Date.now() - DAY_MS }),
      ],
      [
        "not valid yet",
        "certificate-expired",
        await makeClient(authority, { notBefore: Date.now() + DAY_MS }),
      ],
    ];
    for (const [what, reason, client] of cases) {
      const before = serving.refusals.length;
      assert.equal(await bindings(serving, client), undefined, what);
      await until(() => serving.refusals.length > before);
      assert.equal(serving.refusals.at(-1), reason, what);
    }
    assert.equal(serving.callers.length, 0);
    assert.deepEqual(await bindings(serving, good), { channel: "tls", certificate: good.der });
  });

  test("is valid by the channel's clock", async () => {
    let now = Date.now() + 2 * DAY_MS;
    await using serving = new TlsServing({ clientAuthorities, now: () => now });
    assert.equal(await bindings(serving, good), undefined);
    now = Date.now() - 2 * DAY_MS;
    assert.equal(await bindings(serving, good), undefined);
    now = Date.now();
    assert.deepEqual((await bindings(serving, good))?.certificate, good.der);
    now = Date.now() + 2 * 365 * DAY_MS;
    const long = await makeClient(authority, { notAfter: Date.now() + 1000 * DAY_MS });
    assert.equal(await bindings(serving, long), undefined, "its authority has expired");
  });

  test("is not judged while the clock is not known, and is on the same connection afterwards", async () => {
    let now: number | undefined;
    await using serving = new TlsServing({ clientAuthorities, now: () => now });
    const client = await open(await serving.listen(), { ca: serving.channel.certificatePem, ...good });
    const times = [undefined, Date.now(), Date.now() + 2 * DAY_MS];
    const expected = [
      { hasUnjudgedCertificate: true },
      { certificate: good.der },
      {},
    ];
    for (const [index, part] of expected.entries()) {
      now = times[index];
      client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
      await once(client, "data");
      const { channel, certificate, hasUnjudgedCertificate } = serving.callers.at(-1) ?? {};
      assert.deepEqual(
        {
          channel,
          ...(certificate && { certificate }),
          ...(hasUnjudgedCertificate && { hasUnjudgedCertificate }),
        },
        { channel: "tls", ...part },
      );
    }
    client.destroy();
    now = undefined;
    const foreign = await makeClient(await makeAuthority("Others"));
    assert.equal(await bindings(serving, foreign), undefined, "all but the time is judged all the same");
  });

  test("that expires while its connection lives makes its client nobody", async () => {
    let now = Date.now();
    await using serving = new TlsServing({ clientAuthorities, now: () => now });
    const client = await open(await serving.listen(), { ca: serving.channel.certificatePem, ...good });
    for (const expected of [good.der, undefined]) {
      client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
      await once(client, "data");
      assert.deepEqual(serving.callers.at(-1)?.certificate, expected);
      now += 2 * DAY_MS;
    }
    client.destroy();
  });

  test.skipIf(!hasOpenssl)(
    "of version 1 is refused: Deno does not check that its client has the key",
    async () => {
      const path = (name: string) => join(folder, name);
      const { cert, key } = await identityPem(authority);
      writeFileSync(path("ca.pem"), cert + key);
      const openssl = (...args: string[]) => spawnSync("openssl", args, { encoding: "utf8" });
      openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path("v1.key"));
      openssl("req", "-new", "-key", path("v1.key"), "-subj", "/CN=client", "-out", path("v1.csr"));
      const made = openssl(
        "x509",
        "-req",
        "-in",
        path("v1.csr"),
        "-CA",
        path("ca.pem"),
        "-CAkey",
        path("ca.pem"),
        "-days",
        "1",
      );
      assert.match(made.stdout, /BEGIN CERTIFICATE/);
      assert.match(
        spawnSync("openssl", ["x509", "-noout", "-text"], { input: made.stdout, encoding: "utf8" }).stdout,
        /Version: 1 /,
      );
      writeFileSync(path("v1.pem"), made.stdout);
      await using serving = new TlsServing({ clientAuthorities });
      await throughOpenssl(serving, ["-cert", path("v1.pem"), "-key", path("v1.key")]);
      await until(() => serving.refusals.length === 1);
      assert.deepEqual(serving.refusals, ["certificate-form"]);
      assert.throws(() => new ClientAuthorities(made.stdout), TypeError, "nor is it an authority");
    },
  );

  // Deno 2.9.5 calls the second connection authorized.
  test.skipIf(!hasOpenssl)("that was refused stays so when its session is resumed", async () => {
    await using serving = new TlsServing({ clientAuthorities });
    const session = join(folder, "session.pem");
    for (const [name, client] of [["refused", await makeClient(undefined)], ["good", good]] as const) {
      const identity = join(folder, `${name}.pem`);
      writeFileSync(identity, client.cert + client.key);
      const args = ["-cert", identity, "-key", identity];
      rmSync(session, { force: true });
      await throughOpenssl(serving, [...args, "-sess_out", session]);
      const [refused, served] = [serving.refusals.length, serving.callers.length];
      if (existsSync(session)) await throughOpenssl(serving, ["-sess_in", session]);
      assert.equal(serving.callers.some(({ certificate }) => certificate !== undefined), name === "good");
      assert.ok(serving.refusals.length >= refused && serving.callers.length >= served);
    }
  });

  /** Sends a request through openssl, and waits for its end. */
  async function throughOpenssl(serving: TlsServing, args: readonly string[]): Promise<string> {
    const endpoint = await serving.listen();
    const port = endpoint.transport === "tcp" ? endpoint.port : 0;
    const connect = ["s_client", "-connect", `127.0.0.1:${port}`, "-tls1_3", "-quiet", ...args];
    const child = spawn("openssl", connect, { stdio: ["pipe", "pipe", "ignore"] });
    let output = "";
    child.stdout.on("data", (chunk) => output += String(chunk));
    child.stdin.on("error", () => {});
    child.stdin.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    await once(child, "close");
    return output;
  }
});

describe("ClientAuthorities", () => {
  test("takes several, of any text around them, and keeps the certificates only", async () => {
    const [first, second] = [await makeAuthority("First"), await makeAuthority("Second")];
    const blocks = [first, second].map(({ certificate }) => pem("CERTIFICATE", certificate));
    const authorities = new ClientAuthorities(`# ours\n${blocks.join("\nHUSH\n")}`);
    assert.equal(authorities.pem, blocks.join(""));
    for (const issuer of [first, second]) {
      const { der } = await makeClient(issuer);
      const checked = authorities.check(der);
      assert.ok(typeof checked === "object");
      assert.deepEqual(checked.der, der);
    }
  });

  test("refuses what is no authority, or has limits that nobody checks", async () => {
    const { cert: leaf } = await makeClient(undefined);
    const limited = await issueCertificate({
      subject: [["CN", "Limited"]],
      curve: "P-256",
      notBefore: Date.now() - DAY_MS,
      notAfter: Date.now() + DAY_MS,
      pathLength: 0,
      extraExtensions: [extension("2.5.29.30", sequence(element(0xa0)), true)],
    });
    const cases = [
      "",
      "HUSH",
      leaf,
      pem("CERTIFICATE", limited.certificate),
      pem("CERTIFICATE", new Uint8Array(9)),
    ];
    for (const text of cases) {
      assert.throws(() => new ClientAuthorities(text), (error: Error) => {
        assert.ok(error instanceof TypeError);
        assert.match(error.message, /^clientAuthorities must /);
        assert.doesNotMatch(error.message, /HUSH/);
        return true;
      });
      const keys = { bootId: BOOT_ID, add: () => assert.fail("no key is added") };
      assert.throws(() => TlsChannel.create({ keys, clientAuthorities: text }), TypeError);
    }
  });

  test("refuses bytes that are no certificate, or not all of one", async () => {
    const authority = await makeAuthority();
    const authorities = new ClientAuthorities(pem("CERTIFICATE", authority.certificate));
    const { der } = await makeClient(authority);
    for (const bytes of [new Uint8Array(), new Uint8Array(100), der.subarray(0, -1), der.subarray(1)]) {
      assert.equal(authorities.check(bytes), "form");
    }
    for (let index = 0; index < der.length; index++) {
      const changed = der.slice();
      changed[index]! ^= 1;
      const checked = authorities.check(changed);
      assert.ok(typeof checked === "string", `byte ${index}`);
    }
  });
});
