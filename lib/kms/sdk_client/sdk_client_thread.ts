import { Worker } from "node:worker_threads";
import type { Deadline } from "../../core/deadline.ts";
import {
  SdkGenericError,
  SdkInitError,
  SdkKmsClientError,
  SdkKmsConfigError,
  SdkKmsDecryptError,
  SdkKmsRequestError,
} from "../../core/errors.ts";
import { guardExit } from "../../native/blocking_calls.ts";
import { ownUrl } from "../../core/own_url.ts";
import {
  jobMemory,
  type SdkClientFailure,
  type SdkClientJob,
  type SdkClientReply,
} from "./sdk_client_job.ts";

const FAILURES = {
  SdkInitError,
  SdkGenericError,
  SdkKmsConfigError,
  SdkKmsClientError,
  SdkKmsDecryptError,
  SdkKmsRequestError,
} as const;

/** One job in the queue. */
interface Waiter {
  readonly start: () => void;
  readonly refuse: (reason: Error) => void;
}

const queue: Waiter[] = [];

let worker: Worker | undefined;
let busy = false;
let stalled = false;

const isBusy = () => busy;

/**
 * Runs one job on the one thread of the C client, after those before it: upstream, two clients at once
 * crash the process.
 *
 * When the deadline passes inside C the promise rejects, and until C returns (it may never) every later
 * job is refused at once. The process still ends when it wants to.
 *
 * @param makeJob Called when the thread is free; its bytes are transferred
 * @param deadline When to give up
 * @param release Called when C has returned, or when the job did not begin
 * @returns Buffers that the client filled, the secret first; the caller wipes them
 * @throws {SdkKmsClientError} When an earlier job has not returned, or the thread died
 */
export async function runOnClientThread(
  makeJob: () => SdkClientJob,
  deadline: Deadline,
  release: () => void,
): Promise<readonly Uint8Array<ArrayBuffer>[]> {
  try {
    await takeTurn(deadline);
  } catch (error) {
    release();
    throw error;
  }
  let returned = false;
  deadline.stage = "sdk-client";
  const reply = exchange(makeJob).finally(() => {
    returned = true;
    try {
      release();
    } finally {
      passOn();
    }
  });
  try {
    return unwrap(await deadline.race(reply));
  } catch (error) {
    if (!returned) markStalled();
    reply.then((late) => "results" in late && late.results.forEach((bytes) => bytes.fill(0)), () => {});
    throw error;
  }
}

async function takeTurn(deadline: Deadline): Promise<void> {
  deadline.throwIfPassed();
  if (stalled) throw refusal();
  if (!busy) {
    busy = true;
    return;
  }
  const turn = Promise.withResolvers<void>();
  const waiter: Waiter = { start: turn.resolve, refuse: turn.reject };
  queue.push(waiter);
  deadline.stage = "sdk-client-turn";
  try {
    await deadline.race(turn.promise);
  } catch (error) {
    const index = queue.indexOf(waiter);
    if (index >= 0) queue.splice(index, 1);
    else turn.promise.then(passOn, () => {});
    throw error;
  }
}

function passOn(): void {
  stalled = false;
  const next = queue.shift();
  if (next) next.start();
  else busy = false;
}

/** From here on nobody waits for C; if it does return, the thread serves again. */
function markStalled(): void {
  stalled = true;
  worker?.unref();
  for (const { refuse } of queue.splice(0)) refuse(refusal());
}

async function exchange(makeJob: () => SdkClientJob): Promise<SdkClientReply> {
  guardExit(isBusy);
  const thread = worker ??= startWorker();
  const job = makeJob();
  const { promise, resolve, reject } = Promise.withResolvers<SdkClientReply>();
  const onEnd = () => reject(threadFailure("the C client's thread ended"));
  thread.ref();
  thread.once("message", resolve);
  thread.once("exit", onEnd);
  thread.once("error", onEnd);
  try {
    thread.postMessage(job, jobMemory(job));
    return await promise;
  } finally {
    thread.unref();
    thread.off("message", resolve);
    thread.off("exit", onEnd);
    thread.off("error", onEnd);
  }
}

function startWorker(): Worker {
  const thread = new Worker(workerUrl(), { name: "enclave-kms sdk-client" });
  const forget = () => {
    if (worker === thread) worker = undefined;
  };
  thread.on("exit", forget);
  thread.on("error", forget);
  thread.unref();
  return thread;
}

/** A worker starts from a file or from a text; where the library was loaded over the network, from a text. */
function workerUrl(): URL {
  const base = ownUrl(import.meta.url);
  if (base === undefined) throw threadFailure("the file of the C client's thread cannot be located");
  // TypeScript in the repository and on Deno, JavaScript in the npm package.
  const file = new URL(base.endsWith(".ts") ? "./sdk_client_worker.ts" : "./sdk_client_worker.js", base);
  return file.protocol === "file:"
    ? file
    : new URL(`data:text/javascript,import ${JSON.stringify(file.href)}`);
}

function unwrap(reply: SdkClientReply): readonly Uint8Array<ArrayBuffer>[] {
  if ("results" in reply) return reply.results;
  throw revive(reply.error);
}

function revive({ name, message, ...details }: SdkClientFailure): Error {
  const Failure = name in FAILURES ? FAILURES[name as keyof typeof FAILURES] : SdkKmsClientError;
  return new Failure(message, details);
}

function refusal(): SdkKmsClientError {
  return new SdkKmsClientError("Cannot ask KMS: an earlier call into the C client has not returned", {
    cFunction: "aws_kms_decrypt_blocking",
    hint:
      "The C client cannot be cancelled and takes one call at a time: use engine direct or sdk, or restart the process",
  });
}

function threadFailure(reason: string): SdkKmsClientError {
  return new SdkKmsClientError(`Cannot ask KMS: ${reason}`, {
    cFunction: "aws_kms_decrypt_blocking",
    hint: "Is the file sdk_client_worker next to the library's own, and readable? A bundle needs it, too",
  });
}
