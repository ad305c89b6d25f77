import { Deadline } from "../../lib/core/deadline.ts";
import { TimeoutError } from "../../lib/core/errors.ts";
import { credentialsLink, roundTripLink } from "./call_links.ts";
import type { Finding, LinkName, Verdict } from "./finding.ts";
import type { Link } from "./link.ts";
import { broken, untried } from "./finding.ts";
import {
  brokenBy,
  entropyLink,
  libraryLink,
  permissionsLink,
  policyLink,
  runtimeLink,
  untriedFor,
} from "./local_links.ts";
import { clockLink, kmsLink, proxyLink, tlsLink, vsockLink } from "./network_links.ts";
import { nsmLink } from "./nsm_link.ts";
import { type DoctorOptions, Examination } from "./examination.ts";

/** Every link, in order. */
export const LINKS: readonly Link[] = [
  runtimeLink,
  permissionsLink,
  libraryLink,
  nsmLink,
  vsockLink,
  proxyLink,
  tlsLink,
  kmsLink,
  clockLink,
  entropyLink,
  credentialsLink,
  roundTripLink,
  policyLink,
];

/** Share of the whole time for links that others wait for, so that a chain of them ends in time. */
const SHARES: Readonly<Partial<Record<LinkName, number>>> = { nsm: 0.4, vsock: 0.2 };

/**
 * Examines every link; links that do not depend on each other run at once.
 *
 * @param options Options of the examination
 * @returns The findings, in the order of the links. Never throws
 */
export async function examine(options: DoctorOptions): Promise<readonly Finding[]> {
  const begun = performance.now();
  const findings = new Map<LinkName, Promise<Finding>>();
  await using examination = new Examination(options, findings);
  for (const link of LINKS) {
    // Not before all are in the map: a link may wait for one behind it.
    const verdict = Promise.resolve().then(() => examineLink(link, examination));
    findings.set(
      link.name,
      verdict.then((found) => ({ link: link.name, ...found, ms: Math.round(performance.now() - begun) })),
    );
  }
  return await Promise.all(findings.values());
}

/**
 * Finds the first broken link.
 *
 * @returns undefined when none is broken
 */
export function firstBroken(findings: readonly Finding[]): Finding | undefined {
  return findings.find(({ state }) => state === "broken");
}

async function examineLink(link: Link, examination: Examination): Promise<Verdict> {
  for (const needed of link.needs) {
    const { state } = await examination.finding(needed);
    if (state === "broken" || state === "untried") return untriedFor(needed);
  }
  const timeoutMs = Math.min(
    (SHARES[link.name] ?? 1) * examination.options.timeoutMs,
    examination.remainingMs,
  );
  // Loading a policy does not wait for anything, and comes when the rest of the time may be used up.
  using deadline = new Deadline(`examine ${link.name}`, link.name === "policy" ? POLICY_MS : timeoutMs);
  try {
    return await deadline.race(Promise.resolve(link.examine(examination)));
  } catch (error) {
    const { what, hint = "", state } = link.silence;
    if (!(error instanceof TimeoutError)) return brokenBy(error, hint);
    return state === "untried" ? untried(what) : broken(what, hint, error.code);
  }
}

/** Time for loading a policy, in milliseconds. */
const POLICY_MS = 60_000;
