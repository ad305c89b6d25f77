/** A change that no test of its area can notice, and why. */
export interface Unnoticeable {
  /** Where, from the root of the repository. */
  readonly file: string;
  /** What is replaced, on one line. */
  readonly text: string;
  /** By what; default: by anything. */
  readonly replacement?: string;
  /** `equivalent`: the library does the same. `elsewhere`: seen by a test that mutation does not run. */
  readonly kind: "equivalent" | "elsewhere";
  readonly why: string;
}

const CMS = "lib/engine/cms_envelope.ts";
const ENCODING = "lib/encoding.ts";

/** Looked at one by one. */
export const UNNOTICEABLE: readonly Unnoticeable[] = [
  {
    file: CMS,
    text: "byte === undefined",
    replacement: "false",
    kind: "equivalent",
    why: "undefined is no byte that is expected, and no length: the same error a line later",
  },
  {
    file: CMS,
    text: "end > this.#bytes.length",
    kind: "equivalent",
    why:
      "something always has to follow a field, so a short field meets the same error at the end of the bytes",
  },
  ...[
    'typeof target.setFromBase64 === "function"',
    'typeof target.setFromHex === "function"',
    '"function"',
    "target.setFromBase64(text);",
    "target.setFromHex(text);",
  ].map((text) => ({
    file: ENCODING,
    text,
    kind: "elsewhere" as const,
    why: "Node 24 has no such method; Deno has, and the same tests run there",
  })),
  {
    file: "lib/secret_json.ts",
    text: "index < input.length",
    replacement: "index <= input.length",
    kind: "equivalent",
    why:
      "what is written behind the last digits is overwritten by the text that follows, or beyond the buffer",
  },
];

/**
 * @param file Where a mutant is, from the root of the repository
 * @param text What it replaces
 * @param replacement By what
 */
export function unnoticeable(file: string, text: string, replacement?: string): Unnoticeable | undefined {
  return UNNOTICEABLE.find((known) =>
    known.file === file && known.text === text &&
    (known.replacement === undefined || known.replacement === replacement)
  );
}
