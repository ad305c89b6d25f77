import type { Duplex } from "node:stream";

/** Stream that counts its bytes, as sockets do. */
export interface ConnectionStream extends Duplex {
  /** Number of bytes received. */
  readonly bytesRead: number;
  /** Number of bytes sent. */
  readonly bytesWritten: number;
  /** IP address of the peer on TCP. */
  readonly remoteAddress?: string | undefined;
  /**
   * Passes every byte on to another stream, at its pace, and then its end, as `pipe()` does, without what a stream costs
   * for each chunk. A failed write destroys the other stream. Nobody else may read this one, or write to the other, but
   * to end it.
   *
   * @param target Stream that gets the bytes
   * @returns Whether it does: not once somebody has read this stream
   */
  passTo?(target: ConnectionStream): boolean;
}
