/** Errors of connecting to a CID or port where nobody listens, and their hints. */
import assert from "node:assert/strict";
import { Deadline } from "../../../lib/core/deadline.ts";
import { ConnectionError, type EnclaveKmsError, TimeoutError } from "../../../lib/core/errors.ts";
import { connectVsock } from "../../../lib/transport/connect_vsock.ts";
import { check } from "../check.ts";
import { GUEST_CID } from "../guest_addresses.ts";

/** In this guest, as in an enclave, what goes to another CID meets silence when nobody is there. */
const SILENT_CID = 4;
const UNUSED_PORT = 7999;

await check("no listener: ConnectionError, and no time-out", async () => {
  const error = await failure(GUEST_CID, 3_600_000);
  assert.ok(error instanceof ConnectionError, String(error));
  assert.match(error.hint, /^Nothing listens on that port, or its backlog is full/);
  return error.message;
});

for (const timeoutMs of [300, 3000]) {
  await check(`a silent CID: TimeoutError after ${timeoutMs} ms`, async () => {
    const error = await failure(SILENT_CID, timeoutMs);
    assert.ok(error instanceof TimeoutError, String(error));
    return error.message;
  });
}

async function failure(cid: number, timeoutMs: number): Promise<EnclaveKmsError> {
  using deadline = new Deadline("connect", timeoutMs);
  return await connectVsock({ transport: "vsock", cid, port: UNUSED_PORT }, deadline).then(
    () => assert.fail("connected"),
    (error: EnclaveKmsError) => error,
  );
}
