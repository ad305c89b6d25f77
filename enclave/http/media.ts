import type { FieldProblem } from "../../lib/wire/problem.ts";

/**
 * Finds what keeps a body from being read as JSON.
 *
 * @param header Looks up one of the request's headers, by its name in lowercase
 * @returns The header that is wrong and what should be there; undefined when both are right
 */
export function findMediaProblem(header: (name: string) => string | undefined): FieldProblem | undefined {
  if (!/^application\/json *(?:;|$)/i.test(header("content-type") ?? "")) {
    return { path: "content-type", expected: "application/json" };
  }
  if (!/^(?:identity)?$/i.test(header("content-encoding")?.trim() ?? "")) {
    return { path: "content-encoding", expected: "none: the body as it is, not compressed" };
  }
  return undefined;
}
