import { constants } from "node:os";

/**
 * Names the reason of a failed system call.
 *
 * @param error The error that was thrown
 * @returns A code such as `ENOENT`, Deno's name of the error, or the permission that is missing
 */
export function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ERR_ACCESS_DENIED") return "Node.js needs --allow-fs-read, or --allow-fs-write";
  if (typeof code === "string") return code;
  if (error instanceof Error && error.name === "NotCapable") {
    return "Deno needs --allow-read, or --allow-write";
  }
  if (!(error instanceof Error)) return "unknown reason";
  return systemErrorName(error) ?? (/^\w{1,40}$/.test(error.name) ? error.name : "unknown reason");
}

/**
 * Finds the system's name of an error on Deno, which names a few itself and puts the number of others in the
 * message.
 */
function systemErrorName({ message }: Error): string | undefined {
  const number = Number(/\(os error (\d{1,5})\)/.exec(message)?.[1]);
  return Object.entries(constants.errno).find(([, value]) => value === number)?.[0];
}
