import assert from "node:assert/strict";
import { describe, test } from "#test";
import { PolicyLoadError } from "../../../../lib/core/errors.ts";
import {
  areSamePolicies,
  MAX_POLICY_BYTES,
  placeOf,
  placeOfByte,
  scanPolicyText,
} from "../../../../lib/policy/cedar/policy_text.ts";
import { cedarSchema } from "../../../support/policies.ts";

const PERMIT = "permit(principal, action, resource)";
const when = (condition: string) => `${PERMIT} when { ${condition} };`;

function refuses(text: string, message: string, hint: string, policyId?: string): void {
  assert.throws(() => scanPolicyText(text), (error) => {
    assert.ok(error instanceof PolicyLoadError, String(error));
    assert.equal(error.message, `Cannot load the policy: ${message}`);
    assert.deepEqual([error.hint, error.policyId], [hint, policyId]);
    return true;
  });
}

describe("areSamePolicies()", () => {
  const one = `${PERMIT};`;
  const other = when('"// none" == "x"');

  test("looks past what comes before each policy, and past the order", () => {
    assert.ok(areSamePolicies([one, ` // one;\r\n\n${other}`], [other, one]));
    assert.ok(areSamePolicies([`//\r${one}`, one], [one, one]));
    assert.ok(areSamePolicies([], []));
  });

  test("sees what is there once more, is gone, or is another", () => {
    assert.ok(!areSamePolicies([one], [one, one]));
    assert.ok(!areSamePolicies([one, one], [one]));
    assert.ok(!areSamePolicies([one, other], [one, one]));
    assert.ok(!areSamePolicies([other, one], [one, one]));
    assert.ok(!areSamePolicies([`${one} // after`], [one]));
    assert.ok(!areSamePolicies([`// ${one}`], [one]));
  });
});

