/** What connecting to a CID or port where nobody is comes to, and whether the hint is right. */
import assert from "node:assert/strict";
import { Deadline } from "../../../lib/deadline.ts";
import { ConnectionError, type EnclaveKmsError, TimeoutError } from "../../../lib/errors.ts";
import { connectVsock } from "../../../lib/vsock/connect.ts";
import { check } from "../check.ts";
import { GUEST_CID } from "../guest_addresses.ts";

/** In this guest, as in an enclave, what goes to another CID meets silence when nobody is there. */
const SILENT_CID = 4;
const UNUSED_PORT = 7999;

await check("no listener: ConnectionError at once", async () => {
  const { error, elapsedMs } = await failure(GUEST_CID, 2000);
  assert.ok(error instanceof ConnectionError, String(error));
  assert.match(error.hint, /^Nothing listens on that port, or its backlog is full/);
  assert.ok(elapsedMs < 1000, `${elapsedMs} ms`);
  return error.message;
});

for (const timeoutMs of [300, 3000]) {
  await check(`a silent CID: TimeoutError, at most after ${timeoutMs} ms`, async () => {
    const { error, elapsedMs } = await failure(SILENT_CID, timeoutMs);
    assert.ok(error instanceof TimeoutError, String(error));
    assert.ok(elapsedMs < timeoutMs + 500, `${elapsedMs} ms`);
    return error.message;
  });
}

async function failure(cid: number, timeoutMs: number) {
  using deadline = new Deadline("connect", timeoutMs);
  const started = performance.now();
  const error = await connectVsock({ transport: "vsock", cid, port: UNUSED_PORT }, deadline).then(
    () => assert.fail("connected"),
    (error: EnclaveKmsError) => error,
  );
  return { error, elapsedMs: performance.now() - started };
}
