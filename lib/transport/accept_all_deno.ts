/** Milliseconds to wait after a failed accept: most likely, there are no more descriptors. */
const RETRY_AFTER_MS = 50;

/**
 * Accepts until the listener is closed. A failure, such as a lack of descriptors, makes a pause, in which connections
 * wait in the backlog.
 *
 * @param listener Listener of Deno
 * @param onConn Called for each connection
 * @param isStopped Tells whether the listener was closed
 */
export async function acceptAll<Conn extends { close(): void }>(
  listener: { accept(): Promise<Conn> },
  onConn: (conn: Conn) => void,
  isStopped: () => boolean,
): Promise<void> {
  reserveSignalDescriptors();
  while (!isStopped()) {
    try {
      const conn = await listener.accept();
      if (isStopped()) return conn.close();
      onConn(conn);
    } catch {
      if (isStopped()) return;
      await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS));
    }
  }
}

/**
 * Makes Deno open the descriptors for its signals now. Left alone, it does so half a second after its start, and
 * panics if there are none (Deno 2.9.5).
 */
function reserveSignalDescriptors(): void {
  const ignore = () => {};
  Deno.addSignalListener("SIGHUP", ignore);
  Deno.removeSignalListener("SIGHUP", ignore);
}
