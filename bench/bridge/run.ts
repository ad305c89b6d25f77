/**
 * Bridges against socat, in one run, from TCP to a unix socket: processor time, throughput, round trips, and connections
 * that are idle; and calls of gRPC through both halves of a bridge against direct ones.
 *
 * @module
 */
import type { Runtime } from "../runtimes.ts";
import { shuffle } from "../statistics.ts";
import { GrpcWays } from "./grpc.ts";
import { Load } from "./load.ts";
import { socatVersion, Subject, type SubjectName } from "./subjects.ts";
import type { BridgeFindings, BridgeRound, IdleResult } from "./verdict.ts";

interface Lengths {
  readonly rounds: number;
  readonly bytes: number;
  readonly questions: number;
  readonly idleCount: number;
  readonly calls: number;
}

const FULL: Lengths = { rounds: 7, bytes: 2 ** 30, questions: 8000, idleCount: 4000, calls: 8000 };
const QUICK: Lengths = { rounds: 3, bytes: 2 ** 28, questions: 2000, idleCount: 4000, calls: 2000 };

/** Options of the comparison. */
export interface BridgeBenchOptions {
  /** Fewer and shorter rounds. */
  readonly isQuick: boolean;
  readonly runtimes: readonly Runtime[];
}

/**
 * Measures every program once in every round, in random order.
 *
 * @param options Runtimes and length
 * @param random Numbers from 0 to 1 for the order
 * @param progress Gets a line for each step
 * @returns The measurements, and why socat's are missing
 */
export async function runBridges(
  { isQuick, runtimes }: BridgeBenchOptions,
  random: () => number,
  progress: (text: string) => void,
): Promise<BridgeFindings & { readonly missing: string | undefined }> {
  const lengths = isQuick ? QUICK : FULL;
  const missing = socatVersion() === undefined ? "not measured: socat is not installed" : undefined;
  const names: SubjectName[] = [
    ...runtimes,
    ...missing === undefined ? ["socat", "socat -b 65536"] as const : [],
  ];
  const rounds = new Map<SubjectName, BridgeRound[]>(names.map((name) => [name, []]));
  await using load = await Load.start();
  for (let round = 1; round <= lengths.rounds; round++) {
    progress(`round ${round} of ${lengths.rounds}`);
    for (const name of shuffle(names, random)) rounds.get(name)?.push(await measure(name, load, lengths));
  }
  progress("calls of gRPC");
  const grpc = await callGrpc(runtimes, lengths, random);
  const idle = new Map<Runtime, IdleResult>();
  for (const runtime of runtimes) {
    progress(`${lengths.idleCount} connections on ${runtime}`);
    await using subject = await Subject.start(runtime, load.socket);
    idle.set(runtime, await load.keepIdle(subject, lengths.idleCount));
  }
  return { rounds, idle, idleCount: lengths.idleCount, grpc, missing };
}

async function callGrpc(
  runtimes: readonly Runtime[],
  { rounds, calls }: Lengths,
  random: () => number,
): Promise<BridgeFindings["grpc"]> {
  await using ways = await GrpcWays.start(runtimes);
  const names = [...ways.ports.keys()];
  for (const way of names) await ways.ask(way, calls); // all processes are warm
  const times = new Map<Runtime | "direct", number[]>(names.map((way) => [way, []]));
  for (let round = 0; round < rounds; round++) {
    for (const way of shuffle(names, random)) times.get(way)?.push(await ways.ask(way, calls));
  }
  return times;
}

async function measure(
  name: SubjectName,
  load: Load,
  { bytes, questions }: Lengths,
): Promise<BridgeRound> {
  await using subject = await Subject.start(name, load.socket);
  // Ours stays up and is measured warm, as it runs; socat has nothing to warm up, and ends with its connection.
  if (!name.startsWith("socat")) await load.stream(subject, bytes / 4);
  const streamed = await load.stream(subject, bytes);
  await using another = await Subject.start(name, load.socket);
  return { ...streamed, roundTripUs: await load.askInTurn(another, questions) };
}
