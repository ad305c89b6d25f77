import { ProtocolError } from "../../lib/core/errors.ts";
import type { Fetch } from "../../lib/transport/create_fetch.ts";
import type { EnclaveSight, EnclaveWatch } from "./enclave_watcher.ts";

/** Longest answer that is read, in bytes. */
const MAX_ANSWER_BYTES = 65_536;

/**
 * Makes a watch for a {@link CredentialPusher} that asks the enclave for `/readyz` and for the id of its boot in
 * `/v1/info`. An enclave whose policy forbids the latter is watched without its id.
 *
 * @param fetch Way to the enclave, such as `createFetch({ cid: 16, port: 8000 })` of `enclave-kms/vsock` makes
 * @returns The watch. It rejects with a {@link ProtocolError} when the answers are not those of an enclave, and as the
 *   fetch does
 */
export function watchReadiness(fetch: Fetch): EnclaveWatch {
  return async ({ signal }) => {
    const ready = await ask(fetch, "/readyz", signal);
    const info = await ask(fetch, "/v1/info", signal);
    if (ready.status !== 200 && ready.status !== 503) throw unreadable(`status ${ready.status}`);
    return { ...readReadiness(ready.body), bootId: readBootId(info) };
  };
}

/** Reads the parts of `/readyz`, whose values are true or false; others are not parts. */
function readReadiness(body: unknown): Omit<EnclaveSight, "bootId"> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) throw unreadable("no JSON object");
  const parts = Object.entries(body).filter((entry): entry is [string, boolean] =>
    typeof entry[1] === "boolean" && /^[\w-]{1,64}$/.test(entry[0])
  );
  if (!parts.some(([name]) => name === "nsm")) throw unreadable("no part named nsm");
  return {
    hasCredentials: parts.find(([name]) => name === "credentials")?.[1],
    missing: parts.filter(([, isThere]) => !isThere).map(([name]) => name),
  };
}

function readBootId({ status, body }: Answer): string | undefined {
  if (status !== 200 || typeof body !== "object" || body === null || !("bootId" in body)) return undefined;
  return typeof body.bootId === "string" && /^[0-9a-f]{32}$/.test(body.bootId) ? body.bootId : undefined;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

async function ask(fetch: Fetch, path: string, signal: AbortSignal): Promise<Answer> {
  const response = await fetch(`http://enclave${path}`, { signal, redirect: "manual" });
  const text = await readText(response);
  try {
    return { status: response.status, body: JSON.parse(text) };
  } catch {
    return { status: response.status, body: undefined };
  }
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  // Leaving the loop cancels the rest.
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_ANSWER_BYTES) throw unreadable(`more than ${MAX_ANSWER_BYTES} bytes`);
  }
  return text;
}

function unreadable(what: string): ProtocolError {
  return new ProtocolError(`Cannot look at the enclave: it answers ${what}`, {
    hint: "Does the application that answers there have the built-in routes of enclave-kms?",
  });
}
