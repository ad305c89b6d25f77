/** Latency of one decrypt at a time in one way, on both runtimes. */
export interface PublishedRow {
  /** Name of the way, as the pages have it. */
  readonly label: string;
  /** Median on Node.js, milliseconds. */
  readonly node: number;
  /** Median on Deno, milliseconds. */
  readonly deno: number;
}

/** Numbers of one full run of `npm run bench`, which the pages and the chart show. */
export interface PublishedRun {
  /** Day of the run. */
  readonly date: string;
  /** Machine, runtimes, and versions of what was compared. */
  readonly machine: string;
  /** Medians, in the order in which they are shown. */
  readonly rows: readonly PublishedRow[];
}

/** Last full run on an idle machine: after another one, change this and run `node bench/draw_chart.ts`. */
export const PUBLISHED: PublishedRun = {
  date: "21 November 2026",
  machine: "Intel Xeon, 2 cores, Linux 6.18, Node.js 24.21.0, Deno 2.9.5, loopback, simulated KMS",
  rows: [
    { label: "a subprocess, kmstool_enclave_cli", node: 95.4, deno: 96.1 },
    { label: "one-shot kmsDecrypt, direct", node: 82.0, deno: 122 },
    { label: "one-shot kmsDecrypt, sdk", node: 112, deno: 88.1 },
    { label: "a client that is kept, direct", node: 1.15, deno: 2.21 },
    { label: "a client that is kept, sdk", node: 1.13, deno: 1.14 },
    { label: "@aws-sdk/client-kms with our reader", node: 1.41, deno: 2.69 },
    { label: "the server, asked over a unix socket", node: 1.82, deno: 2.82 },
    { label: "the bare RSA, AES, HMAC and TLS calls", node: 0.95, deno: 1.84 },
  ],
};
