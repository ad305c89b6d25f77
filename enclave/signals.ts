import process from "node:process";

/** Application that signals end and reload. */
export interface Signalled {
  /** Ends the application in good order. */
  close(): Promise<void>;
  /** Loads the policy again. Default: SIGHUP is ignored. */
  reloadPolicy?(): void;
}

/**
 * Ends an application in good order on SIGTERM and SIGINT, and loads its policy again on SIGHUP.
 *
 * @param application Application to end
 * @returns Stops listening to the signals
 */
export function listenToSignals(application: Signalled): () => void {
  const stop = () => void application.close();
  const reload = () => application.reloadPolicy?.();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, stop);
  process.on("SIGHUP", reload);
  return () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.off(signal, stop);
    process.off("SIGHUP", reload);
  };
}

/**
 * Ends an application in good order on SIGTERM and SIGINT, and the process once it has ended; loads its policy again on SIGHUP.
 *
 * @param application Application to end
 * @param onClosed Called after it has ended, and before the process does
 */
export function handleSignals(
  application: Signalled & { readonly closed: Promise<void> },
  onClosed: () => Promise<void> = () => Promise.resolve(),
): void {
  const end = async () => {
    await application.closed;
    await onClosed();
    process.exit(0);
  };
  listenToSignals(application);
  void end();
}
