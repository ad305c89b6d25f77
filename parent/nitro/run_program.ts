import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { Deadline } from "../../lib/core/deadline.ts";
import { LaunchError } from "../../lib/core/errors.ts";

/** Most bytes that are kept of each of a program's outputs. A program that writes more is ended. */
export const MAX_OUTPUT_BYTES = 1 << 20;

/**
 * Pauses for the rest of the output of a program that has ended, and milliseconds of each: a child of it may hold the pipe.
 * One long pause may be over before the output is read, on a machine that stood still.
 */
const REST_PAUSES = 20;
const REST_MS = 25;

/** Output and end of a program. */
export interface ProgramResult {
  /** Standard output, at most {@link MAX_OUTPUT_BYTES}. */
  readonly stdout: string;
  /** Standard error, at most {@link MAX_OUTPUT_BYTES}. */
  readonly stderr: string;
  /** Exit code; undefined when a signal ended it. */
  readonly exitCode: number | undefined;
}

/**
 * Runs a program to its end, with arguments that no shell reads. A program that takes too long, or writes too much, is
 * killed.
 *
 * @param program Name, looked up in PATH, or path
 * @param args Arguments
 * @param limits Milliseconds, and the caller's signal
 * @throws {TimeoutError} When it does not end in time
 * @throws {LaunchError} When it cannot be run, or writes more than {@link MAX_OUTPUT_BYTES}
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<ProgramResult> {
  using deadline = new Deadline(`run ${program} ${args[0] ?? ""}`.trimEnd(), timeoutMs, signal, "nitro-cli");
  deadline.throwIfPassed();
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  child.once("error", (cause) => reject(cannotRun(program, cause)));
  child.once("exit", (code) => resolve(code ?? undefined));
  const tooMuch = () => reject(wroteTooMuch(program, args));
  const outputs = [collect(child.stdout, tooMuch), collect(child.stderr, tooMuch)] as const;
  try {
    const exitCode = await deadline.race(promise);
    await takeRest(Promise.all(outputs.map(({ ended }) => ended)), deadline);
    const [stdout, stderr] = outputs;
    return { stdout: stdout.text(), stderr: stderr.text(), exitCode };
  } finally {
    child.kill("SIGKILL");
    for (const { stop } of outputs) stop();
  }
}

async function takeRest(ended: Promise<unknown>, deadline: Deadline): Promise<void> {
  let hasEnded = false;
  const end = ended.then(() => hasEnded = true);
  for (let pause = 0; pause < REST_PAUSES && !hasEnded; pause++) {
    await Promise.race([end, deadline.sleep(REST_MS)]);
  }
}

interface Collected {
  readonly ended: Promise<void>;
  text(): string;
  stop(): void;
}

function collect(output: Readable, onTooMuch: () => void): Collected {
  const chunks: Uint8Array[] = [];
  let length = 0;
  output.on("data", (chunk: Uint8Array) => {
    length += chunk.length;
    if (length > MAX_OUTPUT_BYTES) onTooMuch();
    else chunks.push(chunk);
  });
  output.on("error", () => {});
  return {
    ended: new Promise((resolve) => output.once("close", resolve)),
    text: () => Buffer.concat(chunks).toString("utf8"),
    stop: () => void output.destroy(),
  };
}

function cannotRun(program: string, cause: Error): LaunchError {
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : cause.name;
  return new LaunchError(`Cannot run ${program}: ${code}`, {
    hint: "Is the package aws-nitro-enclaves-cli installed, and may this user run it?",
    cause,
  });
}

function wroteTooMuch(program: string, args: readonly string[]): LaunchError {
  return new LaunchError(
    `Cannot read the output of ${program} ${args[0] ?? ""}: it is longer than ${MAX_OUTPUT_BYTES} bytes`,
    { hint: "Is that program nitro-cli?" },
  );
}
