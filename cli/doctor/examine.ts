import { Deadline } from "../../lib/core/deadline.ts";
import { TimeoutError } from "../../lib/core/errors.ts";
import { credentialsLink, roundTripLink } from "./call_links.ts";
import { cryptoLink } from "./crypto_link.ts";
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
  cryptoLink,
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
export function examine(options: DoctorOptions): Promise<readonly Finding[]> {
  return examineLinks(LINKS, (findings) => new Examination(options, findings), (name, { remainingMs }) =>
    // Loading a policy does not wait for anything, and comes when the rest of the time may be used up.
    name === "policy" ? POLICY_MS : Math.min((SHARES[name] ?? 1) * options.timeoutMs, remainingMs));
}

/** Findings of links, once there are some. */
export type Findings = ReadonlyMap<LinkName, Promise<Finding>>;

/** Steps that links share. */
export interface SharedSteps extends AsyncDisposable {
  /** Milliseconds left, at least 1. */
  readonly remainingMs: number;
  /** Waits for the finding of another link. */
  finding(name: LinkName): Promise<Finding>;
}

/**
 * Examines links; those that do not depend on each other run at once.
 *
 * @param links Links, in order
 * @param make Makes the steps that they share
 * @param limitOf Finds the milliseconds that a link has
 * @returns The findings, in the order of the links. Never throws
 */
export async function examineLinks<Steps extends SharedSteps>(
  links: readonly Link<Steps>[],
  make: (findings: Findings) => Steps,
  limitOf: (name: LinkName, steps: Steps) => number,
): Promise<readonly Finding[]> {
  const begun = performance.now();
  const findings = new Map<LinkName, Promise<Finding>>();
  await using steps = make(findings);
  for (const link of links) {
    // Not before all are in the map: a link may wait for one behind it.
    const verdict = Promise.resolve().then(() => examineLink(link, steps, limitOf));
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

async function examineLink<Steps extends SharedSteps>(
  link: Link<Steps>,
  steps: Steps,
  limitOf: (name: LinkName, steps: Steps) => number,
): Promise<Verdict> {
  for (const needed of link.needs) {
    const { state } = await steps.finding(needed);
    if (state === "broken" || state === "untried") return untriedFor(needed);
  }
  using deadline = new Deadline(`examine ${link.name}`, limitOf(link.name, steps));
  try {
    return await deadline.race(Promise.resolve(link.examine(steps)));
  } catch (error) {
    const { what, hint = "", state } = link.silence;
    if (!(error instanceof TimeoutError)) return brokenBy(error, hint);
    return state === "untried" ? untried(what) : broken(what, hint, error.code);
  }
}

/** Time for loading a policy, in milliseconds. */
const POLICY_MS = 60_000;
