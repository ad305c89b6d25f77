import { Buffer } from "node:buffer";
import { createHash, type KeyObject, randomBytes, sign } from "node:crypto";
import { TAG } from "../../lib/attestation/der.ts";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import { ENCLAVE_TLS_NAME } from "../../lib/wire/enclave_tls_name.ts";
import { bitString, type Der, element, oid, positiveInteger, sequence, text, TRUE } from "./der.ts";

/**
 * Makes the certificate of an enclave's TLS, signed with its own key. A caller who has verified the key by an
 * attestation document trusts this one certificate, as the only authority of their TLS client.
 *
 * It is no authority over others: whoever adds it to a list of trusted ones lets it vouch for nothing but itself.
 * OpenSSL, rustls, Go and their like take it as a root all the same, since it is what the server shows. It is valid
 * from 2020 to 9999, because its key lives as long as the enclave does, and the clock there may be wrong.
 *
 * @param keys Key pair on P-256
 * @param bootId Boot id, 32 lowercase hex digits. The certificate names `enclave.internal` and
 *   `<bootId>.enclave.internal`
 * @returns The certificate, DER: X.509 version 3, ECDSA with SHA-256
 */
export function makeTlsCertificate(
  { publicKey, privateKey }: { readonly publicKey: KeyObject; readonly privateKey: KeyObject },
  bootId: string,
): Der {
  const spki = Uint8Array.from(publicKey.export({ type: "spki", format: "der" }));
  const name = sequence(element(TAG.set, sequence(oid("2.5.4.3"), text(UTF8_STRING, `enclave-${bootId}`))));
  const signedPart = sequence(
    element(0xa0, positiveInteger(Uint8Array.of(2))),
    positiveInteger(serialNumber()),
    ECDSA_WITH_SHA256,
    name,
    sequence(text(TAG.utcTime, NOT_BEFORE), text(TAG.generalizedTime, NOT_AFTER)),
    name,
    spki,
    element(
      0xa3,
      sequence(...extensions(keyIdOf(spki), [ENCLAVE_TLS_NAME, `${bootId}.${ENCLAVE_TLS_NAME}`])),
    ),
  );
  return sequence(signedPart, ECDSA_WITH_SHA256, bitString(sign("sha256", signedPart, privateKey)));
}

/**
 * Writes a certificate as PEM.
 *
 * @param der The certificate
 * @returns PEM with a line feed at the end
 */
export function certificatePem(der: Uint8Array): string {
  const lines = encodeBase64(der).match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

const UTF8_STRING = 0x0c;
const ECDSA_WITH_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));
const NOT_BEFORE = "200101000000Z";
/** Time that stands for no end: RFC 5280, section 4.1.2.5. */
const NOT_AFTER = "99991231235959Z";
const SERIAL_BYTES = 16;
const KEY_ID_BYTES = 20;
/** Bit of the key usage that is in use, the highest of eight. */
const DIGITAL_SIGNATURE = bitString(Uint8Array.of(0x80), 7);

function serialNumber(): Uint8Array {
  const bytes = randomBytes(SERIAL_BYTES);
  // Neither a zero byte nor a sign bit comes first.
  bytes[0] = (bytes[0] ?? 0) & 0x3f | 0x40;
  return bytes;
}

/** Names a key as RFC 7093, section 2, method 1 does: the first 160 bits of SHA-256 over its point. */
function keyIdOf(spki: Uint8Array): Uint8Array {
  const point = spki.subarray(spki.length - 65);
  return new Uint8Array(createHash("sha256").update(point).digest()).subarray(0, KEY_ID_BYTES);
}

function extensions(keyId: Uint8Array, names: readonly string[]): readonly Der[] {
  const dnsNames = names.map((name) => element(0x82, Buffer.from(name)));
  return [
    extension("2.5.29.19", sequence(), true),
    extension("2.5.29.15", DIGITAL_SIGNATURE, true),
    extension("2.5.29.37", sequence(oid("1.3.6.1.5.5.7.3.1"))),
    extension("2.5.29.17", sequence(...dnsNames)),
    extension("2.5.29.14", element(TAG.octetString, keyId)),
    extension("2.5.29.35", sequence(element(0x80, keyId))),
  ];
}

function extension(id: string, value: Der, isCritical = false): Der {
  return sequence(oid(id), ...(isCritical ? [TRUE] : []), element(TAG.octetString, value));
}
