import { checkInteger } from "../core/checks.ts";

/** Vsock port of an enclave's control listener, unless the application sets another one. */
export const DEFAULT_CONTROL_PORT = 7099;

/** TCP port and vsock port that both halves of a bridge into the enclave have by default: gRPC's. */
export const DEFAULT_INGRESS_PORT = 50_051;

/** TCP port and vsock port that both halves of a bridge out of the enclave have by default. */
export const DEFAULT_EGRESS_PORT = 8080;

/** CID of an enclave, unless another one is chosen at its launch. */
export const DEFAULT_ENCLAVE_CID = 16;

/** Least CID of an enclave: 3 is the parent's, and those below it are reserved. */
const FIRST_ENCLAVE_CID = 4;

/** Greatest CID, and greatest vsock port: 2^32 - 1 stands for any. */
const LAST = 0xffff_fffe;

/** Range of an enclave's CID. */
export const ENCLAVE_CIDS: { readonly min: number; readonly max: number } = {
  min: FIRST_ENCLAVE_CID,
  max: LAST,
};

/** Vsock ports on which an enclave receives its secrets: credentials, an age key, key shares. */
export const SECRET_PORTS: readonly [credentials: number, ageKey: number, keyShares: number] = [
  7100,
  7101,
  7102,
];

/**
 * Checks that a bridge does not lead outside callers to a port that only the parent itself may reach: the enclave takes
 * whoever comes there for the parent.
 *
 * @param field Name of the port, for messages
 * @param port Port, 1 to 2^32 - 2
 * @param controlPort Vsock port of the enclave's control listener; 0 when it has none. Default: 7099
 * @param secretPorts Further vsock ports on which the enclave takes secrets
 * @returns The port
 * @throws {TypeError} When one is no number
 * @throws {RangeError} When one is out of range, or the port is the control port, one of 7100 to 7102 or a further one
 */
export function checkBridgedPort(
  field: string,
  port: unknown,
  controlPort: unknown,
  secretPorts: readonly number[] = [],
): number {
  const range = { min: 1, max: LAST };
  const control = checkInteger("controlPort", controlPort, {
    ...range,
    min: 0,
    default: DEFAULT_CONTROL_PORT,
  });
  const checked = checkInteger(field, port, range);
  if (checked === control || checked === DEFAULT_CONTROL_PORT) {
    throw new RangeError(
      `${field} must not be ${checked}: on an enclave's control port every caller counts as the parent`,
    );
  }
  const secret = [...SECRET_PORTS, ...secretPorts];
  if (secret.includes(checked)) {
    throw new RangeError(
      `${field} must not be ${checked}: on ${secret.join(", ")} an enclave takes its secrets`,
    );
  }
  return checked;
}
