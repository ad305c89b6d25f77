import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync, type KeyObject, sign, X509Certificate } from "node:crypto";
import { once } from "node:events";
import tls, { connect, createServer, type TLSSocket } from "node:tls";
import { describe, test } from "#test";
import { CertificateError } from "../../../../lib/core/errors.ts";
import { checkPeerChain, readRoots } from "../../../../lib/kms/https/peer_chain.ts";
import { type Identity, issueCertificate, pem, privateKeyPem } from "../../../../sim/tls/certificates.ts";
import {
  bitString,
  type Bytes,
  element,
  integer,
  octetString,
  oid,
  sequence,
  set,
  time,
  TRUE,
  utf8String,
} from "../../../../sim/tls/der.ts";
import { connectionTo, echo, HOST, send, serveTls } from "./servers.ts";

const DAY_MS = 86_400_000;
const now = Date.now();
const isDeno = "Deno" in globalThis;

/** Keys of somebody on the way, whom nobody vouches for. */
const leafKeys = generateKeyPairSync("ec", { namedCurve: "P-256" });
const middleKeys = generateKeyPairSync("ec", { namedCurve: "P-256" });

const name = (text: string) => sequence(set(sequence(oid("2.5.4.3"), utf8String(text))));
const ALGORITHM = sequence(oid("1.2.840.10045.4.3.2"));
const extension = (id: string, value: Bytes, ...flags: Bytes[]) =>
  sequence(oid(id), ...flags, octetString(value));
const NAMES = extension("2.5.29.17", sequence(element(0x82, Buffer.from(HOST))));
const AUTHORITY = extension("2.5.29.19", sequence(TRUE), TRUE);
const BAD_BOOLEAN = extension("2.5.29.19", Uint8Array.of(0x30, 3, 1, 1, 5), TRUE);

interface Forged {
  readonly version: 1 | 2 | 3;
  readonly issuer: string;
  readonly subject: string;
  readonly keys?: { readonly publicKey: KeyObject };
  readonly extensions?: readonly Bytes[];
  /** Key that signs. Default: one that has nothing to do with it. */
  readonly signer?: KeyObject;
}

function forge({ version, issuer, subject, keys = leafKeys, extensions = [], signer }: Forged): string {
  const signedPart = sequence(
    ...(version === 1 ? [] : [element(0xa0, integer(version - 1))]),
    integer(5),
    ALGORITHM,
    name(issuer),
    sequence(time(now - DAY_MS), time(now + DAY_MS)),
    name(subject),
    new Uint8Array(keys.publicKey.export({ type: "spki", format: "der" })),
    ...(version === 3 ? [element(0xa3, sequence(...extensions))] : []),
  );
  const signature = sign("sha256", signedPart, signer ?? middleKeys.privateKey);
  return pem("CERTIFICATE", sequence(signedPart, ALGORITHM, bitString(new Uint8Array(signature))));
}

const LEAF_BELOW = forge({
  version: 3,
  issuer: "Middle",
  subject: HOST,
  extensions: [NAMES],
  signer: middleKeys.privateKey,
});
const MIDDLE: Forged = {
  version: 3,
  issuer: "Trusted",
  subject: "Middle",
  keys: middleKeys,
  signer: leafKeys.privateKey,
};

/** Chains that fit by their names, and that no trusted authority signed. */
const FORGED: readonly (readonly [what: string, chain: string])[] = [
  ["of version 1", forge({ version: 1, issuer: "Trusted", subject: HOST })],
  ["of version 2", forge({ version: 2, issuer: "Trusted", subject: HOST })],
  ["of version 3", forge({ version: 3, issuer: "Trusted", subject: HOST, extensions: [NAMES] })],
  [
    "badly encoded",
    forge({ version: 3, issuer: "Trusted", subject: HOST, extensions: [NAMES, BAD_BOOLEAN] }),
  ],
  ["below one of version 1", LEAF_BELOW + forge({ ...MIDDLE, version: 1 })],
  ["below one of version 2", LEAF_BELOW + forge({ ...MIDDLE, version: 2 })],
  ["below one of version 3", LEAF_BELOW + forge({ ...MIDDLE, extensions: [AUTHORITY] })],
  ["below one that is no authority", LEAF_BELOW + forge({ ...MIDDLE, extensions: [] })],
];

async function issue(subject: string, issuer?: Identity, changes: object = {}): Promise<Identity> {
  const validity = { notBefore: now - DAY_MS, notAfter: now + DAY_MS };
  return await issueCertificate(
    { subject: [["CN", subject]], curve: "P-256", ...validity, ...changes },
    issuer,
  );
}

