/**
 * Connects to the endpoint that its first argument says, with the rights it was given, and prints why it
 * cannot.
 *
 * @module
 */
import process from "node:process";
import { Deadline } from "../../lib/core/deadline.ts";
import { openTransport } from "../../lib/transport/open_transport.ts";

using deadline = new Deadline("connect", 60_000);
try {
  (await openTransport(JSON.parse(process.argv[2] ?? "{}"), deadline)).destroy();
  console.log("connected");
} catch (error) {
  console.log(`${error} (${(error as { hint?: string }).hint})`);
}
