/** Which flags each runtime wants for vsock, and what is said when one is missing. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { check } from "../check.ts";

const CHILD = fileURLToPath(new URL("../echo_child.ts", import.meta.url));

if ("Deno" in globalThis) await checkDeno();
else await checkNode();

async function checkDeno(): Promise<void> {
  const deno = ["run", "--no-prompt", "--no-check", "--quiet"];
  await check(
    "Deno: vsock:-1:<port> lets it listen, vsock:3:<port> connect, and nothing else is needed",
    async () => {
      const output = await run([...deno, "--unstable-vsock", "--allow-net=vsock:-1:8000,vsock:3:8000"]);
      assert.equal(output, "echoed hello");
    },
  );
  await check("Deno: without the permission the hint names it", async () => {
    const output = await run([...deno, "--unstable-vsock", "--allow-net=127.0.0.1"]);
    assert.match(
      output,
      /^ConnectionError: Cannot listen on vsock .*: NotCapable: .*--allow-net=vsock:-1:<port>/,
    );
  });
  await check("Deno: without --unstable-vsock it ends, and says why itself", async () => {
    const output = await run([...deno, "--allow-all"]);
    assert.match(output, /--unstable-vsock/);
  });
}

async function checkNode(): Promise<void> {
  await check("Node: works under --permission with addons", async () => {
    const output = await run(["--permission", "--allow-addons", "--allow-fs-read=*"]);
    assert.match(output, /(^|\n)echoed hello$/);
  });
}

/** Runs the child and returns the text of both streams. */
function run(flags: string[]): Promise<string> {
  const child = spawn(process.execPath, [...flags, CHILD], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Uint8Array) => output += String(chunk));
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", () => resolve(output.trim()));
  });
}
