import { Buffer } from "node:buffer";
import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { makeTlsCertificate } from "../../../enclave/channels/tls_certificate.ts";
import { readUsage } from "../../../enclave/channels/client_usage.ts";
import { parseAttestedCertificate } from "../../../lib/channel/node/attested_certificate.ts";
import { encodeHex } from "../../../lib/core/encoding.ts";
import { AttestationError } from "../../../lib/core/errors.ts";
import { extension, issueCertificate } from "../../../sim/tls/certificates.ts";
import { oid, sequence } from "../../../sim/tls/der.ts";
import { dictionary, expect, expectSame, type FuzzTarget } from "../target.ts";

const DAY_MS = 86_400_000;
const CLIENT_AUTH = extension("2.5.29.37", sequence(oid("1.3.6.1.5.5.7.3.2")));

/**
 * A certificate of an enclave's TLS, and one of a client of that: two readers of the same bytes. What is taken, OpenSSL
 * reads the same from, where it reads it at all.
 */
export const certificate: FuzzTarget = {
  name: "certificate",
  dependsOnRuntime: true,
  maxLength: 2048,
  covers: [
    "lib/channel/node/attested_certificate.ts",
    "enclave/channels/client_usage.ts",
    "lib/attestation/der.ts",
  ],
  dictionary: dictionary(
    "0x3000",
    "0x3080",
    "0x308100",
    "0x300a06082a8648ce3d040302",
    "0x300a06082a8648ce3d040303",
    "0xa003020102",
    "0xa003020100",
    "0x0101ff",
    "0x0603551d0f",
    "0x0603551d13",
    "0x0603551d25",
    "0x0603551d1e",
    "0x06082b06010505070302",
    "0x06082b06010505070301",
    "0x03020780",
    "0x02010000",
  ),
  async seeds() {
    const own = makeTlsCertificate(generateKeyPairSync("ec", { namedCurve: "P-256" }), "0".repeat(32));
    const request = { subject: [["CN", "client"]], curve: "P-256", notBefore: 0, notAfter: DAY_MS } as const;
    const plain = await issueCertificate(request);
    const withPurpose = await issueCertificate({ ...request, extraExtensions: [CLIENT_AUTH] });
    return [own, plain.certificate, withPurpose.certificate];
  },
  run(input) {
    return `${ofEnclave(input)}, ${ofClient(input)}`;
  },
};

function ofEnclave(input: Uint8Array<ArrayBuffer>): string {
  try {
    const { signedPart, signature, publicKey } = parseAttestedCertificate(input);
    expect(signature.length === 64, "the signature is not of 64 bytes");
    expect(signedPart[0] === 0x30 && signedPart.length < input.length, "the signed part is none");
    const theirs = readByOpenssl(input);
    if (theirs === undefined) return "ok";
    const ours = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
    expectSame(encodeHex(theirs.key), encodeHex(exportKey(ours)), "OpenSSL, of the key");
    return "ok, to OpenSSL as well";
  } catch (error) {
    return codeOf(error);
  }
}

function ofClient(input: Uint8Array<ArrayBuffer>): string {
  try {
    const { usages } = readUsage(input);
    const theirs = readByOpenssl(input);
    if (theirs === undefined) return "ok";
    // OpenSSL tells none where one is malformed, and Deno has the key usage there.
    if (theirs.usages !== undefined && !("Deno" in globalThis)) {
      const isForClients = usages?.includes("2b06010505070302");
      expectSame(theirs.usages.includes("1.3.6.1.5.5.7.3.2"), isForClients, "OpenSSL, of the usage");
    }
    return "ok, to OpenSSL as well";
  } catch (error) {
    return error instanceof TypeError ? "refused" : codeOf(error);
  }
}

/** Reads with OpenSSL, where it does: it looks into names and keys, which are opaque to us. */
function readByOpenssl(input: Uint8Array<ArrayBuffer>) {
  try {
    const certificate = new X509Certificate(input);
    return { key: exportKey(certificate.publicKey), usages: certificate.keyUsage };
  } catch {
    return undefined;
  }
}

/** Writes a key as OpenSSL does, which has one form where there are several. */
function exportKey(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: "spki", format: "der" }));
}

/** @throws An error that is not the reader's own */
function codeOf(error: unknown): string {
  if (error instanceof AttestationError) return error.code;
  throw error;
}
