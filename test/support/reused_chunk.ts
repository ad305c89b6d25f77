/**
 * Makes a stream that sends text in single bytes, each in the same memory: whoever keeps chunks in place of copying
 * them, of which a hostile sender could make millions, gets the last byte many times.
 *
 * @param text ASCII
 */
export function reusedChunk(text: string): ReadableStream<Uint8Array<ArrayBuffer>> {
  const chunk = new Uint8Array(1);
  let place = 0;
  return new ReadableStream({
    pull(controller) {
      if (place === text.length) return controller.close();
      chunk[0] = text.charCodeAt(place++);
      controller.enqueue(chunk);
    },
  }, { highWaterMark: 0 });
}
