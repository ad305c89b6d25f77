/**
 * The application of the flow, with a server of gRPC on 127.0.0.1 as an application of its kind has one.
 *
 * @module
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { GrpcProcess } from "../support/grpc_process.ts";

// Bundled beside this program.
await using peers = await GrpcProcess.start(fileURLToPath(new URL("./grpc_child.js", import.meta.url)));
const echo = await peers.serve();
process.env["FLOW_GRPC_PORT"] = String(echo.port);
await import("../../sim/flow/application.ts");
