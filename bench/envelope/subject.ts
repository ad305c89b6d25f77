/**
 * Streams and messages of one checkout, or of bare calls of EVP: `node bench/envelope/subject.ts FOLDER|evp`. Prints
 * `true` when it is ready, then answers every {@link EnvelopeOrder} with an {@link EnvelopeReading}, and ends with its
 * input.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { checkoutWorks } from "./checkout_works.ts";
import { type EnvelopeOrder, type EnvelopeReading, type EnvelopeWorks, unitsOf } from "./order.ts";

const [, , folder = "evp"] = process.argv;
const works = folder === "evp"
  ? (await import("../evp/envelope_floor.ts")).envelopeFloor()
  : await checkoutWorks(folder);
console.log("true");
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await measure(works, JSON.parse(line) as EnvelopeOrder)));
}
process.exit(0);

async function measure(works: EnvelopeWorks, { work, forMs }: EnvelopeOrder): Promise<EnvelopeReading> {
  const { [work]: doOnce } = works;
  const before = process.cpuUsage();
  const startedAt = performance.now();
  let units = 0;
  let elapsedMs = 0;
  do {
    const done = doOnce();
    // A call that has nothing to wait for is not made to wait.
    if (done !== undefined) await done;
    units += unitsOf(work);
    elapsedMs = performance.now() - startedAt;
  } while (elapsedMs < forMs);
  const { user, system } = process.cpuUsage(before);
  return { perSecond: units / elapsedMs * 1000, cpuMs: (user + system) / 1000 / units };
}
