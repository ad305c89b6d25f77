import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, test } from "#test";
import { sealedFetch } from "../../lib/channel/mod.ts";
import { decodeBase64 } from "../../lib/core/encoding.ts";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import { createFetch } from "../../lib/transport/mod.ts";
import { countInMemory } from "../support/memory_scan.ts";
import { RUNTIME_COMMANDS } from "../support/runtime_commands.ts";

const runtime = "Deno" in globalThis ? "Deno" : "Node";
const CHILD = fileURLToPath(new URL("../support/secret_answers_child.ts", import.meta.url));
const ROUNDS = 16;

type Ask = (body: string) => Promise<string>;

describe("the memory of an application that answered with secrets", () => {
  for (const channel of ["clear", "sealed", "streamed"] as const) {
    test(`holds none of them, as bytes or as base64, after ${channel} answers`, async () => {
      const [program = "", ...args] = RUNTIME_COMMANDS[runtime] ?? [];
      const child = spawn(program, [...args, CHILD], { stdio: ["pipe", "pipe", "inherit"] });
      try {
        const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
        const place = JSON.parse((await lines.next()).value as string) as Place;
        const ask = askOver(place)[channel];
        const secrets: string[] = [];
        for (let round = 0; round < ROUNDS; round++) secrets.push(await ask("drop"));
        const kept = await ask("keep");
        const needles = Object.fromEntries([...secrets, kept].flatMap((secret, i) => [
          [`base64 ${i}`, new TextEncoder().encode(secret)],
          [`bytes ${i}`, decodeBase64(secret)],
        ]));
        const found = countInMemory(child.pid ?? 0, needles);
        assert.ok((found[`bytes ${ROUNDS}`] ?? 0) >= 1, "the search finds what is kept");
        delete found[`bytes ${ROUNDS}`];
        assert.deepEqual(Object.entries(found).filter(([, count]) => count > 0), []);
      } finally {
        child.kill("SIGKILL");
      }
    });
  }
});

interface Place {
  readonly endpoint: Endpoint;
  readonly root: string;
  readonly pcr0: string;
}

function askOver({ endpoint, root, pcr0 }: Place): Readonly<Record<"clear" | "sealed" | "streamed", Ask>> {
  const fetch = createFetch(endpoint);
  const expected = { pcrs: { 0: pcr0 }, root: decodeBase64(root), fetch };
  const sealed = sealedFetch("http://enclave/", expected);
  const streamed = sealedFetch("http://enclave/", { ...expected, answers: "streamed" });
  const asking = (way: typeof sealed): Ask => async (body) => {
    const answer = await way("http://enclave/secret", { method: "POST", body });
    return (await answer.json() as { secret: string }).secret;
  };
  return { clear: asking(fetch), sealed: asking(sealed), streamed: asking(streamed) };
}
