import { parseDocument, type ScalarTag } from "yaml";

/** Template of CloudFormation with its intrinsic functions as objects: `!Ref Role` is `{ Ref: "Role" }`. */
export interface Template {
  readonly Parameters: Readonly<
    Record<string, { readonly Default?: unknown; readonly AllowedPattern?: string }>
  >;
  readonly Conditions: Readonly<Record<string, unknown>>;
  readonly Resources: Readonly<
    Record<string, { readonly Type: string; readonly Properties: Readonly<Record<string, unknown>> }>
  >;
}

const NOTHING = Symbol("AWS::NoValue");

/** Reads a template strictly: no key twice, no function that is not known here. */
export function readTemplate(text: string): Template {
  const scalars = ["Ref", "GetAtt", "Sub"].map((name): ScalarTag => ({
    tag: `!${name}`,
    resolve: (value) => name === "Ref" ? { Ref: value } : { [`Fn::${name}`]: value },
  }));
  const lists = ["Not", "Equals", "If"].map((name) => ({
    tag: `!${name}`,
    collection: "seq" as const,
    resolve: (sequence: { toJSON(): unknown }) => ({ [`Fn::${name}`]: sequence.toJSON() }),
  }));
  const document = parseDocument(text, {
    strict: true,
    uniqueKeys: true,
    customTags: [...scalars, ...lists] as never,
  });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) throw problem;
  return document.toJS() as Template;
}

/**
 * Evaluates a part of a template as CloudFormation does.
 *
 * @param values Parameters, pseudo parameters and attributes (`Role.Arn`) by name
 * @throws {Error} When it refers to what is not there
 */
export function evaluate(
  part: unknown,
  template: Template,
  values: Readonly<Record<string, unknown>>,
): unknown {
  const inside = (value: unknown): unknown => evaluate(value, template, values);
  const named = (name: string): unknown => {
    if (name === "AWS::NoValue") return NOTHING;
    if (values[name] === undefined) throw new Error(`There is no ${name}`);
    return values[name];
  };
  if (Array.isArray(part)) return part.map(inside).filter((value) => value !== NOTHING);
  if (typeof part !== "object" || part === null) return part;
  const [[name = "", argument] = []] = Object.entries(part);
  switch (name) {
    case "Ref":
    case "Fn::GetAtt":
      return named(String(argument));
    case "Fn::Sub":
      return String(argument).replaceAll(
        /\$\{(!?)([\w:.]+|[^}]*)\}/g,
        (all, escape: string, what: string) =>
          escape === "!" ? `\${${what}}` : /^[\w:.]+$/.test(what) ? String(named(what)) : all,
      );
    case "Fn::Base64":
      return inside(argument);
    case "Fn::Not":
      return !(inside(argument) as unknown[])[0];
    case "Fn::Equals": {
      const [one, other] = inside(argument) as unknown[];
      return one === other;
    }
    case "Fn::If": {
      const [condition, yes, no] = argument as [string, unknown, unknown];
      return inside(inside(template.Conditions[condition]) === true ? yes : no);
    }
    default:
      return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, inside(value)]));
  }
}
