import type { CallerIdentity } from "./grpc_service.ts";

/** Command to the process, one line of JSON. */
export type GrpcCommand =
  | { readonly do: "serve" }
  | { readonly do: "counts" | "shut"; readonly port: number }
  | {
    readonly do: "call";
    readonly caller: number;
    readonly port: number;
    readonly pem?: string | undefined;
    readonly identity?: CallerIdentity | undefined;
  }
  | {
    readonly do: "say";
    readonly caller: number;
    readonly text: string;
    readonly timeoutMs?: number | undefined;
  }
  | { readonly do: "say-large" | "hang"; readonly caller: number; readonly timeoutMs: number }
  | { readonly do: "count"; readonly caller: number; readonly to: number }
  | { readonly do: "cancel" | "close"; readonly caller: number };

/** Answer of the process. */
export type GrpcAnswer = { readonly value: unknown } | {
  readonly error: { readonly code: number; readonly message: string };
};
