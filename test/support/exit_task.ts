import type { KmsClientOptions } from "../../mod.ts";

/** Way in which a process ends. The exit code that it asks for is 7. */
export type End =
  | "natural"
  | "process.exit"
  | "Deno.exit"
  | "uncaught error"
  | "unhandled rejection"
  | "caught error"
  | "throwing exit handler";

/** Task of a process. */
export interface ExitTask {
  readonly options: KmsClientOptions;
  /** Base64. */
  readonly ciphertext: string;
  /** Whether the double stalls it. */
  readonly stalls: boolean;
  /** Whether it aborts a stalled decrypt before it ends itself. */
  readonly givesUp: boolean;
  /** Whether it closes its client first. */
  readonly closes: boolean;
  readonly end: End;
}
