import { AttestationError, EnclaveKmsError, KmsError, PolicyLoadError } from "../lib/core/errors.ts";
import type { Command } from "./command.ts";
import { MalformedValueError, OutputLostError, UsageError } from "./usage_error.ts";
import { attestationExit, EXIT, KMSTOOL_COMMANDS } from "./exit_codes.ts";

/**
 * Describes a failure in lines for standard error: message, hint and code. There is never a stack trace; the
 * message of an error that is not the library's own is left out, since it may hold anything.
 *
 * @param prefix Program and command
 * @param error The error that was thrown
 */
export function describeFailure(prefix: string, error: unknown): readonly string[] {
  if (error instanceof EnclaveKmsError) {
    return [`${prefix}: ${error.message}`, `hint: ${error.hint}`, `code: ${codeOf(error)}`];
  }
  if (isCallersMistake(error) || error instanceof OutputLostError) return [`${prefix}: ${error.message}`];
  const name = error instanceof Error ? error.name : typeof error;
  return [`${prefix}: an unexpected ${name}${systemCodeOf(error)}`];
}

/**
 * Finds the exit code for an error.
 *
 * @param command The command that was run
 * @param error The error that it threw
 */
export function exitCodeOf({ name }: Command, error: unknown): number {
  if (error instanceof OutputLostError) return EXIT.outputLost;
  if (name === "kmstool-instance") return EXIT.usage;
  if (KMSTOOL_COMMANDS.includes(name)) return isUsage(error) ? EXIT.usage : EXIT.kmstoolFailed;
  if (isCallersMistake(error)) return EXIT.usage;
  return error instanceof AttestationError ? attestationExit(error.code) : EXIT.failed;
}

/** Formats the stable code of an error, with KMS's exception and request id or the place in a policy. */
export function codeOf(error: EnclaveKmsError): string {
  if (error instanceof PolicyLoadError) return `${error.code}${placeOf(error)}`;
  if (!(error instanceof KmsError)) return error.code;
  const request = error.requestId === undefined ? "" : `, request ${error.requestId}`;
  return `${error.code} (${error.kmsCode}${request})`;
}

function placeOf({ line, column, policyId }: PolicyLoadError): string {
  const place = [
    ...(line === undefined ? [] : [`line ${line}`]),
    ...(column === undefined ? [] : [`column ${column}`]),
    ...(policyId === undefined ? [] : [`policy ${policyId}`]),
  ];
  return place.length === 0 ? "" : ` (${place.join(", ")})`;
}

/** Tells whether an error is a mistake in flags or files, not in their values. */
function isUsage(error: unknown): boolean {
  return error instanceof UsageError && !(error instanceof MalformedValueError);
}

/** Tells whether an error comes from a check, whose message names the field and holds no value. */
function isCallersMistake(error: unknown): error is Error {
  return error instanceof UsageError || error instanceof RangeError ||
    (error instanceof TypeError && !("code" in error));
}

function systemCodeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && /^[A-Z_0-9]{1,40}$/.test(code) ? ` (${code})` : "";
}
