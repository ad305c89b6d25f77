import { setTimeout as sleep } from "node:timers/promises";
import { Deadline } from "../../lib/core/deadline.ts";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import { openTransport } from "../../lib/transport/open_transport.ts";
import { HttpCaller } from "../http_caller.ts";
import type { Sample } from "../setting.ts";

/** Latencies and failures that a good caller saw. */
export interface Served {
  /** Latency of every call, in milliseconds; Infinity for one that failed. */
  readonly latenciesMs: readonly number[];
  /** Count of each failure. */
  readonly failures: Readonly<Record<string, number>>;
}

/** A call that takes longer has failed. */
const PATIENCE_MS = 10_000;

/**
 * Decrypts for a while, two at once: one call after the other over a connection that is kept, and one after
 * the other over a connection of its own.
 *
 * @param http Address of the server
 * @param samples Ciphertexts to decrypt, in turn
 * @param forMs Time after which no call begins, in milliseconds
 */
export async function callFor(http: Endpoint, samples: readonly Sample[], forMs: number): Promise<Served> {
  const latenciesMs: number[] = [];
  const failures: Record<string, number> = {};
  const endsAt = performance.now() + forMs;
  const lane = async (keeps: boolean) => {
    let caller: HttpCaller | undefined;
    for (let turn = 0; performance.now() < endsAt; turn++) {
      const startedAt = performance.now();
      try {
        using deadline = new Deadline("call", PATIENCE_MS);
        if (caller?.isOpen !== true) caller = new HttpCaller(await openTransport(http, deadline));
        await deadline.race(decrypt(caller, samples[turn % samples.length]!));
        latenciesMs.push(performance.now() - startedAt);
      } catch (error) {
        latenciesMs.push(Infinity);
        const text = error instanceof Error ? error.message : String(error);
        failures[text] = (failures[text] ?? 0) + 1;
        caller?.[Symbol.dispose]();
        // Who is refused does not ask a thousand times a second.
        await sleep(PAUSE_MS);
      }
      if (!keeps) caller?.[Symbol.dispose]();
    }
    caller?.[Symbol.dispose]();
  };
  await Promise.all([lane(true), lane(false)]);
  return { latenciesMs, failures };
}

const PAUSE_MS = 20;

async function decrypt(caller: HttpCaller, { ciphertext, plaintext }: Sample): Promise<void> {
  const { status, body } = await caller.post("/v1/decrypt", JSON.stringify({ ciphertext }));
  if (status !== 200) throw new Error(`The answer is ${status}`);
  if (JSON.parse(body).plaintext !== plaintext) throw new Error("The plaintext is wrong");
}
