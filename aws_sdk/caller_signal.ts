/** Signal of an SDK's caller, as far as it is read: of the platform, or of one of the SDK's own kinds. */
export interface CallerSignal {
  readonly aborted: boolean;
  readonly reason?: unknown;
  /** Called on abort, where there is nobody to listen to. */
  onabort?: ((event: never) => unknown) | null;
  readonly addEventListener?: (type: "abort", listener: () => void) => void;
  readonly removeEventListener?: (type: "abort", listener: () => void) => void;
}

/**
 * Follows the signal of a caller, whether it takes listeners or has `onabort` only, as SDK clients' signals may.
 *
 * @param given The signal, which has not aborted yet
 * @param abort Called when it aborts
 * @returns Stops following
 */
export function followSignal(given: object, abort: () => void): () => void {
  const signal = given as CallerSignal;
  if (typeof signal.addEventListener === "function") {
    signal.addEventListener("abort", abort);
    return () => signal.removeEventListener?.("abort", abort);
  }
  return followHandler(signal, abort);
}

/** Follows a signal that has one handler: whoever set it before is called as well. */
function followHandler(signal: CallerSignal, abort: () => void): () => void {
  const previous = signal.onabort;
  let isFollowed = true;
  const handler = (event: never) => {
    previous?.call(signal, event);
    if (isFollowed) abort();
  };
  signal.onabort = handler;
  return () => {
    isFollowed = false;
    // One that was set later calls this one, or means to replace it.
    if (signal.onabort === handler) signal.onabort = previous ?? null;
  };
}
