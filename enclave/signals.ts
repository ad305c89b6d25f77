import process from "node:process";

/** Application that signals end and reload. */
export interface Signalled {
  /** Ends the application in good order. */
  close(): Promise<void>;
  /** Loads the policy again. Default: SIGHUP is ignored. */
  reloadPolicy?(): void;
}

/**
 * Ends an application in good order on SIGTERM and SIGINT, and then the process; loads its policy again on SIGHUP.
 *
 * @param application Application to end
 * @param onClosed Called after it has ended, and before the process does
 */
export function handleSignals(
  application: Signalled,
  onClosed: () => Promise<void> = () => Promise.resolve(),
): void {
  const stop = async () => {
    await application.close();
    await onClosed();
    process.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void stop());
  process.on("SIGHUP", () => application.reloadPolicy?.());
}
