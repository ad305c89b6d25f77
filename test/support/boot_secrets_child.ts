/**
 * A process that runs an enclave which waits for secrets, so that its memory can be searched for them. Each line that it
 * reads is a command: it collects garbage, or closes the enclave first.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { enclaveApp, type SecretDeclaration, startEnclave } from "../../enclave/mod.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { garbageCollector } from "./garbage.ts";

const collect = garbageCollector();
const secrets = JSON.parse(process.env["TEST_SECRETS"] ?? "[]") as readonly SecretDeclaration[];
/** Prints the port of its HTTP, which listens long before the start is over. */
const logger = createLogger("info", (line) => {
  const { msg, http } = JSON.parse(line) as { msg: string; http?: { port: number } };
  if (msg === "listening") process.stdout.write(`${http?.port}\n`);
});
const printing = process.env["TEST_PRINTS_PORT"] === undefined ? {} : { logger };
const starting = startEnclave(enclaveApp(), { name: "secrets", secrets, signals: false, ...printing });

for await (const command of createInterface(process.stdin)) {
  if (command === "close") await (await starting).close();
  for (let i = 0; i < 5; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    collect();
  }
  process.stdout.write("done\n");
}
