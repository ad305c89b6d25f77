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
 * @param findings In order
 * @param terminal For colour
 * @returns One line for each link, and what to mend first
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
 * @param findings In order
 * @returns What `--json` prints
 */
export function findingsJson(findings: readonly Finding[]): Record<string, unknown> {
  return {
    healthy: !isBroken(findings),
    firstBroken: firstBroken(findings)?.link ?? null,
    links: findings,
  };
}

/** Whether a link is broken. */
export function isBroken(findings: readonly Finding[]): boolean {
  return firstBroken(findings) !== undefined;
}
