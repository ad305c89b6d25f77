/**
 * Holds the rule for doc comments: a verb for functions, a noun for types and fields, and never a relative
 * clause without its noun.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "#test";
import { ROOT, sourceFiles } from "./support/source_files.ts";

/** Words that no description may open with. */
const OPENINGS = /^(?:What|Of|Who|Whose|By|How|Where|The one who)\b/;

/** Opening of a doc comment or of one of its tags. */
interface Opening {
  /** Line in the file, from 1. */
  readonly line: number;
  /** First line of the text. */
  readonly text: string;
  /** Whether it is the text of a tag. */
  readonly isTag: boolean;
}

describe("doc comments", () => {
  const files = sourceFiles();

  const wrongIn = (isTag: boolean) =>
    files.flatMap((file) =>
      openingsOf(readFileSync(join(ROOT, file), "utf8"))
        .filter((opening) => opening.isTag === isTag && OPENINGS.test(opening.text))
        .map(({ line, text }) => `${file}:${line}: ${text}`)
    );

  test("open with a verb or a noun", () => {
    assert.deepEqual(wrongIn(false), []);
  });

  test("open so in the texts of their tags, too", () => {
    assert.deepEqual(wrongIn(true), []);
  });

  test("that open otherwise would be found, wherever they stand", () => {
    const planted = [
      "/** What it is. */",
      "/**\n * Of a key.\n */",
      "  /**\n   * Makes it.\n   *\n   * @param key Whose it is\n   */",
      "/** @returns Where it is */",
      "/** @throws {TypeError} By whom it was given */",
      "function f(" + "/** How much. */ a: number) {}",
      "/** `x`. */\u0020/** Who. */",
    ];
    for (const text of planted) {
      assert.equal(openingsOf(text).filter((opening) => OPENINGS.test(opening.text)).length, 1, text);
    }
    const right = [
      "/** Whatever. */",
      "/** Bytes of what. */",
      '"/** What"',
      "// What",
      "/** @param what The thing */",
      "/**\n * Makes.\n * What follows is no opening.\n */",
      "/** @throws {TypeError} When it is wrong */",
    ];
    for (const text of right) {
      assert.deepEqual(openingsOf(text).filter((opening) => OPENINGS.test(opening.text)), [], text);
    }
  });
});

/** Finds where descriptions and tags open. */
function openingsOf(source: string): Opening[] {
  return [...source.matchAll(/(?<=^|[\s({[,;])\/\*\*(?!\/)([^]*?)\*\//g)].flatMap(
    ({ index, 1: comment = "" }) => {
      const first = source.slice(0, index).split("\n").length;
      const lines = comment.split("\n").map((line) => line.replace(/^\s*\*?\s*/, "").trim());
      const start = lines.findIndex((line) => line !== "");
      return lines.flatMap((line, place): Opening[] => {
        const tag = /^@(?:param|returns|throws|template|property)\b\s*(.*)$/.exec(line)?.[1];
        if (tag !== undefined) {
          const isParam = /^@(?:param|template|property)\b/.test(line);
          const text = tag.replace(isParam ? /^\S+\s*(?:-\s+)?/ : /^\{[^}]*\}\s*/, "");
          return [{ line: first + place, text, isTag: true }];
        }
        return place === start ? [{ line: first + place, text: line, isTag: false }] : [];
      });
    },
  );
}
