import { encode } from "cbor2";
import { type Certificate, parseCertificate } from "../../lib/attestation/certificate.ts";
import { decodeAttestationDocument } from "../../lib/attestation/document.ts";
import { sealTo, SessionKey } from "../../lib/attestation/session_key.ts";
import { verifyAttestation } from "../../lib/attestation/verify.ts";
import { SoftwareNsm } from "../../sim/nsm/nsm.ts";
import { OWN_RUNTIME } from "../runtimes.ts";
import type { Row } from "../table.ts";
import { measureTurns, type Turns } from "./turns.ts";

const P384 = { name: "ECDSA", namedCurve: "P-384" } as const;
const ES384 = { name: "ECDSA", hash: "SHA-384" } as const;

interface Signed {
  readonly signer: Certificate;
  readonly signature: Uint8Array<ArrayBuffer>;
  readonly data: Uint8Array<ArrayBuffer>;
}

/**
 * Measures verification of a document and of session keys, beside the floor: the same signatures by WebCrypto
 * alone, in the same order, with nothing read or checked.
 *
 * @param turns Number of turns
 */
export async function attestationRows(turns: Turns): Promise<Row[]> {
  using nsm = await SoftwareNsm.create();
  const nonce = crypto.getRandomValues(new Uint8Array(32));
  using session = await SessionKey.create(nsm, { nonce });
  const { document } = session;
  const options = { root: nsm.root, nonce, pcrs: { 0: nsm.pcr(0) }, maxAgeMs: 3_600_000 };
  const secret = crypto.getRandomValues(new Uint8Array(32));
  const sealed = await sealTo(document, secret, options);
  const { own, chain } = signaturesOf(document);
  const works = {
    "verifyAttestation()": async () => (await verifyAttestation(document, options)).nonce !== undefined,
    "decodeAttestationDocument()": () => decodeAttestationDocument(document).pcrs.size > 0,
    "SessionKey.create(), software NSM": async () => isGone(await SessionKey.create(nsm)),
    "sealTo()": async () => (await sealTo(document, secret, options)).length > 0,
    "SessionKey.open()": async () => isGone(await session.open(sealed)),
  };
  const floor = async () => await isSigned(own) && (await Promise.all(chain.map(isSigned))).every(Boolean);
  const baseline = `bare WebCrypto, ${chain.length + 1} signatures`;
  const measured = await measureTurns([floor, ...Object.values(works)], turns);
  return [baseline, ...Object.keys(works)].map((what, index) => {
    const times = measured[index] ?? { p50: NaN, p99: NaN };
    const ratio = times.p50 / (measured[0]?.p50 ?? NaN);
    return { section: "Attestation", what, runtime: OWN_RUNTIME, unit: "ms", ...times, ratio, baseline };
  });
}

function isGone(disposable: Disposable): true {
  disposable[Symbol.dispose]();
  return true;
}

/** Collects the document's own signature, and those of its certificates. */
function signaturesOf(bytes: Uint8Array): { own: Signed; chain: Signed[] } {
  const { cabundle, certificate, protectedHeader, payload, signature } = decodeAttestationDocument(bytes);
  const certificates = [...cabundle, certificate].map(parseCertificate);
  const data = Uint8Array.from(encode(["Signature1", protectedHeader, new Uint8Array(), payload]));
  const links = certificates.slice(1).map((below, i) => ({
    signer: certificates[i] ?? below,
    signature: below.signature,
    data: below.signedPart,
  }));
  const leaf = certificates.at(-1);
  if (leaf === undefined) throw new Error("The document has no certificate");
  return { own: { signer: leaf, signature, data }, chain: links };
}

async function isSigned({ signer, signature, data }: Signed): Promise<boolean> {
  const key = await crypto.subtle.importKey("spki", signer.publicKey, P384, false, ["verify"]);
  return await crypto.subtle.verify(ES384, key, signature, data);
}
