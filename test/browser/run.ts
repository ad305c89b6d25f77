/**
 * Program of `npm run test:browser`: bundles the entry for callers for browsers, and has headless Chromium
 * verify documents with it and exchange secrets with a session on Node.js; and opens the site's inspector. One line
 * per check.
 *
 * Chromium is Debian's, or the one that the environment names: `CHROMIUM=/path npm run test:browser`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { text } from "node:stream/consumers";
import { build } from "esbuild";
import { BootKeys } from "../../enclave/boot_keys.ts";
import { decodeAttestationDocument } from "../../lib/attestation/document.ts";
import { sealTo, SessionKey } from "../../lib/attestation/session_key.ts";
import { SIGNATURE_ALGORITHMS } from "../../lib/attestation/signature_message.ts";
import { verifyAttestation } from "../../lib/attestation/verify.ts";
import { AttestationError } from "../../lib/core/errors.ts";
import { SoftwareNsm } from "../../sim/nsm/nsm.ts";
import { HAS_VECTORS, readVector } from "../lib/attestation/vectors.ts";
import { openInChromium } from "./chromium.ts";
import { makeImages, makePolicies } from "./images.ts";
import { checkInspector } from "./inspector_page.ts";
import { describeHere, judgeHere } from "./judge.ts";
import { checkOpenApiPage } from "./openapi_page.ts";
import { SEALED_TEXT, startParents } from "./parents.ts";
import type { BrowserCase, BrowserReport, BrowserTask, SignatureCase } from "./protocol.ts";
import { surviveClosedOutput } from "../support/closed_output.ts";

surviveClosedOutput();

/** Long enough for a slow machine to start a browser. */
const LIMIT_MS = 120_000;
const SECRET = "attack at dawn";
const FLIPS = 300;
const PAGE = `<!doctype html><meta charset="utf-8"><script type="module" src="/page.js"></script>`;

let failures = 0;

const script = await bundlePage();
using nsm = await SoftwareNsm.create();
using session = await SessionKey.create(nsm, { nonce: new Uint8Array(32).fill(7) });
const expected = { root: nsm.root, pcrs: { 0: nsm.pcr(0) } };
const cases = [...simulated(), ...genuine(), ...await flipped()];
const signatures = (await Promise.all(SIGNATURE_ALGORITHMS.map(signed))).flat();
await using parents = await startParents(nsm);
const [images, policies] = [await makeImages(), makePolicies()];

