/**
 * A body of one chunk. Who reads the chunk wipes it; it is not copied on the way.
 *
 * @param bytes The chunk
 */
export function oneChunk(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
    cancel() {
      bytes.fill(0);
    },
  });
}
