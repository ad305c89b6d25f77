import process from "node:process";

/**
 * Lets a program whose exit code is its result go on when nobody reads its output any more. On Node.js that
 * is an event, which would end the process with a stack trace and leave its children behind.
 */
export function surviveClosedOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
}
