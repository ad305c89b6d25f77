import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "#test";
import { toHex } from "../../../lib/core/bytes.ts";
import { sha256 } from "../../../lib/core/sha256.ts";
import { SecretRefusedError } from "../../../lib/core/secret_error.ts";
import { listen } from "../../../lib/transport/mod.ts";
import { vsockToListen } from "../../../lib/transport/vsock_place.ts";
import { encodeSecretReceipt, type SecretReceipt } from "../../../lib/wire/secret_receipt.ts";
import type { EnclaveConnector } from "../../../parent/connector/enclave_connector.ts";
import { ConnectedEnclave } from "../../../parent/runner/connected_enclave.ts";
import { until } from "../../support/until.ts";

const SECRET = { name: "age-key", port: 7101, content: Uint8Array.of(1, 2, 3) };
const TAKEN: SecretReceipt = { ok: true, name: "age-key", sha256: toHex(sha256(SECRET.content)) };
const BUSY: SecretReceipt = { ok: false, code: "ERR_SECRET_BUSY", message: "Cannot take secret" };
const LATE: SecretReceipt = { ok: false, code: "ERR_SECRET_LATE", message: "Cannot take secret" };

/** Port of an enclave that answers with receipts in turn, and for ever with the last. */
async function openPort(receipts: readonly SecretReceipt[]) {
  const simulationFolder = mkdtempSync(join(tmpdir(), "enclave-kms-connected-"));
  let count = 0;
  const port = await listen(await vsockToListen(16, SECRET.port, simulationFolder), {}, ({ stream }) => {
    const receipt = receipts[Math.min(count++, receipts.length - 1)] ?? LATE;
    stream.once("data", () => stream.end(encodeSecretReceipt(receipt)));
  });
  const connector = { [Symbol.asyncDispose]: () => Promise.resolve() } as unknown as EnclaveConnector;
  return {
    enclave: new ConnectedEnclave(connector, { cid: 16, controlPort: 0, simulationFolder }),
    count: () => count,
    async [Symbol.asyncDispose]() {
      await port[Symbol.asyncDispose]();
      rmSync(simulationFolder, { recursive: true });
    },
  };
}

describe("ConnectedEnclave.sendSecret()", () => {
  test("tries again while somebody else occupies the port", async () => {
    await using world = await openPort([BUSY, BUSY, TAKEN]);
    await world.enclave.sendSecret(SECRET, new AbortController().signal);
    assert.equal(world.count(), 3);
  });

  test("gives up at once on any other refusal, and with its signal", async () => {
    await using late = await openPort([LATE]);
    const never = new AbortController().signal;
    await assert.rejects(late.enclave.sendSecret(SECRET, never), SecretRefusedError);
    assert.equal(late.count(), 1);
    await using busy = await openPort([BUSY]);
    const stop = new AbortController();
    const sending = assert.rejects(busy.enclave.sendSecret(SECRET, stop.signal), /told to end/);
    await until(() => busy.count() > 2);
    stop.abort(new Error("told to end"));
    await sending;
  });
});
