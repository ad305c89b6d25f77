import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "#test";
import { toHex } from "../../../lib/core/bytes.ts";
import { sha256 } from "../../../lib/core/sha256.ts";
import { listen } from "../../../lib/transport/mod.ts";
import { vsockToListen } from "../../../lib/transport/vsock_place.ts";
import { SecretFrameReader } from "../../../lib/wire/secret_frame.ts";
import { encodeSecretReceipt } from "../../../lib/wire/secret_receipt.ts";
import { CredentialsKeeper } from "../../../parent/runner/credentials_keeper.ts";
import type { ParentEvent } from "../../../parent/runner/parent_state.ts";

const CREDENTIALS = { accessKeyId: "ASIAEXAMPLE", secretAccessKey: "secret", sessionToken: "token" };

/** Longer than an enclave has to listen on its port for credentials. */
const SLOW_MS = 3000;

describe("CredentialsKeeper", () => {
  test("waits for the receipt of an enclave that is slow to take credentials, and pushes once", async () => {
    const simulationFolder = mkdtempSync(join(tmpdir(), "enclave-kms-keeper-"));
    try {
      let connections = 0;
      await using _port = await listen(await vsockToListen(16, 7100, simulationFolder), {}, ({ stream }) => {
        connections++;
        const reader = new SecretFrameReader({ maxBytes: 4096 });
        stream.on("data", (chunk: Uint8Array) => {
          reader.push(chunk);
          if (!reader.isComplete) return;
          const receipt = { ok: true, name: "credentials", sha256: toHex(sha256(reader.end())) } as const;
          setTimeout(() => stream.end(encodeSecretReceipt(receipt)), SLOW_MS);
        });
      });
      const events: ParentEvent[] = [];
      await using keeper = new CredentialsKeeper({
        source: () => Promise.resolve(CREDENTIALS),
        aheadMs: 1000,
        to: "auto",
        port: 7100,
        onEvent: (event) => events.push(event),
      });
      const route = { cid: 16, controlPort: 7099, simulationFolder };
      await using _push = await keeper.pushTo(route, new AbortController().signal);
      assert.equal(connections, 1);
      assert.deepEqual(events, [{ event: "credentials", reason: "start", isKept: false }]);
    } finally {
      rmSync(simulationFolder, { recursive: true });
    }
  });
});
