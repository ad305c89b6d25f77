import {
  type BootAttestationOptions,
  checkBootOptions,
  parseBootAnswer,
  readBootAttestation,
} from "../../lib/attestation/boot_attestation.ts";
import type { CallOptions } from "../../lib/core/call_options.ts";
import { checkFields } from "../../lib/core/checks.ts";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import { ProtocolError } from "../../lib/core/errors.ts";
import { readProblem } from "../../lib/wire/problem.ts";
import type {
  ConnectorAnswer,
  ConnectorAttestation,
  ConnectorAttestationOptions,
} from "./enclave_connector.ts";

const NONCE_BYTES = 32;
const MAX_NONCE_BYTES = 512;

const WARNING =
  "Nothing was checked: anybody on the way can have made this answer up. Give `verify` with PCRs";

/**
 * Asks an enclave for its attestation, and verifies it where there are expectations.
 *
 * @param ask Sends a request of GET for a path
 * @param options Nonce and expectations
 * @throws {AttestationError} When a check fails, or it is no such answer
 * @throws {ProtocolError} When the enclave refuses
 */
export async function askAttestation(
  ask: (path: string, call: CallOptions) => Promise<ConnectorAnswer>,
  options: ConnectorAttestationOptions,
): Promise<ConnectorAttestation> {
  const { nonce: given, verify, ...call } = checkFields("attestation options", options, FIELDS);
  const nonce = checkNonce(given);
  const expectations = verify === undefined ? undefined : checkExpectations(verify, nonce);
  const answer = await ask(`/v1/attestation?${new URLSearchParams({ nonce: encodeBase64(nonce) })}`, call);
  if (answer.status !== 200) throw refused(answer);
  const parsed = answer.json();
  if (expectations === undefined) {
    return { isChecked: false, warning: WARNING, nonce, boot: parseBootAnswer(parsed) };
  }
  return { isChecked: true, nonce, boot: await readBootAttestation(parsed, expectations) };
}

const FIELDS = ["nonce", "verify", "signal", "timeoutMs"];

const EXPECTATIONS = ["pcrs", "root", "at", "maxAgeMs", "allowDebug"];

function checkExpectations(
  verify: NonNullable<ConnectorAttestationOptions["verify"]>,
  nonce: Uint8Array,
): BootAttestationOptions {
  return checkBootOptions({ ...checkFields("expectations", verify, EXPECTATIONS), nonce });
}

function checkNonce(nonce: Uint8Array | undefined): Uint8Array {
  if (nonce === undefined) return crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  if (!(nonce instanceof Uint8Array)) throw new TypeError("nonce must be a Uint8Array");
  if (nonce.length === 0 || nonce.length > MAX_NONCE_BYTES) {
    throw new RangeError(`nonce must have 1 to ${MAX_NONCE_BYTES} bytes`);
  }
  return nonce.slice();
}

function refused(answer: ConnectorAnswer): ProtocolError {
  const code = codeOf(answer);
  return new ProtocolError(
    `Cannot attest enclave: it answers with status ${answer.status}${code === undefined ? "" : ` (${code})`}`,
    {
      hint: code === "ERR_POLICY_DENIED"
        ? "Does the enclave's policy permit the action GetAttestation?"
        : "Does the application there have the route GET /v1/attestation, and an NSM?",
    },
  );
}

function codeOf(answer: ConnectorAnswer): string | undefined {
  try {
    return readProblem(answer.json(), answer.status)?.code;
  } catch {
    return undefined;
  }
}
