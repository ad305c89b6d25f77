/**
 * Attacks of one hostile caller on the others, over connections alone: it has no credentials, and its CID is
 * that of every caller. Each attack goes on until it is stopped, and connects again where it is cut off.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { Deadline } from "../../lib/core/deadline.ts";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import { openTransport } from "../../lib/transport/open_transport.ts";
import { HttpCaller } from "../http_caller.ts";

/** Addresses of the server, and a ciphertext that it decrypts. */
export interface Target {
  readonly http: Endpoint;
  readonly kmstool: Endpoint;
  /** Base64, of no encryption context. */
  readonly ciphertext: string;
  /** The server's `maxConnections`. */
  readonly maxConnections: number;
}

/** One attack under way. */
interface Attack {
  readonly target: Target;
  readonly stop: AbortSignal;
  /** Counts what was done, whatever that is for the attack. */
  readonly count: () => void;
  /** Says that the attack is at its strength. */
  readonly isUnderWay: () => void;
}

/** All attacks, by what they are called in the table. */
export const ATTACKS = {
  "NUL bytes, 65536 in one write": (attack) => nuls(attack, 65_536, 0),
  "NUL bytes, 18 KB a second": (attack) => nuls(attack, 184, 10),
  "attestations, asked for and left": (attack) => lanes(attack, 16, leaveAttestation),
  "denied, a context of 3000 pairs": (attack) => lanes(attack, 4, (one) => askDenied(one, 3000)),
  "denied, a context of 128 pairs": (attack) => lanes(attack, 4, (one) => askDenied(one, 128)),
  "idle connections, all there are": (attack) => holdAll(attack, "", 0),
  "half requests, all connections, slowly": (attack) =>
    holdAll(attack, "POST /v1/decrypt HTTP/1.1\r\nx: ", 1000),
  "pipelined requests, one connection": pipeline,
} as const satisfies Readonly<Record<string, (attack: Attack) => Promise<void>>>;

/** One of {@link ATTACKS}. */
export type AttackName = keyof typeof ATTACKS;

/** All of them, in order. */
export const ATTACK_NAMES = Object.keys(ATTACKS) as AttackName[];

/** @returns Those with one of the parts in their names, or all when there are no parts */
export function attacksNamed(parts: readonly string[]): AttackName[] {
  return ATTACK_NAMES.filter((name) => parts.length === 0 || parts.some((part) => name.includes(part)));
}

const CONNECT_TIMEOUT_MS = 20_000;

/** Pause before connecting again after a failure, in milliseconds. */
const PAUSE_MS = 20;

/** Between two attestations of one lane. */
const LEAVE_EVERY_MS = 50;

/** Requests that a server takes from one connection at once. */
const PIPELINED = 16;

async function nuls(attack: Attack, byteCount: number, pauseMs: number): Promise<void> {
  const { target, stop, count, isUnderWay } = attack;
  await forever(attack, async () => {
    const stream = await connect(target.kmstool, stop);
    stream.resume();
    isUnderWay();
    while (isOpen(stream)) {
      await write(stream, new Uint8Array(byteCount));
      count();
      if (pauseMs > 0) await sleep(pauseMs, undefined, { signal: stop });
    }
  });
}

async function leaveAttestation({ target, stop, count, isUnderWay }: Attack): Promise<void> {
  const stream = await connect(target.http, stop);
  await write(stream, "GET /v1/attestation?nonce=AAAA HTTP/1.1\r\nhost: a\r\n\r\n");
  // The request has to get there before the end does.
  await sleep(1, undefined, { signal: stop });
  stream.destroy();
  count();
  isUnderWay();
  // More than the NSM can make; connecting as fast as one can is another attack.
  await sleep(LEAVE_EVERY_MS, undefined, { signal: stop });
}

/** Asks for decrypts with the tag `denied`, which the server's policy denies. */
async function askDenied({ target, stop, count, isUnderWay }: Attack, pairs: number): Promise<void> {
  const entries = Array.from({ length: pairs - 1 }, (_, index) => [`k${index}`, ""]);
  const encryptionContext = { ...Object.fromEntries(entries), denied: "" };
  const body = JSON.stringify({ ciphertext: target.ciphertext, encryptionContext });
  using caller = new HttpCaller(await connect(target.http, stop));
  while (caller.isOpen) {
    const { status } = await caller.post("/v1/decrypt", body);
    if (status !== 400 && status !== 403) throw new Error(`It was not denied: ${status}`);
    count();
    isUnderWay();
  }
}

/** Holds as many connections as the server takes, and sends one byte more over each from time to time. */
async function holdAll(attack: Attack, opening: string, everyMs: number): Promise<void> {
  const { target, stop, count, isUnderWay } = attack;
  let opened = 0;
  const hold = async () => {
    const stream = await connect(target.http, stop);
    const closed = new Promise((resolve) => stream.once("close", resolve));
    stream.resume();
    if (opening !== "") stream.write(opening);
    const timer = everyMs === 0 ? undefined : setInterval(() => stream.write("x"), everyMs);
    count();
    if (++opened === target.maxConnections) isUnderWay();
    await closed;
    clearInterval(timer);
    // Each one that comes again closes another: without a pause they would do nothing else.
    await sleep(PAUSE_MS, undefined, { signal: stop });
  };
  await lanes(attack, target.maxConnections, hold);
}

/** Sends valid requests, as many at once as one connection may have. */
async function pipeline(attack: Attack): Promise<void> {
  const { target, stop, count, isUnderWay } = attack;
  const body = JSON.stringify({ ciphertext: target.ciphertext });
  const request = `POST /v1/decrypt HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n` +
    `content-length: ${body.length}\r\n\r\n${body}`;
  await forever(attack, async () => {
    const stream = await connect(target.http, stop);
    stream.setEncoding("latin1");
    stream.write(request.repeat(PIPELINED));
    for await (const text of stream) {
      const answers = String(text).split("HTTP/1.1 ").length - 1;
      for (let answered = 0; answered < answers; answered++) count();
      if (answers > 0) stream.write(request.repeat(answers));
      isUnderWay();
    }
  });
}

async function lanes(attack: Attack, at: number, work: (attack: Attack) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: at }, () => forever(attack, () => work(attack))));
}

/** Repeats the work until it is stopped, whatever the server does to it. */
async function forever({ stop }: Attack, work: () => Promise<void>): Promise<void> {
  while (!stop.aborted) {
    try {
      await work();
    } catch {
      await sleep(PAUSE_MS, undefined, { signal: stop }).catch(() => {});
    }
  }
}

async function connect(endpoint: Endpoint, stop: AbortSignal): Promise<Duplex> {
  using deadline = new Deadline("connect", CONNECT_TIMEOUT_MS, stop);
  const stream = await openTransport(endpoint, deadline);
  stream.on("error", () => {});
  const end = () => stream.destroy();
  stop.addEventListener("abort", end);
  stream.once("close", () => stop.removeEventListener("abort", end));
  return stream;
}

function isOpen(stream: Duplex): boolean {
  return !stream.destroyed && stream.writable;
}

function write(stream: Duplex, bytes: Uint8Array | string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const cut = () => reject(new Error("The server closed the connection"));
  stream.once("close", cut);
  stream.write(bytes, () => {
    stream.off("close", cut);
    resolve();
  });
  return promise;
}
