import { clearTimeout, setTimeout } from "node:timers";
import type { Duplex } from "node:stream";
import { SecretError } from "../../lib/core/secret_error.ts";
import { SecretFrameReader } from "../../lib/wire/secret_frame.ts";
import { encodeSecretReceipt, type SecretReceipt } from "../../lib/wire/secret_receipt.ts";
import type { ConnectionHandler } from "../serve.ts";
import type { Logger } from "../telemetry/log.ts";
import { refusalReceipt } from "./refusal_receipt.ts";

/** Parts of a {@link SecretPort}. */
export interface SecretPortParts {
  /** Name of the secret, for receipts and the log. */
  readonly name: string;
  /** Most bytes that are read. */
  readonly maxBytes: number;
  /** Milliseconds from the connection until all must have been read, however slowly it comes. */
  readonly timeoutMs: number;
  /** Throws when a secret would be refused, whatever comes: nothing is read then. Default: never. */
  readonly expectWanted?: (() => void) | undefined;
  /** Takes what was read, which is wiped afterwards. */
  readonly take: (content: Uint8Array<ArrayBuffer>) => SecretReceipt | Promise<SecretReceipt>;
  /** Destination of the log. */
  readonly logger: Logger;
}

/** Milliseconds for which what a refused sender still sends is thrown away, so that it reads the receipt. */
const LINGER_MS = 2000;

/** Refusals that have a line of the log each; after them those do whose number is a power of two. */
const LOGGED_REFUSALS = 64;

/**
 * Port on which one secret arrives, from one connection at a time: raw bytes until the end of the stream, or a frame. Each
 * connection is answered by one receipt, and a refused one leaves the port as it was.
 */
export class SecretPort implements ConnectionHandler {
  readonly #parts: SecretPortParts;
  readonly #streams = new Set<Duplex>();
  #current: Promise<void> | undefined;
  #refusals = 0;

  /** @param parts Limits, and what takes the secret */
  constructor(parts: SecretPortParts) {
    this.#parts = parts;
  }

  /** See {@link ConnectionHandler.accept}. */
  accept(stream: Duplex): void {
    this.#streams.add(stream);
    stream.on("error", () => stream.destroy());
    stream.on("close", () => this.#streams.delete(stream));
    if (this.#current !== undefined) return this.#answer(stream, this.#refusal(busy(this.#parts.name)));
    const serving = this.#serve(stream).finally(() => this.#current = undefined);
    this.#current = serving;
  }

  /** See {@link ConnectionHandler.giveWay}: none does. */
  giveWay(): undefined {
    return undefined;
  }

  /** See {@link ConnectionHandler.close}. */
  async close(graceMs: number): Promise<void> {
    const timer = setTimeout(() => this.#destroyAll(), graceMs);
    await this.#current;
    clearTimeout(timer);
    this.#destroyAll();
  }

  #destroyAll(): void {
    for (const stream of this.#streams) stream.destroy();
  }

  async #serve(stream: Duplex): Promise<void> {
    this.#answer(stream, await this.#receive(stream).catch((error: unknown) => this.#refusal(error)));
  }

  async #receive(stream: Duplex): Promise<SecretReceipt> {
    const { expectWanted, maxBytes, timeoutMs, take } = this.#parts;
    expectWanted?.();
    using reader = new SecretFrameReader({ maxBytes });
    const content = await readAll(stream, reader, timeoutMs);
    try {
      return await take(content);
    } finally {
      content.fill(0);
    }
  }

  #refusal(error: unknown): SecretReceipt {
    const { name, logger } = this.#parts;
    const receipt = refusalReceipt(error);
    const refusals = ++this.#refusals;
    // A parent that sends nonsense all day must not fill the log with it.
    if (refusals <= LOGGED_REFUSALS || Number.isInteger(Math.log2(refusals))) {
      const { code, message: reason } = receipt;
      logger.warn({ secret: name, code, reason, refusals }, "refused a secret");
    }
    return receipt;
  }

  /** Answers, ends this side, and lets the sender read it: closing on unread bytes would take the answer along. */
  #answer(stream: Duplex, receipt: SecretReceipt): void {
    stream.on("data", (chunk: Uint8Array) => void chunk.fill(0)).resume();
    stream.end(encodeSecretReceipt(receipt));
    const timer = setTimeout(() => stream.destroy(), LINGER_MS);
    timer.unref();
    stream.on("close", () => clearTimeout(timer));
  }
}

/** Reads until a frame is complete, or the stream ends. Chunks are wiped: they may hold credentials. */
function readAll(
  stream: Duplex,
  reader: SecretFrameReader,
  timeoutMs: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
  const attempt = (step: () => void) => {
    try {
      step();
    } catch (error) {
      reject(error);
    }
  };
  const finish = () => attempt(() => resolve(reader.end()));
  const onData = (chunk: Uint8Array) =>
    attempt(() => {
      try {
        reader.push(chunk);
      } finally {
        chunk.fill(0);
      }
      if (reader.isComplete) finish();
    });
  const timer = setTimeout(() => reject(slow(timeoutMs)), timeoutMs);
  const onClose = () => reject(broken());
  stream.on("data", onData).on("end", finish).on("close", onClose);
  return promise.finally(() => {
    clearTimeout(timer);
    // What comes behind waits until it is answered, and is wiped then.
    stream.pause().off("data", onData).off("end", finish).off("close", onClose);
  });
}

function slow(timeoutMs: number): SecretError {
  return new SecretError("SLOW", `Cannot read secret: it did not end within ${timeoutMs} ms`, {
    hint: "Raw bytes end with the stream: does the sender close its side? A frame needs no end",
  });
}

function broken(): SecretError {
  return new SecretError("TRUNCATED", "Cannot read secret: the connection broke off", {
    hint: "Was the sender ended, or the parent restarted?",
  });
}

function busy(name: string): SecretError {
  return new SecretError("BUSY", `Cannot take secret ${name}: another connection is open on its port`, {
    hint: "Send one at a time: it ends with a receipt",
  });
}
