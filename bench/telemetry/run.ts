/**
 * `npm run bench -- telemetry`: the server with an exporter beside the same one without, each in a process of its own,
 * in turns. A third process is the collector.
 *
 * @module
 */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processorTimeMs } from "../processor_time.ts";
import { Child } from "../child.ts";
import type { Goal } from "../goals.ts";
import { HttpCaller } from "../http_caller.ts";
import type { Lab } from "../lab.ts";
import { commandOf, type Runtime } from "../runtimes.ts";
import type { ServerOrder } from "../server_process.ts";
import { setCredentials } from "../set_credentials.ts";
import { quantile, shuffle } from "../statistics.ts";
import type { Row } from "../table.ts";
import {
  type Cost,
  type RequestName,
  REQUESTS,
  type Side,
  SIDES,
  telemetryGoals,
  telemetryRows,
} from "./costs.ts";

interface Lengths {
  readonly rounds: number;
  readonly warmUp: number;
  /** Requests of each kind in a round. */
  readonly requests: Readonly<Record<RequestName, number>>;
}

const FULL: Lengths = { rounds: 10, warmUp: 6000, requests: { decrypt: 4000, healthz: 20_000 } };
const QUICK: Lengths = { rounds: 10, warmUp: 2000, requests: { decrypt: 1000, healthz: 4000 } };

/** Connections that ask at once, each one request after the other. */
const AT_ONCE = 4;

/** Options of the measurement. */
export interface TelemetryOptions {
  /** Shorter rounds. */
  readonly isQuick: boolean;
  readonly runtimes: readonly Runtime[];
}

/**
 * Measures both servers on each runtime.
 *
 * @param lab The running KMS
 * @param options Runtimes and length
 * @param random Numbers from 0 to 1 for the order within a round
 * @param progress Gets a line for each step
 */
export async function runTelemetry(
  lab: Lab,
  { isQuick, runtimes }: TelemetryOptions,
  random: () => number,
  progress: (text: string) => void,
): Promise<{ readonly rows: readonly Row[]; readonly goals: readonly Goal[] }> {
  const lengths = isQuick ? QUICK : FULL;
  const rows: Row[] = [];
  const goals: Goal[] = [];
  for (const runtime of runtimes) {
    progress(`starting both servers on ${runtime}`);
    const costs = await measure(lab, runtime, lengths, random, progress);
    rows.push(...telemetryRows(runtime, costs));
    goals.push(...telemetryGoals(runtime, costs));
  }
  return { rows, goals };
}

async function measure(
  lab: Lab,
  runtime: Runtime,
  { rounds, warmUp, requests }: Lengths,
  random: () => number,
  progress: (text: string) => void,
) {
  const none = (): Record<Side, Cost[]> => ({ without: [], with: [] });
  const costs: Record<RequestName, Record<Side, Cost[]>> = { decrypt: none(), healthz: none() };
  const folder = await mkdtemp(join(tmpdir(), "enclave-kms-telemetry-"));
  const collector = new Child(
    commandOf("Node", "telemetry/collector_process.ts", [join(folder, "collector")]),
  );
  const subjects: Subject[] = [];
  try {
    await collector.read<boolean>();
    for (const side of SIDES) subjects.push(await Subject.start(lab, runtime, side, folder));
    for (const subject of subjects) await subject.ask("decrypt", warmUp);
    for (let round = 1; round <= rounds; round++) {
      progress(`round ${round} of ${rounds} on ${runtime}`);
      for (const name of REQUESTS) {
        for (const subject of shuffle(subjects, random)) {
          costs[name][subject.side].push(await subject.ask(name, requests[name]));
        }
      }
    }
    if (await collector.ask<number>("count") < rounds) throw new Error("The collector got next to nothing");
    return costs;
  } finally {
    for (const subject of subjects) await subject[Symbol.asyncDispose]();
    await collector[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  }
}

/** One server in its process. */
class Subject implements AsyncDisposable {
  readonly side: Side;
  readonly #child: Child;
  readonly #socket: string;
  readonly #ciphertexts: readonly string[];

  private constructor(side: Side, child: Child, socket: string, ciphertexts: readonly string[]) {
    this.side = side;
    this.#child = child;
    this.#socket = socket;
    this.#ciphertexts = ciphertexts;
  }

  static async start(lab: Lab, runtime: Runtime, side: Side, folder: string): Promise<Subject> {
    const { setting, parts } = lab;
    const socket = join(folder, `${side}.sock`);
    const child = new Child(lab.supervise(commandOf(runtime, "server_process.ts")));
    const telemetry = side === "with" ? `unix:${join(folder, "collector")}` : undefined;
    await child.ask<boolean>(
      { setting, parts, roundTripMs: 0, socket, logs: true, telemetry } satisfies ServerOrder,
    );
    await setCredentials({ transport: "unix", path: `${socket}.control` }, setting.credentials);
    return new Subject(side, child, socket, setting.samples.map(({ ciphertext }) => ciphertext));
  }

  /** Asks over new connections, which then take requests one after the other. */
  async ask(name: RequestName, requests: number): Promise<Cost> {
    const latenciesMs: number[] = [];
    const before = processorTimeMs(this.#child.pid, "/server_process.ts");
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      const socket = connect(this.#socket);
      await once(socket, "connect");
      using caller = new HttpCaller(socket);
      for (let sent = 0; sent < requests / AT_ONCE; sent++) {
        const since = performance.now();
        const { status } = await this.#send(caller, name, sent);
        if (status !== 200) throw new Error(`The server ${this.side} an exporter answered ${status}`);
        latenciesMs.push(performance.now() - since);
      }
    }));
    const cpuMs = (processorTimeMs(this.#child.pid, "/server_process.ts") - before) / latenciesMs.length;
    return { cpuMs, p99Ms: quantile(latenciesMs, 0.99) };
  }

  #send(caller: HttpCaller, name: RequestName, number: number) {
    if (name === "healthz") return caller.send("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    const ciphertext = this.#ciphertexts[number % this.#ciphertexts.length];
    return caller.post("/v1/decrypt", JSON.stringify({ ciphertext }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }
}
