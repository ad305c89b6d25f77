import { element, type PageElement } from "./dom.ts";
import type { Section, SectionTable } from "./section.ts";

/** Signs before what is good, bad, or to know, beside the colour. */
const SIGNS = { good: "✓\u00a0", bad: "✗\u00a0", note: "·\u00a0" } as const;

/**
 * Makes the elements of a section.
 *
 * @param section Texts
 * @param number Its place on the page
 */
export function showSection(
  { title, state, sentences, tables, commands }: Section,
  number: number,
): PageElement {
  const heading = element("h2", title);
  heading.id = `section-${number}`;
  const [first = "", ...others] = sentences;
  const outcome = element("p", SIGNS[state] + first);
  outcome.className = `outcome ${state}`;
  const section = element(
    "section",
    heading,
    outcome,
    ...others.map((sentence) => element("p", sentence)),
    ...tables.map(showTable),
    ...(commands.length === 0 ? [] : [element("p", "The same on the command line:"), showCommands(commands)]),
  );
  section.setAttribute("aria-labelledby", heading.id);
  return section;
}

/** A wide table scrolls, and is reached by the keyboard for that. */
function showTable({ caption, columns, rows }: SectionTable): PageElement {
  const head = element(
    "tr",
    ...columns.map((column) => {
      const cell = element("th", column);
      cell.setAttribute("scope", "col");
      return cell;
    }),
  );
  const body = rows.map(({ cells: [first = "", ...cells], state }) => {
    const name = element("th", state === undefined ? first : SIGNS[state] + first);
    name.setAttribute("scope", "row");
    const row = element("tr", name, ...cells.map((cell) => element("td", cell)));
    if (state !== undefined) row.className = state;
    return row;
  });
  const table = element(
    "table",
    element("caption", caption),
    element("thead", head),
    element("tbody", ...body),
  );
  const box = element("div", table);
  box.className = "table";
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", caption);
  return box;
}

function showCommands(commands: readonly string[]): PageElement {
  const block = element("pre", element("code", commands.join("\n")));
  block.tabIndex = 0;
  return block;
}
