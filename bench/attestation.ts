/**
 * What attestation costs: `node bench/attestation.ts` or `deno run -A bench/attestation.ts`. Prints the median
 * and 99th percentile of verifying a document, beside the floor: the same signatures by WebCrypto alone, in
 * the same order, with nothing read or checked. Then what session keys cost.
 *
 * @module
 */
import process from "node:process";
import { encode } from "cbor2";
import { type Certificate, parseCertificate } from "../lib/attestation/certificate.ts";
import { decodeAttestationDocument } from "../lib/attestation/document.ts";
import { sealTo, SessionKey } from "../lib/attestation/session_key.ts";
import { verifyAttestation } from "../lib/attestation/verify.ts";
import { SoftwareNsm } from "../sim/nsm.ts";

const ROUNDS = 500;
const WARM_UP = 100;
const P384 = { name: "ECDSA", namedCurve: "P-384" } as const;
const ES384 = { name: "ECDSA", hash: "SHA-384" } as const;

interface Signed {
  readonly signer: Certificate;
  readonly signature: Uint8Array<ArrayBuffer>;
  readonly data: Uint8Array<ArrayBuffer>;
}

const runtime = "Deno" in globalThis ? `Deno ${process.versions["deno"]}` : `Node ${process.version}`;
console.log(`${runtime}, ${process.arch}; milliseconds`);

using nsm = await SoftwareNsm.create();
const nonce = crypto.getRandomValues(new Uint8Array(32));
using session = await SessionKey.create(nsm, { nonce });
const { document } = session;
const options = { root: nsm.root, nonce, pcrs: { 0: nsm.pcr(0) }, maxAgeMs: 3_600_000 };
const secret = crypto.getRandomValues(new Uint8Array(32));
const sealed = await sealTo(document, secret, options);
const { own, chain } = signaturesOf(document);

// Turn by turn, so that both have the same share of a busy machine.
const [floor, verifying] = await measureAll([
  async () => await isRight(own) && (await Promise.all(chain.map(isRight))).every(Boolean),
  async () => (await verifyAttestation(document, options)).nonce !== undefined,
]);
line(`bare WebCrypto, ${chain.length + 1} signatures`, floor);
line("verifyAttestation()", { ...verifying, ratio: verifying.p50 / floor.p50 });
line("decodeAttestationDocument()", await measure(() => decodeAttestationDocument(document).pcrs.size > 0));
line("SessionKey.create(), software NSM", await measure(async () => isGone(await SessionKey.create(nsm))));
line("sealTo()", await measure(async () => (await sealTo(document, secret, options)).length > 0));
line("SessionKey.open()", await measure(async () => isGone(await session.open(sealed))));

function isGone(disposable: Disposable): true {
  disposable[Symbol.dispose]();
  return true;
}

/** The document's own signature, and those of its certificates. */
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

async function isRight({ signer, signature, data }: Signed): Promise<boolean> {
  const key = await crypto.subtle.importKey("spki", signer.publicKey, P384, false, ["verify"]);
  return await crypto.subtle.verify(ES384, key, signature, data);
}

type Work = () => Promise<boolean> | boolean;

type Times = { readonly p50: number; readonly p99: number };

async function measure(work: Work): Promise<Times> {
  const [times] = await measureAll([work]);
  return times;
}

async function measureAll<T extends readonly Work[]>(
  works: readonly [...T],
): Promise<{ [K in keyof T]: Times }> {
  const times: number[][] = works.map(() => []);
  for (let round = 0; round < WARM_UP + ROUNDS; round++) {
    for (const [i, work] of works.entries()) {
      const start = performance.now();
      if (!await work()) throw new Error("The benchmark measures a refusal");
      if (round >= WARM_UP) times[i]?.push(performance.now() - start);
    }
  }
  return times.map(summary) as { [K in keyof T]: Times };
}

function summary(times: number[]): Times {
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(times.length * share)] ?? NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

function line(name: string, numbers: Readonly<Record<string, number>>): void {
  const columns = Object.entries(numbers).map(([unit, value]) => `${unit} ${Number(value.toFixed(3))}`);
  console.log(`${name.padEnd(50)} ${columns.join("  ")}`);
}
