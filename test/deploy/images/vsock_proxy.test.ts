import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import type { TcpEndpoint } from "../../../lib/core/endpoint.ts";
import { connect, listen } from "../../../lib/transport/mod.ts";
import { until } from "../../support/until.ts";

const PROGRAM = fileURLToPath(new URL("../../../deploy/images/vsock-proxy.mjs", import.meta.url));

/** Folder of the sockets that stand for vsock, with an allow-list. */
class World implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "enclave-kms-vsock-proxy-"));
  readonly socket: string = join(this.folder, "3-8000.sock");
  readonly log: string = join(this.folder, "log");

  /** Messages so far. */
  get said(): string {
    return existsSync(this.log) ? readFileSync(this.log, "utf8") : "";
  }

  allow(port: number): void {
    writeFileSync(join(this.folder, "allow.yaml"), `allowlist:\n- {address: localhost, port: ${port}}\n`);
  }

  /** Starts the program as its image does: on Node.js. */
  start(args: readonly string[]) {
    const child = spawn("sh", ["-c", 'exec node "$0" "$@" 2>"$LOG"', PROGRAM, ...args], {
      env: { PATH: process.env["PATH"], LOG: this.log, ENCLAVE_KMS_SIMULATION_FOLDER: this.folder },
      stdio: "ignore",
    });
    const ended = once(child, "exit").then(([code]) => code as number | null);
    return { pid: child.pid ?? 0, ended };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}

describe("the program of Dockerfile.vsock-proxy", () => {
  test("carries bytes to the host that it is given, until SIGTERM", async () => {
    using world = new World();
    await using kms = await listen({ transport: "tcp", host: "localhost", port: 0 }, {}, ({ stream }) => {
      stream.on("error", () => {});
      stream.pipe(stream);
    });
    const { port } = kms.endpoint as TcpEndpoint;
    world.allow(port);
    const { pid, ended } = world.start([
      "--config",
      join(world.folder, "allow.yaml"),
      "8000",
      "localhost",
      String(port),
    ]);
    try {
      // Its socket is there before anybody listens on it.
      await until(() => world.said.includes("leads to"), () => world.said);
      const stream = await connect({ transport: "unix", path: world.socket }, { timeoutMs: 60_000 });
      let text = "";
      stream.on("data", (chunk) => text += chunk);
      stream.end("hello");
      await once(stream, "close");
      assert.equal(text, "hello");
    } finally {
      process.kill(pid, "SIGTERM");
    }
    assert.equal(await ended, 0);
    assert.match(
      world.said,
      new RegExp(`^vsock-proxy: vsock 8000 leads to localhost:${port}$`, "m"),
    );
  });

  const refused: Readonly<Record<string, readonly [args: readonly string[], reason: RegExp]>> = {
    "a host that is not allowed": [
      ["8000", "kms.eu-central-1.amazonaws.com", "443"],
      /kms\.eu-central-1\.amazonaws\.com/,
    ],
    "another port of one that is": [["8000", "localhost", "444"], /localhost/],
    "arguments that are none": [["8000"], /three arguments/],
    "an allow-list that is not there": [["--config", "/nowhere", "8000", "localhost", "443"], /ENOENT/],
  };
  for (const [what, [args, reason]] of Object.entries(refused)) {
    test(`ends with 1 and the reason for ${what}, and listens nowhere`, async () => {
      using world = new World();
      world.allow(443);
      const config = args.includes("--config") ? [] : ["--config", join(world.folder, "allow.yaml")];
      assert.equal(await world.start([...config, ...args]).ended, 1);
      assert.match(world.said, reason);
      assert.equal(existsSync(world.socket), false);
    });
  }
});
