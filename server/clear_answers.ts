import type { Config } from "./config.ts";

/**
 * Says what answers in the clear mean, where there can be any: in the log at the start, and in `/readyz`.
 *
 * @param config Settings of the server
 * @returns A sentence for each listener that may answer with secrets in the clear
 */
export function warnOfClearAnswers(
  { http, kmstool, answers }: Pick<Config, "http" | "kmstool" | "answers">,
): string[] {
  return [
    ...(http !== undefined && answers === "any"
      ? ["answers is any: whoever is on the parent reads the plaintexts that are answered in the clear"]
      : []),
    ...(kmstool !== undefined
      ? ["kmstool answers in the clear: whoever is on the parent reads the plaintexts"]
      : []),
  ];
}
