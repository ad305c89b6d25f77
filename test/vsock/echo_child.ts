/** Listens on vsock, and asks itself for an echo; prints what came of it. For runs under few permissions. */
import { Deadline } from "../../lib/core/deadline.ts";
import type { EnclaveKmsError } from "../../lib/core/errors.ts";
import { connectVsock } from "../../lib/transport/connect_vsock.ts";
import { listen } from "../../lib/transport/listen.ts";
import { GUEST_CID, PARENT } from "./guest_addresses.ts";

try {
  await using _ = await listen(PARENT, {}, ({ stream }) => void stream.pipe(stream));
  using deadline = new Deadline("connect", 60_000);
  const stream = await connectVsock({ ...PARENT, cid: GUEST_CID }, deadline);
  stream.end("hello");
  for await (const chunk of stream) console.log(`echoed ${chunk}`);
} catch (error) {
  const { name, message, hint } = error as EnclaveKmsError;
  console.log(`${name}: ${message}: ${hint}`);
}
