/**
 * A thread of the caller's that decrypts with a client of its own, and is ended while it does. Where it finds
 * no device it brings an NSM that nobody trusts: its request gets no answer anyway.
 *
 * @module
 */
import { existsSync } from "node:fs";
import process from "node:process";
import { parentPort, workerData } from "node:worker_threads";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import { SoftwareNsm } from "../../sim/mod.ts";
import { FaultyClient, type WorkerTask } from "./client.ts";

const { setup, ask, credentials } = workerData as WorkerTask;
const hasDevice = process.env[SUPERVISED_VARIABLE] !== undefined || existsSync("/dev/nsm");
const client = new FaultyClient(setup, hasDevice ? {} : { nsm: await SoftwareNsm.create() });
await client.useCredentials(credentials);
const { meanwhile: _, ...plain } = ask;
const { asked, seen } = client.decrypt(plain);
await asked;
parentPort?.postMessage("asked");
await seen;
