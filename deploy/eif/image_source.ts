/** Bytes of an image at any place of it: of a file, of memory, or of a browser's Blob. */
export interface ImageSource {
  /** Length of the image, in bytes. */
  readonly size: number;
  /**
   * Reads bytes.
   *
   * @param offset Place of the first byte
   * @param length Number of bytes, within the size
   * @returns So many bytes; fewer when the image has become shorter
   */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Number of bytes that are read at a time. */
export const CHUNK_BYTES = 1_048_576;

/**
 * Makes a source of bytes in memory.
 *
 * @param bytes The image; not copied
 * @returns The source
 */
export function bytesSource(bytes: Uint8Array): ImageSource {
  return {
    size: bytes.length,
    read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
  };
}

/**
 * Makes a source of a Blob, such as a file that a user chose in a browser.
 *
 * @param blob The image
 * @returns The source
 */
export function blobSource(blob: Blob): ImageSource {
  return {
    size: blob.size,
    read: async (offset, length) => new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
  };
}

/**
 * Reads a part of an image piece by piece.
 *
 * @param source The image
 * @param offset Place of the first byte
 * @param size Number of bytes
 * @returns Pieces of at most 1048576 bytes
 * @throws {RangeError} When the image has become shorter meanwhile
 */
export async function* readPieces(
  source: ImageSource,
  offset: number,
  size: number,
): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < size; at += CHUNK_BYTES) {
    const length = Math.min(CHUNK_BYTES, size - at);
    const piece = await source.read(offset + at, length);
    if (piece.length !== length) throw new RangeError("The image became shorter while it was read");
    yield piece;
  }
}
