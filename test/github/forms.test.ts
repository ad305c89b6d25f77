import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { describe, test } from "#test";
import { readPage, ROOT } from "../support/documents.ts";

interface Field {
  readonly type: string;
  readonly id?: string;
  readonly attributes: {
    readonly label?: string;
    readonly value?: string;
    readonly options?: readonly string[];
  };
  readonly validations?: { readonly required: boolean };
}

interface Form {
  readonly name: string;
  readonly description: string;
  readonly body: readonly Field[];
}

const FOLDER = ".github/ISSUE_TEMPLATE";
const FORMS = readdirSync(join(ROOT, FOLDER)).filter((name) => name !== "config.yml");
const KNOWN = ["name", "description", "title", "labels", "body"];

/** Finds what GitHub would refuse, or leave out, of a form. */
function problemsOfForm(text: string): string[] {
  const form = parse(text, { strict: true, uniqueKeys: true }) as Form;
  const fields = form.body.filter(({ type }) => type !== "markdown");
  const ids = fields.map(({ id }) => id);
  return [
    ...Object.keys(form).filter((name) => !KNOWN.includes(name)).map((name) => `${name} is not known`),
    ...(form.name && form.description ? [] : ["it has no name or description"]),
    ...(fields.some(({ validations }) => validations?.required) ? [] : ["nothing in it is required"]),
    ...(new Set(ids).size === ids.length && ids.every((id) => /^[\w-]+$/.test(id ?? ""))
      ? []
      : ["an id is none"]),
    ...form.body.flatMap(({ type, attributes }) => [
      ...(["markdown", "textarea", "input", "dropdown", "checkboxes"].includes(type)
        ? []
        : [`${type} is no type`]),
      ...(type === "markdown" ? attributes.value : attributes.label) ? [] : [`a ${type} says nothing`],
      ...(type === "dropdown" && new Set(attributes.options).size !== attributes.options?.length
        ? ["a dropdown has an option twice, or none"]
        : []),
    ]),
  ];
}

describe("the forms of issues", () => {
  test("are there", () => assert.deepEqual(FORMS.toSorted(), ["bug.yml", "feature.yml"]));

  for (const name of FORMS) {
    test(`${name} is one that GitHub shows`, () =>
      assert.deepEqual(problemsOfForm(readPage(`${FOLDER}/${name}`)), []));
  }

  const mistakes: Readonly<Record<string, readonly [from: string, to: string, expected: RegExp]>> = {
    "a member that is none": ["description: An error", "about: An error", /about is not known/],
    "a type that is none": ["type: input", "type: text", /text is no type/],
    "an id twice": ["id: how", "id: what", /an id is none/],
    "an option twice": ["[simulator, a Nitro Enclave", "[simulator, simulator", /an option twice/],
    "a field without a label": ["label: Versions", "title: Versions", /says nothing/],
  };
  for (const [what, [from, to, expected]] of Object.entries(mistakes)) {
    test(`with ${what} would be found`, () => {
      const text = readPage(`${FOLDER}/bug.yml`);
      const changed = text.replace(from, to);
      assert.notEqual(changed, text);
      assert.match(problemsOfForm(changed).join("\n"), expected);
    });
  }

  test("send weaknesses elsewhere, and nobody past the forms", () => {
    assert.match(readPage(`${FOLDER}/bug.yml`), /security does not belong here\*\*: SECURITY\.md/);
    assert.deepEqual(parse(readPage(`${FOLDER}/config.yml`)), { blank_issues_enabled: false });
  });
});

describe("dependabot.yml", () => {
  const { version, updates } = parse(readPage(".github/dependabot.yml"), {
    strict: true,
    uniqueKeys: true,
  }) as {
    readonly version: number;
    readonly updates: readonly {
      readonly "package-ecosystem": string;
      readonly directory?: string;
      readonly directories?: readonly string[];
      readonly cooldown?: object;
    }[];
  };

  test("looks after npm's packages where there is a lock file, and the actions, none on its first day", () => {
    assert.equal(version, 2);
    const found = updates.map((
      update,
    ) => [update["package-ecosystem"], update.directories ?? [update.directory]]);
    assert.deepEqual(found.map(([name]) => name), ["npm", "github-actions"]);
    for (const folder of found[0]?.[1] as string[]) {
      assert.ok(existsSync(join(ROOT, folder, "package.json")), folder);
    }
    for (const { cooldown } of updates) assert.deepEqual(cooldown, { "default-days": 7 });
  });
});
