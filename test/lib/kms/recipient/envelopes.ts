/** Writes envelopes as KMS does, and has other tools read and write them: for tests only. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBER } from "asn1js";
import { ContentInfo, EnvelopedData, KeyTransRecipientInfo } from "pkijs";
import { decodeHex, encodeHex } from "../../../../lib/core/encoding.ts";
import type { Envelope } from "../../../../lib/kms/recipient/read_envelope.ts";

/** Layout of the content. */
export type Shape = "primitive" | { readonly segmentBytes: number };

/** The position of a field in an envelope, in bytes. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

const OAEP = "303c06092a864886f70d010107302fa00f300d06096086480165030402010500" +
  "a11c301a06092a864886f70d010108300d06096086480165030402010500";
const OAEP_WITHOUT_NULLS = "303806092a864886f70d010107302ba00d300b0609608648016503040201" +
  "a11a301806092a864886f70d010108300b0609608648016503040201";

/** An envelope, and where the fields that may hold anything ended up. */
export interface WrittenEnvelope {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Subject key identifier, wrapped key, IV, and each segment of the content. */
  readonly spans: readonly Span[];
}

/** Writes one envelope. */
export function writeEnvelope(fields: Envelope, shape: Shape): WrittenEnvelope {
  const spans: Span[] = [];
  const parts: Uint8Array[] = [];
  let length = 0;
  const put = (part: Uint8Array) => (parts.push(part), length += part.length);
  const field = (part: Uint8Array) => spans.push({ start: length, end: put(part) });
  put(decodeHex("308006092a864886f70d010703a08030800201023182016b30820167020102" + "8020"));
  field(new Uint8Array(32).fill(7));
  put(decodeHex(OAEP + "04820100"));
  field(fields.wrappedKey);
  put(decodeHex("308006092a864886f70d010701301d060960864801650304012a0410"));
  field(fields.iv);
  if (shape === "primitive") {
    put(header(0x80, fields.ciphertext.length));
    field(fields.ciphertext);
  } else {
    put(decodeHex("a080"));
    for (let at = 0; at < fields.ciphertext.length; at += shape.segmentBytes) {
      const segment = fields.ciphertext.subarray(at, at + shape.segmentBytes);
      put(header(0x04, segment.length));
      field(segment);
    }
    put(decodeHex("0000"));
  }
  put(new Uint8Array(8));
  return { bytes: concat(parts), spans };
}

/** Joins. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** The same fields as pkijs reads them. */
export function readWithPkijs(bytes: Uint8Array<ArrayBuffer>): Envelope {
  const info = new ContentInfo({ schema: fromBER(bytes).result });
  const data = new EnvelopedData({ schema: info.content });
  const recipient = data.recipientInfos[0]?.value;
  if (!(recipient instanceof KeyTransRecipientInfo)) throw new Error("no key transport recipient");
  const { encryptedContentInfo: content } = data;
  return {
    wrappedKey: new Uint8Array(recipient.encryptedKey.valueBlock.valueHexView),
    iv: new Uint8Array(content.contentEncryptionAlgorithm.algorithmParams.valueBlock.valueHexView),
    ciphertext: new Uint8Array(content.getEncryptedContent()),
  };
}

/** Whether the openssl command is there. */
export function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/**
 * An envelope that openssl wrote to the key, as it wrote it. It leaves out the NULL parameters of SHA-256,
 * which KMS writes: {@link withKmsParameters} puts them in.
 *
 * @param publicKeyPem RSA-2048
 */
export function writeWithOpenssl(publicKeyPem: string, plaintext: Uint8Array): Uint8Array<ArrayBuffer> {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-"));
  const openssl = (line: string) => execFileSync("openssl", line.split(" "), { cwd: folder, stdio: "pipe" });
  try {
    writeFileSync(join(folder, "public"), publicKeyPem);
    writeFileSync(join(folder, "extensions"), `subjectKeyIdentifier=${"ab".repeat(32)}`);
    writeFileSync(join(folder, "plain"), plaintext);
    openssl("ecparam -name prime256v1 -genkey -noout -out signer");
    openssl(
      "x509 -new -set_serial 1 -subj /CN=t -force_pubkey public -key signer -extfile extensions -out cert",
    );
    openssl(
      "cms -encrypt -binary -aes256 -stream -outform DER -keyid -recip cert -keyopt rsa_padding_mode:oaep " +
        "-keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha256 -in plain -out ber",
    );
    return new Uint8Array(readFileSync(join(folder, "ber")));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Puts KMS's form of the OAEP parameters into what openssl wrote. */
export function withKmsParameters(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return decodeHex(
    encodeHex(bytes).replace(OAEP_WITHOUT_NULLS, OAEP).replace(
      "31820167" + "30820163",
      "3182016b" + "30820167",
    ),
  );
}

function header(tag: number, length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(tag, length);
  if (length < 0x100) return Uint8Array.of(tag, 0x81, length);
  return Uint8Array.of(tag, 0x82, length >> 8, length & 0xff);
}
