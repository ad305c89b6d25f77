import type { Deadline } from "../lib/core/deadline.ts";
import type { TurnKey } from "./admission.ts";
import type { Judged, Keeper, Permission } from "./gate.ts";
import type { RequestRecord } from "./telemetry/request_record.ts";
import { OverloadedError } from "./service_errors.ts";

/** Place where requests wait for their turn, such as an `Admission`. */
export interface Entrance<Turn extends Disposable> {
  /**
   * Waits until the request may run.
   *
   * @param by Identifies those that take turns
   * @param signal Ends the wait
   * @returns Turn, to be disposed when the request is over
   * @throws {OverloadedError} When too many wait already
   */
  enter(by: TurnKey, signal: AbortSignal): Promise<Turn>;
}

/** Parts that a request must pass. */
export interface AdmitParts<Turn extends Disposable> {
  /** Gate, which is asked first. */
  readonly gate: Keeper;
  /** Entrance, which bounds the number of requests that run at once. */
  readonly entrance: Entrance<Turn>;
}

/**
 * Asks the policy, and then waits for the request's turn: a refused caller takes no place in the line. When the policy
 * is replaced meanwhile, the new one is asked, too.
 *
 * @param parts Parts that the request must pass
 * @param judged The request as the policy judges it
 * @param record Record of the request
 * @param deadline Deadline that ends the wait
 * @returns The turn, to dispose when the request is over
 * @throws {PolicyDeniedError} When the policy did not permit it
 * @throws {OverloadedError} When too many requests wait already
 */
export async function admit<Turn extends Disposable>(
  { gate, entrance }: AdmitParts<Turn>,
  judged: Judged,
  record: RequestRecord,
  deadline: Deadline,
): Promise<Turn> {
  deadline.throwIfPassed();
  const permission = gate.check(judged, record);
  deadline.stage = "admission";
  const turn = await enter(entrance, permission, record, deadline);
  try {
    permission.confirm();
    return turn;
  } catch (error) {
    turn[Symbol.dispose]();
    throw error;
  }
}

async function enter<Turn extends Disposable>(
  entrance: Entrance<Turn>,
  permission: Permission,
  { turnsBy }: RequestRecord,
  { signal }: Deadline,
): Promise<Turn> {
  try {
    return await entrance.enter(turnsBy, signal);
  } catch (error) {
    // A caller that tries again, as the answer says, must not use up the rate by it. One that gave up had a place.
    if (error instanceof OverloadedError) permission.giveBack();
    throw error;
  }
}
