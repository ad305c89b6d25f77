/**
 * The enclave's process: reads the configuration, listens, and ends on SIGTERM.
 *
 * @module
 */
import process from "node:process";
import { ConfigError } from "../enclave/settings.ts";
import { printSchemaIfAsked } from "../enclave/config_schema.ts";
import { readConfig, serverConfigSchema, unknownVariables } from "./config.ts";
import { createLogger, type Logger } from "../enclave/telemetry/log.ts";
import { describeFailure } from "../enclave/telemetry/request_line.ts";
import { startServer } from "./server.ts";
import { handleSignals } from "../enclave/signals.ts";

printSchemaIfAsked(serverConfigSchema);

const logger: Logger = createLogger("info");

// The runtimes' own reports of these print messages, which may hold anything.
for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(event, (error: unknown) => fail(error, `a defect: ${event}`));
}

try {
  const config = readConfig(process.env);
  const configured = createLogger(config.logLevel);
  for (const problem of unknownVariables(process.env)) configured.warn({ problem }, "a variable is not read");
  const server = await startServer(config, { logger: configured });
  handleSignals(server);
} catch (error) {
  fail(error, "cannot start");
}

function fail(error: unknown, message: string): void {
  // A misspelt variable may be why a setting is missing.
  const failure = error instanceof ConfigError
    ? { problems: [...error.problems, ...unknownVariables(process.env)] }
    : describeFailure(error);
  logger.error({ failure }, message);
  process.exit(1);
}
