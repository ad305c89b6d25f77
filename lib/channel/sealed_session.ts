import {
  type BootAttestation,
  type BootAttestationOptions,
  readBootAttestation,
} from "../attestation/boot_attestation.ts";
import { equalBytes } from "../core/bytes.ts";
import type { Deadline } from "../core/deadline.ts";
import { AttestationError, ChannelError } from "../core/errors.ts";
import { type KeyConfig, readKeyConfig } from "../wire/oblivious_http.ts";
import { type Elapsed, startClocks } from "./request_date.ts";
import { askInClear, readBounded } from "./clear_http.ts";

/** Longest answer with a document, in bytes: more than the longest document, certificate and keys that are read. */
const MAX_ATTESTATION_BYTES = 524_288;
const NONCE_BYTES = 32;

/** Enclave that was verified, and the key to seal requests to. */
export interface SealedSession {
  /** Key that the enclave's document vouches for. */
  readonly config: KeyConfig;
  /** Boot id, 32 hex digits. */
  readonly bootId: string;
  /** Milliseconds from this side's clock to that of the document. */
  clockMs: number;
  /** Reads the age of the document in milliseconds, by this side's clocks. */
  readonly ageMs: Elapsed;
}

/** Way to an enclave, and expectations of it. */
export interface SessionParts {
  /** URL of the enclave, up to the slash before `v1`. */
  readonly base: string;
  /** Way to it. */
  readonly fetch: typeof globalThis.fetch;
  /** Expectations of its document. */
  readonly expectations: BootAttestationOptions;
  /** Called with each enclave that passes, and awaited; its throw refuses the enclave. */
  readonly onAttested: ((boot: BootAttestation) => unknown) | undefined;
}

/**
 * Asks an enclave for its document with a new nonce, and verifies it. Nothing secret is sent.
 *
 * @param parts Way to the enclave, and expectations of it
 * @param deadline Time budget
 * @throws {AttestationError} When the document does not verify, or vouches for no key to seal to
 * @throws {ChannelError} When there is no document
 */
export async function openSession(parts: SessionParts, deadline: Deadline): Promise<SealedSession> {
  const { expectations, onAttested } = parts;
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const answer = await askAttestation(parts, nonce, deadline);
  const [wall, ageMs] = [Date.now(), startClocks()];
  const boot = await deadline.race(readBootAttestation(answer, { ...expectations, nonce }));
  const config = sealingOf(boot);
  await deadline.race(Promise.resolve(onAttested?.(boot)));
  return {
    config,
    bootId: boot.bootId,
    clockMs: boot.document.timestamp - wall,
    ageMs,
  };
}

async function askAttestation(
  { base, fetch }: SessionParts,
  nonce: Uint8Array,
  deadline: Deadline,
): Promise<unknown> {
  const query = new URLSearchParams({ nonce: btoa(String.fromCharCode(...nonce)) });
  const answer = await askInClear(fetch, `${base}v1/attestation?${query}`, {}, deadline);
  const body = await readBounded(answer, MAX_ATTESTATION_BYTES, deadline);
  try {
    if (answer.status === 200) return JSON.parse(new TextDecoder().decode(body));
  } catch {
    // Said below.
  }
  throw new ChannelError(`Cannot attest enclave: it answers with status ${answer.status} and no document`, {
    hint:
      "Does the URL lead to an enclave that serves GET /v1/attestation, and its policy permit GetAttestation?",
    status: answer.status,
  });
}

/** The configuration is whoever's on the way: its key must be the one that the document vouches for. */
function sealingOf({ keys, sealing }: BootAttestation): KeyConfig {
  const key = keys["seal"];
  if (key === undefined || sealing === undefined) {
    throw new AttestationError("FIELD_MISSING", "Cannot seal to enclave: it has no key to seal to", {
      hint: "Is sealed HTTP switched off in the enclave?",
    });
  }
  const config = readKeyConfig(sealing);
  if (equalBytes(config.publicKey, key)) return config;
  throw new AttestationError(
    "PUBLIC_KEY",
    "Cannot seal to enclave: its key configuration is of another key",
    {
      hint: "Did somebody on the way put their own key in its place?",
    },
  );
}
