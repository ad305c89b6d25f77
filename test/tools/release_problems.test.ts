import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "#test";
import { isPrivate, problemsOfRelease, type ReleaseParts } from "../../tools/release_problems.ts";
import { readPage, ROOT } from "../support/documents.ts";

const MANIFEST = {
  name: "enclave-kms",
  version: "1.2.3",
  repository: { type: "git", url: "git+https://example.org/owner/name.git" },
  bugs: { url: "https://example.org/owner/name/issues" },
  homepage: "https://example.org/owner/name#readme",
};

const GOOD: ReleaseParts = {
  manifest: JSON.stringify(MANIFEST),
  denoManifest: JSON.stringify({ name: "@scope/name", version: "1.2.3" }),
  lock: JSON.stringify({ version: "1.2.3", packages: { "": { version: "1.2.3" } } }),
  changelog: "# Changelog\n\n## [1.2.3] - 2026-01-31\n\n- A change\n\n## [1.2.2] - 2026-01-01\n\n- Another\n",
  version: "1.2.3",
  pages: { "README.md": "npm install ./enclave-kms-1.2.3.tgz" },
  today: "2026-01-31",
  tag: "v1.2.3",
  runsIn: "owner/name",
};

const changed = (change: object): Partial<ReleaseParts> => ({
  manifest: JSON.stringify({ ...MANIFEST, ...change }),
});
const log = (changelog: string): Partial<ReleaseParts> => ({ changelog: `# Changelog\n\n${changelog}` });

describe("the release check", () => {
  test("lets a release pass whose files agree", () => {
    assert.deepEqual(problemsOfRelease(GOOD), []);
    assert.deepEqual(problemsOfRelease({ ...GOOD, tag: undefined, runsIn: undefined }), []);
  });

  const cases: Readonly<Record<string, readonly [change: Partial<ReleaseParts>, expected: RegExp]>> = {
    "is private": [changed({ private: true }), /is private/],
    "is private by another word": [changed({ private: "yes" }), /is private/],
    "has no repository": [changed({ repository: undefined }), /no repository/],
    "has a repository in short form": [changed({ repository: "owner/name" }), /no repository/],
    "has a repository by http": [
      changed({ repository: { type: "git", url: "git+http://example.org/owner/name.git" } }),
      /no repository/,
    ],
    "has another repository than the workflow": [{ runsIn: "somebody/name" }, /runs in somebody\/name/],
    "has no bugs": [changed({ bugs: undefined }), /no bugs/],
    "has no homepage": [changed({ homepage: undefined }), /no homepage/],
    "has a homepage by http": [changed({ homepage: "http://example.org" }), /no homepage/],
    "has a version that is none": [changed({ version: "1.2" }), /1\.2, which is none/],
    "has another version in deno.json": [
      { denoManifest: JSON.stringify({ name: "@scope/name", version: "1.2.4" }) },
      /deno\.json has the version 1\.2\.4/,
    ],
    "has no scope in deno.json": [
      { denoManifest: JSON.stringify({ name: "name", version: "1.2.3" }) },
      /no name with/,
    ],
    "has another version in the lock": [
      { lock: JSON.stringify({ version: "1.2.2", packages: { "": { version: "1.2.3" } } }) },
      /package-lock\.json has the version 1\.2\.2/,
    ],
    "has another version inside the lock": [
      { lock: JSON.stringify({ version: "1.2.3", packages: {} }) },
      /packages\[""\] .* undefined/,
    ],
    "has another version in its sources": [{ version: "1.2.2" }, /version\.ts has the version 1\.2\.2/],
    "has another tag": [{ tag: "v1.2.4" }, /tag is v1\.2\.4, and must be v1\.2\.3/],
    "has a tag without v": [{ tag: "1.2.3" }, /must be v1\.2\.3/],
    "has no section in the change log": [log("## [1.2.2] - 2026-01-01\n\n- A\n"), /no section \[1\.2\.3\]/],
    "has a section without a date": [
      log("## [1.2.3] - unreleased\n\n- A\n"),
      /no date for 1\.2\.3: it says unreleased/,
    ],
    "has a day that there is not": [log("## [1.2.3] - 2026-02-30\n\n- A\n"), /no date for 1\.2\.3/],
    "has a day to come": [log("## [1.2.3] - 2026-02-01\n\n- A\n"), /after today/],
    "has a newer section": [
      log("## [1.2.4] - unreleased\n\n- A\n\n## [1.2.3] - 2026-01-31\n\n- A\n"),
      /first section .* is not \[1\.2\.3\]/,
    ],
    "has an empty section": [log("## [1.2.3] - 2026-01-31\n"), /says nothing about 1\.2\.3/],
    "has a page that says it is in no registry": [
      { pages: { "README.md": "The package is in no\nregistry yet" } },
      /README\.md still says/,
    ],
    "has a page with another file": [
      { pages: { a: "npm install ./enclave-kms-1.2.2.tgz" } },
      /a names enclave-kms-1\.2\.2/,
    ],
  };
  for (const [what, [change, expected]] of Object.entries(cases)) {
    test(`refuses what ${what}`, () => {
      const problems = problemsOfRelease({ ...GOOD, ...change });
      assert.equal(problems.filter((problem) => expected.test(problem)).length, 1, problems.join("\n"));
    });
  }

  test("takes private for what npm takes for it", () => {
    assert.equal(isPrivate('{"private":false}'), false);
    assert.equal(isPrivate("{}"), false);
    assert.equal(isPrivate('{"private":true}'), true);
  });

  // Sources are run as Node.js runs them in the workflow.
  test.skipIf("Deno" in globalThis)(
    "holds this repository back as long as it is private, without a failure",
    () => {
      const folder = mkdtempSync(join(tmpdir(), "enclave-kms-release-"));
      try {
        const output = join(folder, "output");
        const check = (...words: readonly string[]) =>
          spawnSync(process.execPath, ["tools/release_check.ts", ...words], {
            cwd: ROOT,
            encoding: "utf8",
            env: { ...process.env, GITHUB_OUTPUT: output, GITHUB_REPOSITORY: "" },
          });
        assert.equal(isPrivate(readPage("package.json")), true);
        assert.equal(check("v9.9.9").status, 0);
        const strict = check("v9.9.9", "--strict");
        assert.equal(strict.status, 1);
        assert.match(strict.stderr, /is private[^]*the tag is v9\.9\.9/);
        assert.equal(readFileSync(output, "utf8"), "publish=false\npublish=false\n");
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});