describe("a chain of certificates", () => {
  test("that nobody signed is refused before a byte is sent, whatever its form", async () => {
    const trustedCertificates = pem(
      "CERTIFICATE",
      (await issue("Trusted", undefined, { pathLength: 3 })).certificate,
    );
    for (const [what, cert] of FORGED) {
      const key = leafKeys.privateKey.export({ type: "pkcs8", format: "pem" });
      let requests = 0;
      await using server = await serveTls(() => requests++, { tls: { cert, key } });
      using connection = connectionTo(server, { trustedCertificates });
      await assert.rejects(send(connection), CertificateError, what);
      assert.equal(requests, 0, what);
    }
  });

  // When this fails, Deno has been mended, and checkPeerChain() can go.
  test.skipIf(!isDeno)("that nobody signed is accepted by Deno alone", async () => {
    const ca = pem("CERTIFICATE", (await issue("Trusted", undefined, { pathLength: 3 })).certificate);
    const [, cert] = FORGED[0]!;
    const socket = await connected(cert, leafKeys.privateKey.export({ type: "pkcs8", format: "pem" }), ca);
    assert.equal(socket.authorized, true);
    socket.destroy();
  });

  test("is accepted when each certificate is signed by the next, to one that is trusted", async () => {
    const root = await issue("Root", undefined, { pathLength: 3 });
    const middle = await issue("Middle", root, { pathLength: 0 });
    const leaf = await issue(HOST, middle, { dnsNames: [HOST] });
    const direct = await issue(HOST, root, { dnsNames: [HOST] });
    const tails = [[leaf, middle], [leaf, middle, root], [direct], [direct, middle]];
    for (const chain of tails) {
      const cert = chain.map(({ certificate }) => pem("CERTIFICATE", certificate)).join("");
      const key = await privateKeyPem(chain[0]!);
      await using server = await serveTls(echo, { tls: { cert, key } });
      using connection = connectionTo(server, { trustedCertificates: pem("CERTIFICATE", root.certificate) });
      assert.match(await send(connection), /"length":4/);
    }
  });
});

describe("checkPeerChain()", () => {
  test("finds each fault, with OpenSSL's name for it", async () => {
    const root = await issue("Root", undefined, { pathLength: 3 });
    const middle = await issue("Middle", root, { pathLength: 0 });
    const leaf = await issue(HOST, middle, { dnsNames: [HOST] });
    const noAuthority = await issue("Middle", root, { keyUsage: "certificates" });
    const below = await issue(HOST, noAuthority, { dnsNames: [HOST] });
    const roots = readRoots([pem("CERTIFICATE", root.certificate)]);
    const cases: readonly (readonly [chain: readonly Identity[], atMs: number, code: string | undefined])[] =
      [
        [[leaf, middle], now, undefined],
        [[leaf], now, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
        [[leaf, root], now, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
        [[leaf, middle], now + 2 * DAY_MS, "CERT_HAS_EXPIRED"],
        [[leaf, middle], now - 2 * DAY_MS, "CERT_HAS_EXPIRED"],
        [[below, noAuthority], now, "INVALID_CA"],
        [[], now, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
        [Array.from({ length: 20 }, () => leaf), now, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
      ];
    for (const [chain, atMs, code] of cases) {
      const check = () => checkPeerChain(showing(chain.map(({ certificate }) => certificate)), roots, atMs);
      if (code === undefined) check();
      else assert.throws(check, { code });
    }
    assert.throws(() => checkPeerChain(showing([new Uint8Array(20)]), roots), {
      code: "ERROR_IN_CERT_FIELD",
    });
    assert.throws(() => checkPeerChain(showing([leaf.certificate, middle.certificate]), []), {
      code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    });
  });

  test("accepts a certificate that is trusted itself", async () => {
    const own = await issue(HOST, undefined, { dnsNames: [HOST] });
    checkPeerChain(showing([own.certificate]), [new X509Certificate(own.certificate)]);
  });

  test("knows the runtime's own authorities, and passes over what it cannot read", () => {
    assert.ok(readRoots().length > 20);
    assert.ok(readRoots().every((root) => root.subject !== undefined));
    assert.deepEqual(readRoots(["no certificate"]), []);
    assert.ok(tls.rootCertificates.length > 20);
  });
});

/** A socket whose peer showed these certificates, each as the issuer of the one before. */
function showing(chain: readonly Bytes[]): TLSSocket {
  type Shown = { raw?: Buffer; issuerCertificate?: Shown };
  const shown = chain.toReversed().reduce<Shown>(
    (issuerCertificate, der) => ({ raw: Buffer.from(der), issuerCertificate }),
    {},
  );
  return { getPeerCertificate: () => shown } as unknown as TLSSocket;
}

async function connected(cert: string, key: string | Buffer, ca: string): Promise<TLSSocket> {
  const server = createServer({ cert, key }, (socket) => socket.on("error", () => {}));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const socket = connect({ host: "127.0.0.1", port, servername: HOST, ca });
  await once(socket, "secureConnect");
  server.close();
  return socket;
}