const reported = Promise.withResolvers<BrowserReport>();
const server = await serve();
const report = await visit(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
server.close();
await check("the page runs to its end", () => assert.equal(report.failure, undefined));
for (const [i, { name, outcome }] of cases.entries()) {
  if (i < cases.length - FLIPS) {
    await check(`${name}: ${outcome}`, () => assert.equal(report.outcomes[i], outcome));
  }
}
await check(`${FLIPS} documents with a flipped bit: refused with the codes of Node.js`, () => {
  assert.deepEqual(report.outcomes.slice(-FLIPS), cases.slice(-FLIPS).map(({ outcome }) => outcome));
  assert.ok(!report.outcomes.slice(-FLIPS).includes("verified"));
});
for (const [i, { name, outcome }] of signatures.entries()) {
  await check(`${name}: ${outcome}`, () => assert.equal(report.signatureOutcomes[i], outcome));
}
for (const [i, { name, outcome }] of parents.cases.entries()) {
  await check(`${name}: ${outcome}`, () => assert.equal(report.sealedOutcomes[i], outcome));
}
await check("the parent saw nothing of what was sealed, and the enclave served each request once", () => {
  for (const text of [SEALED_TEXT, "orders", "Bearer"]) assert.ok(!parents.seen().includes(text), text);
  assert.ok(parents.seen().includes("message/ohttp-req"), "what it saw would be found");
  const others = parents.served.filter((line) => !line.includes("timed"));
  assert.deepEqual(others, ["POST /orders?id=7 over sealed", "POST /orders?id=7 over sealed"]);
});
for (const [i, image] of images.entries()) {
  await check(`image ${i}, described as on Node.js`, async () => {
    const here = await describeHere(new Uint8Array(image));
    assert.equal(report.verdicts[i], here);
    assert.equal(here.includes("ERR_IMAGE"), i === 2);
  });
}
for (const [i, policy] of policies.entries()) {
  await check(`key policy ${i}, judged as on Node.js`, async () => {
    const here = await judgeHere(policy);
    assert.equal(report.verdicts[images.length + i], here);
    assert.equal(here.includes("ERR_KEY_POLICY"), i === 2);
  });
}
await check("sealed in the browser, opened on Node.js", async () => {
  using opened = await session.open(decode(report.sealed));
  assert.equal(new TextDecoder().decode(opened.bytes), SECRET);
});
await check("sealed on Node.js, opened in the browser", () => {
  assert.equal(new TextDecoder().decode(decode(report.opened)), SECRET);
});
for (const [name, holds] of await checkOpenApiPage(process.env["CHROMIUM"] ?? "chromium")) {
  await check(name, holds);
}
for (const [name, holds] of await checkInspector(process.env["CHROMIUM"] ?? "chromium")) {
  await check(name, holds);
}
console.log(`      a sealed request takes ${report.sealedMs.toFixed(1)} ms there (median)`);
console.log(`      a verification takes ${report.medianMs.toFixed(1)} ms there (median)`);
console.log(`\nbrowser: ${failures === 0 ? "all right" : `${failures} failed`}`);
process.exitCode = failures === 0 ? 0 : 1;

/** Bundles the page. esbuild refuses a module of Node.js on this platform. */
async function bundlePage(): Promise<string> {
  const { outputFiles, metafile } = await build({
    entryPoints: ["test/browser/page.ts"],
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    write: false,
    metafile: true,
    logLevel: "warning",
  });
  const inputs = Object.keys(metafile.inputs);
  const [output] = outputFiles;
  assert.ok(output);
  await check(`a bundle for browsers: ${(output.contents.length / 1024).toFixed(1)} KiB`, () => {
    assert.deepEqual(inputs.filter((path) => /^(ffi|lib\/native|node:)/.test(path)), []);
  });
  return output.text;
}

function simulated(): BrowserCase[] {
  const document = session.document;
  const { timestamp: at } = decodeAttestationDocument(document);
  const good = { document: encode(document), at, root: encode(nsm.root), outcome: "verified" };
  const nonce = encode(new Uint8Array(32).fill(7));
  const [zeros, refused] = ["00".repeat(48), (check: string) => `ERR_ATTESTATION_${check}`];
  return [
    { ...good, name: "a simulated document", nonce, pcrs: expected.pcrs, maxAgeMs: 0 },
    { ...good, name: "under AWS's root", root: undefined, outcome: refused("ROOT") },
    { ...good, name: "with another nonce", nonce: encode(new Uint8Array(1)), outcome: refused("NONCE") },
    { ...good, name: "with another PCR0", pcrs: { 0: zeros }, outcome: refused("PCR") },
    { ...good, name: "too old", at: at + 1001, maxAgeMs: 1000, outcome: refused("STALE") },
    { ...good, name: "a day later", at: at + 86_400_000, outcome: refused("EXPIRED") },
    { ...good, name: "cut off", document: encode(document.slice(0, -1)), outcome: refused("CBOR") },
    {
      ...good,
      name: "with a changed signature",
      document: encode(document.with(-1, (document.at(-1) ?? 0) ^ 1)),
      outcome: refused("SIGNATURE"),
    },
  ].map(({ root, ...rest }) => root === undefined ? rest : { ...rest, root });
}

function genuine(): BrowserCase[] {
  if (!HAS_VECTORS) {
    console.log("skip  genuine documents: ../shared/vectors is not here");
    return [];
  }
  const production = readVector("attestation-production.cbor");
  const at = decodeAttestationDocument(production).timestamp;
  const debug = readVector("attestation-debug.cbor");
  const inNonce = production.length - 150;
  const changed = production.with(inNonce, (production[inNonce] ?? 0) ^ 1);
  return [
    { name: "a genuine document", document: encode(production), at, outcome: "verified" },
    ...current(),
    { name: "today", document: encode(production), at: Date.now(), outcome: "ERR_ATTESTATION_EXPIRED" },
    { name: "tampered with", document: encode(changed), at, outcome: "ERR_ATTESTATION_SIGNATURE" },
    {
      name: "of debug mode",
      document: encode(debug),
      at: decodeAttestationDocument(debug).timestamp,
      outcome: "ERR_ATTESTATION_DEBUG",
    },
  ];
}

/** Makes documents in the form that AWS has written since the middle of 2025. */
function current(): BrowserCase[] {
  const document = readVector("attestation-2026-04.cbor");
  const { timestamp: at } = decodeAttestationDocument(document);
  return [{ name: "a genuine document of 2026", document: encode(document), at, outcome: "verified" }];
}

/** Makes documents with flipped bits, and their verdicts on Node.js. */
async function flipped(): Promise<BrowserCase[]> {
  const { document } = session;
  const { timestamp: at } = decodeAttestationDocument(document);
  const flips = Array.from({ length: FLIPS }, (_, i) => Math.floor(i * document.length * 8 / FLIPS));
  return await Promise.all(flips.map(async (position): Promise<BrowserCase> => {
    const index = position >> 3;
    const changed = document.with(index, (document[index] ?? 0) ^ (1 << (position & 7)));
    const name = `with bit ${position} flipped`;
    const [base64, root] = [encode(changed), encode(nsm.root)];
    return { name, document: base64, at, root, outcome: await outcomeHere(changed, at) };
  }));
}

async function outcomeHere(document: Uint8Array, at: number): Promise<string> {
  try {
    await verifyAttestation(document, { root: nsm.root, at });
    return "verified";
  } catch (error) {
    if (error instanceof AttestationError) return error.code;
    throw error;
  }
}

/** Makes signatures of an enclave, good ones and others. */
async function signed(algorithm: typeof SIGNATURE_ALGORITHMS[number]): Promise<SignatureCase[]> {
  using keys = BootKeys.create({ algorithm });
  using stranger = BootKeys.create({ algorithm });
  const [data, purpose, at] = [new TextEncoder().encode(SECRET), "test", Date.now()];
  const document = {
    document: encode(await nsm.attest({ userData: await keys.digest() })),
    bootId: keys.bootId,
    keys: { sign: encode(keys.publicKeys["sign"]!) },
  };
  const strange = { ...document, keys: { sign: encode(stranger.publicKeys["sign"]!) } };
  const signature = await keys.sign(data, purpose, at);
  const good = {
    ...expected,
    name: `a signature by ${algorithm}`,
    signature: encode(signature),
    data: encode(data),
    purpose,
    document,
    root: encode(nsm.root),
    at,
    outcome: `${purpose} of ${keys.bootId}`,
  };
  const refused = (what: string, changes: Partial<SignatureCase>, check: string): SignatureCase => {
    return { ...good, ...changes, name: `${good.name}, ${what}`, outcome: `ERR_ATTESTATION_${check}` };
  };
  const flipped = encode(signature.with(-1, signature.at(-1)! ^ 1));
  return [
    good,
    refused("for another purpose", { purpose: "other" }, "PURPOSE"),
    refused("over other data", { data: encode(data.subarray(1)) }, "DATA"),
    refused("changed", { signature: flipped }, "SIGNATURE"),
    refused("too old", { at: at + 60_001 }, "STALE"),
    refused("beside another key", { document: strange }, "USER_DATA"),
    refused("of another image", { pcrs: { 0: "00".repeat(48) } }, "PCR"),
  ];
}

async function serve(): Promise<Server> {
  const [first] = cases;
  assert.ok(first);
  const secret = encode(new TextEncoder().encode(SECRET));
  const sealing = { sealedCases: parents.cases, sealedText: SEALED_TEXT, root: encode(nsm.root) };
  const judged = { images: images.map(encode), policies };
  const task: BrowserTask = { cases, signatures, ...sealing, session: first, secret, ...judged };
  const answers: Readonly<Record<string, (body: string) => Promise<string> | string>> = {
    "/": () => PAGE,
    "/page.js": () => script,
    "/task": () => JSON.stringify(task),
    "/attest": async (body) => encode(await nsm.attest({ publicKey: decode(body) })),
    "/seal": async (body) => encode(await sealTo(decode(body), new TextEncoder().encode(SECRET), expected)),
    "/report": (body) => {
      reported.resolve(JSON.parse(body) as BrowserReport);
      return "";
    },
  };
  const listening = createServer(async (request, response) => {
    try {
      if (await parents.answer(request, response)) return;
      const answer = await answers[request.url ?? ""]?.(await text(request));
      const type = request.url === "/page.js" ? "text/javascript" : "text/html";
      response.writeHead(answer === undefined ? 404 : 200, { "content-type": type }).end(answer);
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  });
  listening.listen(0, "127.0.0.1");
  await once(listening, "listening");
  return listening;
}

async function visit(url: string): Promise<BrowserReport> {
  await using chromium = openInChromium(url, process.env["CHROMIUM"] ?? "chromium");
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error(`Chromium did not report in ${LIMIT_MS / 1000} s`)), LIMIT_MS).unref();
  });
  const gone = chromium.gone.then((error) => Promise.reject(error));
  return await Promise.race([reported.promise, gone, late]);
}

async function check(name: string, body: () => Promise<void> | void): Promise<void> {
  try {
    await body();
    console.log(`ok    ${name}`);
  } catch (error) {
    failures++;
    console.log(`FAIL  ${name}\n${(error as Error).message}`);
  }
}

function encode(data: Uint8Array): string {
  return Buffer.from(data).toString("base64");
}

function decode(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(base64, "base64"));
}
