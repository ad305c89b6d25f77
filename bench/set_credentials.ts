import { Deadline } from "../lib/core/deadline.ts";
import type { Endpoint } from "../lib/core/endpoint.ts";
import { openTransport } from "../lib/transport/open_transport.ts";
import { HttpCaller } from "./http_caller.ts";

/**
 * Gives the server its credentials.
 *
 * @param control Address of its control listener
 * @param credentials Credentials for all callers
 * @throws {Error} When they are not taken
 */
export async function setCredentials(control: Endpoint, credentials: object): Promise<void> {
  using deadline = new Deadline("set credentials", 60_000);
  using caller = new HttpCaller(await openTransport(control, deadline));
  const { status } = await deadline.race(caller.post("/v1/credentials", JSON.stringify(credentials)));
  if (status !== 204) throw new Error(`The server takes no credentials: ${status}`);
}
