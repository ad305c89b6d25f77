/**
 * The server as it runs in an enclave, behind 100 policies, on a unix socket. Reads a {@link ServerOrder} as
 * one line of JSON, prints `true` when it listens, and ends with its input.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import process from "node:process";
import { createInterface } from "node:readline";
import { NsmSocket } from "../lib/nsm/nsm_socket.ts";
import { readConfig } from "../server/config.ts";
import { createLogger } from "../enclave/telemetry/log.ts";
import { startServer } from "../server/server.ts";
import { manyPolicies } from "../test/lib/policy/cedar/requests.ts";
import type { Parts, RoundTripMs, Setting } from "./setting.ts";

/** Order that the process reads. */
export interface ServerOrder {
  readonly setting: Setting;
  readonly parts: Parts;
  readonly roundTripMs: RoundTripMs;
  /** Path of the socket to listen on; the policy file lies beside it, and the control socket: `<path>.control`. */
  readonly socket: string;
  /** Path of the kmstool protocol's socket. Default: none. */
  readonly kmstoolSocket?: string | undefined;
  /** Policies beside the others, in Cedar. Default: the parent may decrypt. */
  readonly policy?: string | undefined;
  /** Whether the lines of the log are made, and thrown away. Default: errors only. */
  readonly logs?: boolean | undefined;
  /** Endpoint that telemetry is exported to. Default: none is. */
  readonly telemetry?: string | undefined;
}

const OTHER_POLICIES = 99;
const OWN_POLICY = `@id("own")
permit(principal == Caller::"3", action == Action::"Decrypt", resource);
`;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { value } = await lines.next();
const order = JSON.parse(String(value)) as ServerOrder;
const { setting, parts, roundTripMs, socket, kmstoolSocket, policy = OWN_POLICY } = order;

const policyFile = `${socket}.cedar`;
await writeFile(policyFile, manyPolicies(OTHER_POLICIES) + policy);
const settings = readConfig({
  ENCLAVE_KMS_HTTP: `unix:${socket}`,
  ENCLAVE_KMS_KMSTOOL: kmstoolSocket === undefined ? "off" : `unix:${kmstoolSocket}`,
  ENCLAVE_KMS_CONTROL: `unix:${socket}.control`,
  ENCLAVE_KMS_REGION: setting.region,
  ENCLAVE_KMS_POLICY_FILE: policyFile,
  ENCLAVE_KMS_DEVELOPMENT_CID: "3",
  ENCLAVE_KMS_LOG_LEVEL: "error",
  ENCLAVE_KMS_TELEMETRY: order.telemetry ?? "off",
});
const kms = setting.kms[roundTripMs];
const config = { ...settings, kms, engine: "direct" } as const;
await using _server = await startServer(config, {
  logger: createLogger(order.logs === true ? "info" : "error", () => {}),
  trustedCertificates: setting.trustedCertificates,
  ...(parts.hasDevice ? {} : { nsm: new NsmSocket(setting.nsmSocket) }),
});
console.log("true");
await lines.next();
process.exit(0);