describe("scanPolicyText()", () => {
  test("names policies by their @id, or by their number", () => {
    const cases: readonly (readonly [text: string, names: string[]])[] = [
      [`${PERMIT};`, ["policy0"]],
      [`@id("a")${PERMIT}; ${PERMIT}; @id("b")${PERMIT};`, ["a", "policy1", "b"]],
      [`@id ( "a b" ) ${PERMIT};`, ["a b"]],
      [`@id(\n"a"\n)\n${PERMIT};`, ["a"]],
      [`@id("")${PERMIT};`, ["policy0"]],
      [`@id("a;b")${PERMIT};`, ["a;b"]],
      [`@id("a\\"b")${PERMIT};`, ['a\\"b']],
      [`@id("é\u0007${"x".repeat(200)}")${PERMIT};`, [`??${"x".repeat(98)}`]],
      [`@note("other")${PERMIT};`, ["policy0"]],
      [`// @id("comment")\n${PERMIT};`, ["policy0"]],
      [`// ; }\n${PERMIT}; // ; ;`, ["policy0"]],
      [when('";" == ";"'), ["policy0"]],
    ];
    for (const [text, names] of cases) assert.deepEqual(scanPolicyText(text).names, names, text);
  });

  test("gives each policy its own text", () => {
    const texts = [`@id("a")${PERMIT};`, `\n// of the second ; \n${when('";" == "x"')}`];
    assert.deepEqual(scanPolicyText(`${texts.join("")}\n// and the end`).parts, texts);
  });

  test("counts bytes and not characters", () => {
    const fill = (count: number) => `${PERMIT};//${"x".repeat(count - PERMIT.length - 3)}`;
    assert.deepEqual(scanPolicyText(fill(MAX_POLICY_BYTES)).names, ["policy0"]);
    const hint = "Can it be split?";
    refuses(fill(MAX_POLICY_BYTES + 1), "it has 524289 bytes, and may have 524288", hint);
    refuses(`//${"é".repeat(262_144)}`, "it has 524290 bytes, and may have 524288", hint);
    for (const value of [undefined, 7, null, {}]) {
      assert.throws(() => scanPolicyText(value as never), /^TypeError: The policy must be a string$/);
    }
  });

  test("brackets nest 64 deep, those of one policy after the other", () => {
    const nested = (depth: number, open: string, close: string) =>
      `${open.repeat(depth)}1${close.repeat(depth)}`;
    const hint = "Can the policy be split into several?";
    for (const [open, close] of [["(", ")"], ["[", "]"], ["{", "}"]] as const) {
      const deepest = nested(64, open, close);
      assert.deepEqual(scanPolicyText(`${deepest};${deepest};`).names, ["policy0", "policy1"]);
      refuses(
        `${PERMIT};\n ${nested(65, open, close)}`,
        "brackets nest more than 64 deep (line 2, column 66)",
        hint,
        "policy1",
      );
    }
  });

  test("each policy has 200 operators at most, whichever they are", () => {
    const hint = "Can the policy be split into several?";
    for (const operator of ["+", "-", "*", "!", " && ", " || ", " if "]) {
      const most = `${operator.repeat(200)};`;
      assert.deepEqual(scanPolicyText(most + most).names, ["policy0", "policy1"], operator);
      assert.throws(
        () => scanPolicyText(`x;${operator.repeat(201)}`),
        {
          name: "PolicyLoadError",
          message: /: a policy has more than 200 operators \(/,
          hint,
          policyId: "policy1",
        },
        operator,
      );
    }
    const quoted = when(`"${"+".repeat(500)}" == "${"(".repeat(500)}" // ${"!".repeat(500)}\n`);
    assert.deepEqual(scanPolicyText(quoted + "gift ".repeat(300)).names, ["policy0"]);
    for (const many of ['"x",'.repeat(300), "// x\n".repeat(300)]) {
      assert.deepEqual(scanPolicyText(`${many};`).names, ["policy0"]);
    }
  });

  test("a template is refused, and not the text of one", () => {
    refuses(
      "permit(principal == ?principal, action, resource);",
      "it has a template, which would never apply (line 1, column 21)",
      "Can the policy name its principal and resource itself?",
      "policy0",
    );
    scanPolicyText(when('"?principal" == "x"'));
  });
});

describe("places", () => {
  test("are counted in lines and characters, from units or from bytes", () => {
    const text = "ab\n\u{1f511}é x";
    assert.deepEqual(placeOf(text, 0), { line: 1, column: 1 });
    assert.deepEqual(placeOf(text, 2), { line: 1, column: 3 });
    assert.deepEqual(placeOf(text, 3), { line: 2, column: 1 });
    assert.deepEqual(placeOf(text, text.indexOf("x")), { line: 2, column: 4 });
    assert.deepEqual(placeOfByte(text, 3 + 4 + 2 + 1), { line: 2, column: 4 });
  });
});

describe("cedarSchema()", () => {
  test("declares an attribute of every type, as one that may be missing", () => {
    const schema = cedarSchema({ a: "String", b: "Long", c: "Boolean", d: "Set<String>" });
    assert.match(schema, /"a"\?: String,\n {2}"b"\?: Long,\n {2}"c"\?: Boolean,\n {2}"d"\?: Set<String>,\n/);
    assert.doesNotMatch(schema, /\/\/|tenant/);
    assert.match(cedarSchema(), /"name"\?: String,\n {2}"tenant"\?: String,\n {2}"roles"\?: Set<String>,\n/);
  });

  test("refuses names that are Cedar's or ours, and types that it does not have", () => {
    const name = "A caller's attribute needs a name of letters, digits and _, and not a word of Cedar's";
    for (
      const wrong of [
        ...["cid", "true", "false", "if", "then", "else", "in", "is", "like", "has"],
        ...["", "1a", "a-b", "a b", 'a"b', "é", "x".repeat(65)],
      ]
    ) assert.throws(() => cedarSchema({ [wrong]: "Long" }), { name: "TypeError", message: name }, wrong);
    cedarSchema({ ["x".repeat(64)]: "Long", _a: "Long", isA: "Long" });
    for (const type of ["string", "Set<Long>", "Decimal", undefined]) {
      assert.throws(() => cedarSchema({ tier: type as never }), {
        name: "TypeError",
        message: "The attribute tier must be String, Long, Boolean or Set<String>",
      });
    }
  });
});
