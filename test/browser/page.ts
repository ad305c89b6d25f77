/**
 * The page: verifies what the server has, seals to a session of the server's, and opens what the server
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
} from "../../lib/attestation/mod.ts";
import type { BrowserCase, BrowserReport, BrowserTask } from "./protocol.ts";

const TIMED_ROUNDS = 50;

await fetch("/report", { method: "POST", body: JSON.stringify(await report()) });

async function report(): Promise<BrowserReport> {
  try {
    const { cases, session, secret } = await (await fetch("/task")).json() as BrowserTask;
    const outcomes: string[] = [];
    for (const one of cases) outcomes.push(await outcomeOf(one));
    const { pcrs = {} } = session;
    const sealed = await sealTo(bytes(session.document), bytes(secret), { ...optionsOf(session), pcrs });
    return { outcomes, sealed: text(sealed), opened: await openOwn(), medianMs: await timed(session) };
  } catch (error) {
    return { failure: String(error), outcomes: [], sealed: "", opened: "", medianMs: NaN };
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
