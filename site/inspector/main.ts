/**
 * Script of the inspector's page: takes files and texts, and shows what they are. It sends nothing: the page's policy
 * forbids every connection.
 *
 * @module
 */
import { byId, page } from "./dom.ts";
import { inspect } from "./inspect.ts";
import { type Item, readItem } from "./read_item.ts";
import { showSection } from "./show_section.ts";

let items: readonly Item[] = [];
let pasted = 0;
/** One thing is done at a time, in the order in which it was asked for. */
let last: Promise<void> = Promise.resolve();

const [files, text, role, time] = ["files", "text", "role", "time"].map(byId) as [
  ReturnType<typeof byId>,
  ReturnType<typeof byId>,
  ReturnType<typeof byId>,
  ReturnType<typeof byId>,
];

files.addEventListener("change", () => {
  addFiles(Array.from(files.files ?? []));
  files.value = "";
});
byId("add").addEventListener("click", () => {
  if (text.value.trim() === "") return say("There is no text to inspect.");
  add([[`pasted-${++pasted}`, new Blob([text.value])]]);
  text.value = "";
});
byId("clear").addEventListener("click", () => {
  inTurn(async () => {
    items = [];
    await show("Nothing is loaded.");
  });
  files.focus();
});
for (const setting of [role, time]) {
  setting.addEventListener("change", () => inTurn(() => show("Checked again.")));
}
page.addEventListener("dragover", (event) => event.preventDefault());
page.addEventListener("drop", (event) => {
  event.preventDefault();
  addFiles(Array.from(event.dataTransfer?.files ?? []));
});
if (globalThis.crypto?.subtle === undefined) {
  say("This page needs WebCrypto: open it by https, from localhost, or as a file.");
}

function addFiles(given: readonly File[]): void {
  add(given.map((file) => [file.name, file]));
}

function add(given: readonly (readonly [name: string, content: Blob])[]): void {
  if (given.length === 0) return;
  inTurn(async () => {
    for (const [name, content] of given) {
      say(`Reading ${name}…`);
      items = [...items, await readItem(name, content)];
    }
    await show(`Inspected ${given.map(([name]) => name).join(", ")}.`);
  });
}

async function show(done: string): Promise<void> {
  const at = time.value === "now" ? Date.now() : undefined;
  const sections = await inspect(items, { role: role.value.trim(), at });
  byId("results").replaceChildren(...sections.map(showSection));
  const outcomes = sections.map(({ title, sentences }) => `${title}: ${sentences[0] ?? ""}`);
  say([done, ...outcomes].join(" "));
}

function inTurn(work: () => Promise<void>): void {
  last = last.then(work).catch((error: unknown) => {
    say(`The page failed: ${error instanceof Error ? error.message : "no error was given"}`);
  });
}

function say(what: string): void {
  byId("status").textContent = what;
}
