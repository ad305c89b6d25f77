/**
 * Makes a body of one chunk, which is not copied on the way. Its reader wipes it.
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
