import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import process from "node:process";
import { promisify } from "node:util";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";

const CHILD = fileURLToPath(new URL("../support/proxied_child.ts", import.meta.url));
const RUN = "Deno" in globalThis
  ? ["run", "--quiet", "--no-prompt", "--no-check", "-A", "--unstable-vsock"]
  : [];

describe("vsockRequestHandler()", () => {
  test("does not read the variables for proxies, by which the runtime's own fetch goes", async () => {
    const asked: string[] = [];
    const proxy = createServer((socket: Socket) => {
      socket.on("error", () => {});
      socket.once("data", (chunk) => {
        asked.push(String(chunk).split("\r\n")[0] ?? "");
        socket.end("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
      });
    }).listen(0, "127.0.0.1");
    await once(proxy, "listening");
    try {
      const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
      const variables = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
      const env = {
        ...process.env,
        ...Object.fromEntries(variables.map((name) => [name, url])),
        NO_PROXY: "",
        no_proxy: "",
        NODE_USE_ENV_PROXY: "1",
        DENO_NO_UPDATE_CHECK: "1",
      };
      const { stdout } = await promisify(execFile)(process.execPath, [...RUN, CHILD], { env });
      assert.equal(stdout, "hello\n");
      assert.ok(asked.some((line) => line.includes("proxied.invalid")), "the runtime finds the proxy");
      assert.ok(!asked.some((line) => line.includes("amazonaws")), asked.join());
    } finally {
      proxy.close();
    }
  });
});
