import type { IncomingMessage } from "node:http";

/** Limits and notices of a {@link byteStream}. */
export interface ByteStreamParts {
  /** Most bytes that are passed on. Default: no limit. */
  readonly maxBytes?: number | undefined;
  /** Makes the error that the reader gets for one byte more. */
  readonly tooLarge?: (() => Error) | undefined;
  /** Makes the error that the reader gets when the message breaks off. */
  readonly broken: () => unknown;
  /** Ends the stream as a break does, at once: Deno may tell of a connection that this side destroyed late. */
  readonly signal: AbortSignal;
  /** Called when the reader wants no more. */
  readonly onCancel?: (() => void) | undefined;
}

/**
 * Makes a stream of the body of an HTTP message. Nothing is read ahead of the reader, who sets the pace of the peer.
 *
 * @param message Message whose body nobody else reads
 * @param parts Limits and notices
 */
export function byteStream(
  message: IncomingMessage,
  parts: ByteStreamParts,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const { maxBytes = Infinity, tooLarge, broken, signal, onCancel } = parts;
  let length = 0;
  let isSettled = false;
  const settle = (end: () => void) => {
    if (isSettled) return;
    isSettled = true;
    end();
  };
  message.pause();
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      message.on("data", (chunk: Uint8Array<ArrayBuffer>) => {
        length += chunk.length;
        if (isSettled) return;
        if (length > maxBytes) return settle(() => controller.error(tooLarge?.()));
        controller.enqueue(chunk);
        message.pause();
      });
      message.once("end", () => settle(() => controller.close()));
      // After the end these are without effect.
      const fail = () => settle(() => controller.error(broken()));
      message.on("error", fail);
      message.once("close", fail);
      signal.addEventListener("abort", fail, { once: true });
    },
    pull() {
      message.resume();
    },
    cancel() {
      settle(() => onCancel?.());
    },
  }, { highWaterMark: 0 });
}
