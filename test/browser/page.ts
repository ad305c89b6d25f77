/**
 * The page: verifies the documents and signatures that the server has, seals to a session of the server's, and opens what the server
 * sealed to a session of its own.
 *
 * @module
 */
import {
  AttestationError,
  sealTo,
  SessionKey,
  verifyAttestation,
  type VerifyAttestationOptions,
  verifyEnclaveSignature,
} from "../../lib/attestation/mod.ts";
import { EnclaveKmsError, type SealedFetch, sealedFetch } from "../../lib/channel/mod.ts";
import { describeHere, judgeHere } from "./judge.ts";
import type { BrowserCase, BrowserReport, BrowserTask, SealedCase, SignatureCase } from "./protocol.ts";

const TIMED_ROUNDS = 50;

await fetch("/report", { method: "POST", body: JSON.stringify(await report()) });

async function report(): Promise<BrowserReport> {
  try {
    const task = await (await fetch("/task")).json() as BrowserTask;
    const { cases, signatures, session, secret } = task;
    const outcomes: string[] = [];
    for (const one of cases) outcomes.push(await outcomeOf(one));
    const signatureOutcomes: string[] = [];
    for (const one of signatures) signatureOutcomes.push(await signatureOutcomeOf(one));
    const { sealedOutcomes, sealedMs } = await sealedRequests(task);
    const verdicts = [
      ...await Promise.all(task.images.map((image) => describeHere(bytes(image)))),
      ...await Promise.all(task.policies.map(judgeHere)),
    ];
    const { pcrs = {} } = session;
    const sealed = await sealTo(bytes(session.document), bytes(secret), { ...optionsOf(session), pcrs });
    const [opened, medianMs] = [await openOwn(), await timed(session)];
    return {
      ...{ outcomes, signatureOutcomes, sealedOutcomes, verdicts, sealedMs },
      ...{ sealed: text(sealed), opened, medianMs },
    };
  } catch (error) {
    return {
      failure: String(error),
      outcomes: [],
      signatureOutcomes: [],
      sealedOutcomes: [],
      verdicts: [],
      sealedMs: NaN,
      sealed: "",
      opened: "",
      medianMs: NaN,
    };
  }
}

async function outcomeOf(one: BrowserCase): Promise<string> {
  try {
    await verifyAttestation(bytes(one.document), optionsOf(one));
    return "verified";
  } catch (error) {
    return error instanceof AttestationError ? error.code : String(error);
  }
}

async function signatureOutcomeOf(one: SignatureCase): Promise<string> {
  const { name: _name, outcome: _outcome, signature, data, root, ...expected } = one;
  try {
    const options = { ...expected, maxAgeMs: 60_000, root: bytes(root) };
    const { purpose, bootId } = await verifyEnclaveSignature(bytes(signature), bytes(data), options);
    return `${purpose} of ${bootId}`;
  } catch (error) {
    return error instanceof AttestationError ? error.code : String(error);
  }
}

async function sealedRequests({ sealedCases, sealedText, root }: BrowserTask) {
  const fetches = new Map<string, SealedFetch>();
  const outcomes: string[] = [];
  const fetchOf = ({ parent, pcrs, answers = "whole" }: SealedCase) => {
    const key = parent + JSON.stringify(pcrs) + answers;
    const made = fetches.get(key) ??
      sealedFetch(new URL(`/parents/${parent}/`, import.meta.url), { pcrs, root: bytes(root), answers });
    fetches.set(key, made);
    return made;
  };
  for (const one of sealedCases) outcomes.push(await sealedOutcomeOf(one, fetchOf(one), sealedText));
  const times: number[] = [];
  for (let i = 0; i < TIMED_ROUNDS; i++) {
    const start = performance.now();
    await fetchOf(sealedCases[0]!)("/timed");
    times.push(performance.now() - start);
  }
  return { sealedOutcomes: outcomes, sealedMs: times.sort((a, b) => a - b)[TIMED_ROUNDS / 2] ?? NaN };
}

async function sealedOutcomeOf(one: SealedCase, sealed: SealedFetch, body: string): Promise<string> {
  try {
    const { method, path } = one;
    const headers = { authorization: "Bearer page" };
    const answer = await sealed(path, { method, headers, ...(method === "POST" && { body }) });
    return `${answer.status} ${await textOf(answer)}`;
  } catch (error) {
    return error instanceof EnclaveKmsError ? error.code : String(error);
  }
}

/** Reads a body by its chunks: Chromium's own `text()` makes a TypeError of whatever a stream fails with. */
async function textOf({ body }: Response): Promise<string> {
  const reader = body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) text += next.value;
  return text;
}

/** An enclave in a browser makes no sense, but shows that both halves run everywhere. */
async function openOwn(): Promise<string> {
  const session = await SessionKey.create({
    attest: async ({ publicKey }) => bytes(await post("/attest", text(publicKey))),
  });
  const secret = await session.open(bytes(await post("/seal", text(session.document))));
  return text(secret.bytes);
}

async function timed(one: BrowserCase): Promise<number> {
  const [document, options] = [bytes(one.document), optionsOf(one)];
  const times: number[] = [];
  for (let i = 0; i < TIMED_ROUNDS; i++) {
    const start = performance.now();
    await verifyAttestation(document, options);
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[TIMED_ROUNDS / 2] ?? NaN;
}

function optionsOf({ root, nonce, at, pcrs, maxAgeMs }: BrowserCase): VerifyAttestationOptions {
  return {
    at,
    pcrs,
    maxAgeMs,
    root: root === undefined ? undefined : bytes(root),
    nonce: nonce === undefined ? undefined : bytes(nonce),
  };
}

async function post(path: string, body: string): Promise<string> {
  return await (await fetch(path, { method: "POST", body })).text();
}

function bytes(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

function text(data: Uint8Array): string {
  return btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));
}
