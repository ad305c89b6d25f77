/**
 * `npm run bench -- app`: processor time of one request of an application on the base, beside the same application on
 * bare @hono/node-server. Each has a process of its own, and they take turns, so that whatever else the machine does
 * falls out of the ratios.
 *
 * @module
 */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { join } from "node:path";
import { Child } from "../child.ts";
import { HttpCaller } from "../http_caller.ts";
import { commandOf, type Runtime } from "../runtimes.ts";
import { shuffle } from "../statistics.ts";
import type { Row } from "../table.ts";
import type { Goal } from "../goals.ts";
import { appGoal, appRows, type Costs, rotationGoal, rotationRow } from "./costs.ts";
import type { Rotated } from "./rotation_order.ts";
import { sealedAsk } from "./sealed_caller.ts";
import { PATH, type SubjectName, type SubjectOrder, type SubjectPlace, SUBJECTS } from "./subject_order.ts";

interface Lengths {
  readonly rounds: number;
  readonly requests: number;
  readonly warmUp: number;
  readonly rotations: number;
}

const FULL: Lengths = { rounds: 40, requests: 400, warmUp: 8000, rotations: 1000 };
const QUICK: Lengths = { rounds: 10, requests: 300, warmUp: 2000, rotations: 100 };

/** Time limit of all rotations, in milliseconds. */
const ROTATION_LIMIT_MS = 900_000;

/** Options of the measurement. */
export interface AppOptions {
  /** Fewer rounds, and shorter. */
  readonly isQuick: boolean;
  readonly runtimes: readonly Runtime[];
}

/**
 * Measures all applications on each runtime.
 *
 * @param options Runtimes and length
 * @param random Numbers from 0 to 1 for the order within a round
 * @param progress Gets a line for each step
 */
export async function runApp(
  { isQuick, runtimes }: AppOptions,
  random: () => number,
  progress: (text: string) => void,
): Promise<{ readonly rows: readonly Row[]; readonly goals: readonly Goal[] }> {
  const lengths = isQuick ? QUICK : FULL;
  const rows: Row[] = [];
  const goals: Goal[] = [];
  for (const runtime of runtimes) {
    progress(`starting the applications on ${runtime}`);
    const costs = await measure(runtime, lengths, random, progress);
    rows.push(...appRows(runtime, costs));
    goals.push(appGoal(runtime, costs));
    progress(`rotating credentials on ${runtime}`);
    const rotated = await rotate(runtime, lengths.rotations);
    rows.push(rotationRow(runtime, rotated));
    goals.push(rotationGoal(runtime, rotated));
  }
  return { rows, goals };
}

async function measure(
  runtime: Runtime,
  { rounds, requests, warmUp }: Lengths,
  random: () => number,
  progress: (text: string) => void,
): Promise<Costs> {
  const folder = await mkdtemp(join(tmpdir(), "enclave-kms-app-"));
  const costs = Object.fromEntries(SUBJECTS.map((name) => [name, []])) as unknown as Record<
    SubjectName,
    number[]
  >;
  const subjects: Subject[] = [];
  try {
    for (const name of SUBJECTS) subjects.push(await Subject.start(runtime, { name, folder }));
    progress(`warming up on ${runtime}`);
    for (const subject of subjects) await subject.ask(warmUp);
    for (let round = 0; round < rounds; round++) {
      for (const subject of shuffle(subjects, random)) costs[subject.name].push(await subject.ask(requests));
    }
    return costs;
  } finally {
    for (const subject of subjects) await subject[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  }
}

async function rotate(runtime: Runtime, rotations: number): Promise<Rotated> {
  const folder = await mkdtemp(join(tmpdir(), "enclave-kms-app-"));
  try {
    await using child = new Child(commandOf(runtime, "app/rotation.ts"));
    return await child.ask<Rotated>({ rotations, folder }, ROTATION_LIMIT_MS);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** One application in its process. */
class Subject implements AsyncDisposable {
  readonly name: SubjectName;
  readonly #child: Child;
  readonly #place: SubjectPlace;
  readonly #request: string;

  private constructor(name: SubjectName, child: Child, place: SubjectPlace) {
    const { authorization } = place;
    this.name = name;
    this.#child = child;
    this.#place = place;
    const header = authorization === "" ? "" : `authorization: ${authorization}\r\n`;
    this.#request = `GET ${PATH} HTTP/1.1\r\nhost: a\r\n${header}\r\n`;
  }

  static async start(runtime: Runtime, order: SubjectOrder): Promise<Subject> {
    const child = new Child(commandOf(runtime, "app/subject.ts"));
    return new Subject(order.name, child, await child.ask<SubjectPlace>(order));
  }

  /**
   * Asks one request after the other over one connection, which is a new one each time: bare servers close idle ones.
   *
   * @returns The processor time of a request in microseconds
   */
  async ask(requests: number): Promise<number> {
    using caller = new HttpCaller(await this.#connect());
    const ask = this.name === "sealed" ? sealedAsk(caller, this.#place) : () => caller.send(this.#request);
    await ask();
    const before = await this.#child.ask<number>("cpu");
    for (let sent = 0; sent < requests; sent++) {
      const { status, body } = await ask();
      if (status !== 200 || body.length !== 200) throw new Error(`${this.name} answered ${status}: ${body}`);
    }
    return (await this.#child.ask<number>("cpu") - before) / requests;
  }

  async #connect(): Promise<Duplex> {
    const { port } = this.#place;
    // Whose certificate it is does not matter to what it costs.
    const options = { port, host: "127.0.0.1", rejectUnauthorized: false };
    const socket = this.name === "tls" ? connectTls(options) : connect(port, "127.0.0.1");
    await once(socket, this.name === "tls" ? "secureConnect" : "connect");
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }
}
