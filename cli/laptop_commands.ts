import type { Command } from "./command.ts";

/** Commands for those who begin, on a machine without AWS and without an enclave. */
export const LAPTOP_COMMANDS: readonly Command[] = [
  {
    name: "sim",
    summary: "serves a simulated KMS, NSM, IMDS and S3",
    example: "sim --seed seed.json --folder simulator",
    flags: [
      { name: "seed", value: "FILE", isFile: true, help: "Keys, ciphertexts, buckets and PCRs, JSON" },
      { name: "folder", value: "FOLDER", isFile: true, help: "For socket and files; default: a fresh one" },
      { name: "region", short: "r", value: "REGION", help: "Default: the seed's, or us-east-1" },
      { name: "port", value: "PORT", help: "TCP port of KMS; default: a free one" },
      { name: "plain-port", value: "PORT", help: "Another one, of KMS without TLS; 0 for a free one" },
      { name: "s3-port", value: "PORT", help: "TCP port of S3; default: a free one" },
      { name: "imds-port", value: "PORT", help: "Of the metadata service; default: a free one" },
      { name: "host", value: "ADDRESS", help: "Listen on it; default: 127.0.0.1" },
      { name: "name", value: "NAME", isMany: true, help: "More host names on KMS's certificate" },
      { name: "json", help: "Print one line of JSON, once all is ready" },
    ],
    notes: [
      "",
      "In another shell: . FOLDER/env, and this command line, AWS SDKs and applications",
      "find the simulator. Ctrl-C or SIGTERM ends it. It protects nothing: use no real",
      "secret. docs/testing-your-application.md has the seed, and docker compose.",
    ],
    load: async () => (await import("./commands/sim.ts")).sim,
  },
];
