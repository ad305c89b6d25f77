import type { Writable } from "node:stream";

/**
 * Waits until a stream that is full takes more.
 *
 * @param stream The stream
 * @returns Resolves when it does, or has closed
 */
export function untilWritable(stream: Writable): Promise<void> {
  if (stream.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const go = () => {
      stream.off("drain", go).off("close", go);
      resolve();
    };
    stream.once("drain", go).once("close", go);
  });
}
