import type { Style, Terminal } from "../terminal.ts";
import { firstBroken } from "./examine.ts";
import type { Finding, LinkState } from "./finding.ts";

const STYLES: Readonly<Record<LinkState, Style>> = {
  ok: "good",
  warning: "odd",
  broken: "bad",
  untried: "dim",
  unneeded: "dim",
};

/**
 * Makes the report for people.
 *
 * @param findings Findings in the order of the links
 * @param terminal Knows whether to colour
 * @returns One line for each link, then the first broken link and the advice on it
 */
export function report(findings: readonly Finding[], terminal: Terminal): string {
  const lines = findings.flatMap((finding) => {
    const { link, state, what, hint } = finding;
    const line = `${terminal.paint(STYLES[state], state.padEnd(8))}  ${link.padEnd(11)}  ${what}`;
    return state === "warning" && hint !== undefined ? [line, `${" ".repeat(23)}${hint}`] : [line];
  });
  const first = firstBroken(findings);
  const verdict = first === undefined ? [terminal.paint("good", "Nothing is broken")] : [
    `${terminal.paint("bad", `First broken link: ${first.link}`)}: ${first.what}`,
    `To mend it: ${first.hint ?? "see above"}`,
    ...(first.code === undefined ? [] : [`code: ${first.code}`]),
  ];
  return `${[...lines, "", ...verdict].join("\n")}\n`;
}

/**
 * Makes the report that `--json` prints.
 *
 * @param findings Findings in the order of the links
 */
export function findingsJson(findings: readonly Finding[]): Record<string, unknown> {
  return {
    healthy: !isBroken(findings),
    firstBroken: firstBroken(findings)?.link ?? null,
    links: findings,
  };
}

/** Tells whether a link is broken. */
export function isBroken(findings: readonly Finding[]): boolean {
  return firstBroken(findings) !== undefined;
}
