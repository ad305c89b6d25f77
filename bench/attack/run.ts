import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Endpoint } from "../../lib/core/endpoint.ts";
import { PARENT_CID } from "../../lib/core/endpoint.ts";
import { Child } from "../child.ts";
import type { Lab } from "../lab.ts";
import { commandOf, OWN_RUNTIME, type Runtime } from "../runtimes.ts";
import type { ServerOrder } from "../server_process.ts";
import { setCredentials } from "../set_credentials.ts";
import type { AttackName, Target } from "./attacks.ts";
import { attackPolicy } from "./policy.ts";
import { type AttackPlan, attackRounds } from "./rounds.ts";
import { judgeAttack, type Verdict } from "./verdict.ts";

/** The server's own default. */
const MAX_CONNECTIONS = 1024;

const PLAN: AttackPlan = { rounds: 5, forMs: 2000, warmUpMs: 500 };
const QUICK_PLAN: AttackPlan = { rounds: 3, forMs: 500, warmUpMs: 200 };

/** Attacks, runtimes and length of a run. */
export interface AttackOptions {
  /** Fewer and shorter rounds. */
  readonly isQuick: boolean;
  readonly runtimes: readonly Runtime[];
  readonly attacks: readonly AttackName[];
}

/**
 * Runs attacks beside a good caller, over unix sockets. The server, KMS and the attacker each have a process
 * of their own.
 *
 * @param lab The running KMS
 * @param options Attacks, length, and runtimes of the server
 * @param progress Gets a line for each step
 */
export async function runAttacks(
  lab: Lab,
  { isQuick, runtimes, attacks }: AttackOptions,
  progress: (text: string) => void,
): Promise<Verdict[]> {
  const plan = isQuick ? QUICK_PLAN : PLAN;
  const verdicts: Verdict[] = [];
  for (const runtime of runtimes) {
    for (const attack of attacks) {
      progress(`${attack}, on ${runtime}`);
      // Each attack gets a server of its own, so that it does not change the next one's numbers.
      await using server = await AttackedServer.start(lab, runtime);
      const { samples } = lab.setting;
      const parts = { target: server.target, samples, plan, startAttacker };
      verdicts.push(judgeAttack(attack, `${runtime}, unix`, await attackRounds(attack, parts)));
    }
  }
  return verdicts;
}

/** @returns The process of one attack, on this runtime */
export function startAttacker(attack: AttackName, target: Target): Child {
  return new Child(commandOf(OWN_RUNTIME, "attack/attacker.ts", [attack, JSON.stringify(target)]));
}

/** The server in a process of its own, with credentials. */
class AttackedServer implements AsyncDisposable {
  readonly target: Target;
  readonly #folder: string;
  readonly #child: Child;

  private constructor(folder: string, child: Child, target: Target) {
    this.#folder = folder;
    this.#child = child;
    this.target = target;
  }

  static async start(lab: Lab, runtime: Runtime): Promise<AttackedServer> {
    const { setting, parts } = lab;
    const folder = await mkdtemp(join(tmpdir(), "enclave-kms-attack-"));
    const [socket, kmstoolSocket] = [join(folder, "http.sock"), join(folder, "kmstool.sock")];
    const child = new Child(lab.supervise(commandOf(runtime, "server_process.ts")));
    const policy = attackPolicy(PARENT_CID);
    const order: ServerOrder = { setting, parts, roundTripMs: 0, socket, kmstoolSocket, policy, logs: true };
    await child.ask<boolean>(order);
    const http: Endpoint = { transport: "unix", path: socket };
    const kmstool: Endpoint = { transport: "unix", path: kmstoolSocket };
    await setCredentials({ transport: "unix", path: `${socket}.control` }, setting.credentials);
    const ciphertext = setting.samples[0]?.ciphertext ?? "";
    return new AttackedServer(folder, child, { http, kmstool, ciphertext, maxConnections: MAX_CONNECTIONS });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
