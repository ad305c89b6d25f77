import process from "node:process";
import type { ServicesDescription } from "../../sim/mod.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { loadSimulator } from "../load_simulator.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";
import { integer, readText } from "../values.ts";

/** Signals that end it. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const MAX_PORT = 65_535;

/** Runs `sim`: serves a simulated KMS, NSM, metadata service and S3 until a signal comes. */
export async function sim(args: Arguments, terminal: Terminal): Promise<number> {
  using signal = nextSignal();
  const { startServices } = await loadSimulator();
  const seed = args.get("seed");
  const port = (flag: string) => integer(args, flag, { min: 0, max: MAX_PORT });
  const host = args.get("host");
  const options = {
    seed: seed === undefined ? undefined : readText("seed", seed),
    region: args.get("region"),
    folder: args.get("folder"),
    host,
    names: args.all("name"),
    port: port("port"),
    plainPort: port("plain-port"),
    s3Port: port("s3-port"),
    imdsPort: port("imds-port"),
  };
  await using services = await startServices(options).catch((error) => Promise.reject(inFlags(error)));
  if (host !== undefined && !host.startsWith("127.")) {
    terminal.note(
      `warning: other machines can reach KMS and S3 on ${host}, and use its keys: seed no real secret`,
    );
  }
  const { description } = services;
  if (args.has("json")) await terminal.write(`${JSON.stringify(description)}\n`);
  else await terminal.report(textOf(description, terminal));
  if (terminal.lostOutput === undefined) await signal.received;
  return EXIT.ok;
}

/** Tells a mistake by the flag in which it was made; the simulator knows its options by other names. */
function inFlags(error: unknown): unknown {
  if (!(error instanceof TypeError || error instanceof RangeError) || "code" in error) return error;
  const [, option, rest] =
    /^(region|folder|host|names|port|plainPort|s3Port|imdsPort) (.*)$/s.exec(error.message) ??
      [];
  if (option === undefined) return new UsageError(`--seed: ${error.message}`);
  return new UsageError(`--${FLAGS[option] ?? option} ${rest}`);
}

const FLAGS: Readonly<Record<string, string>> = {
  names: "name",
  plainPort: "plain-port",
  s3Port: "s3-port",
  imdsPort: "imds-port",
};

function nextSignal(): Disposable & { readonly received: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = () => resolve();
  for (const signal of SIGNALS) process.on(signal, stop);
  return {
    received: promise,
    [Symbol.dispose]() {
      for (const signal of SIGNALS) process.off(signal, stop);
    },
  };
}

function textOf(description: ServicesDescription, terminal: Terminal): string {
  const { kms, nsm, imds, s3, keys, ciphertexts, envFile } = description;
  const rows = [
    ["KMS", `${kms.url}  CA: ${kms.caFile}`],
    ...kms.plainUrl === undefined ? [] : [["KMS, no TLS", kms.plainUrl]],
    ["NSM", `${nsm.socket}  root: ${nsm.rootFile}`],
    ["PCR0", nsm.pcrs["0"] ?? ""],
    ["IMDS", imds.url],
    ["S3", s3.url],
    ...keys.map(({ arn, alias }) => ["key", alias === undefined ? arn : `${arn}  ${alias}`]),
    ...ciphertexts.map(({ name, ciphertext }) => ["ciphertext", `${name}  ${ciphertext}`]),
  ];
  return [
    terminal.paint("strong", `A simulated enclave in ${description.region} (process ${description.pid})`),
    "",
    ...rows.map(([label = "", value = ""]) => `  ${label.padEnd(12)} ${value}`),
    "",
    `In another shell: . '${envFile}'   Ctrl-C ends it.`,
    "",
  ].join("\n");
}
