/**
 * The site's inspector and a page of its documents, in Chromium, as files: what the inspector says of good and bad
 * input, that it asks for nothing, and an accessibility check by axe-core in light and dark.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { makeKeyPolicy } from "../../deploy/mod.ts";
import { SoftwareNsm } from "../../sim/nsm/nsm.ts";
import { listMarkdown } from "../../site/list_markdown.ts";
import { renderInspector } from "../../site/render_inspector.ts";
import { renderSite } from "../../site/render_site.ts";
import { HAS_VECTORS, readVector } from "../lib/attestation/vectors.ts";
import { badDocuments } from "../site/inspector/bad_documents.ts";
import { inChromium } from "./chromium.ts";
import { type PageVisit, visitPage } from "./devtools.ts";
import { makeImages, makePolicies } from "./images.ts";
import type { PageCheck } from "./openapi_page.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Name of a file that would do harm where it is taken for HTML. */
const ATTACK = `<img src=x onerror="document.title='hacked'">`;
const SCHEMES = {
  light: "--blink-settings=preferredColorScheme=1",
  dark: "--blink-settings=preferredColorScheme=0",
};

/** Things to give to the page at once, and sentences that it must show. */
interface PageCase {
  readonly name: string;
  /** Files by name, base64. */
  readonly files: readonly (readonly [name: string, base64: string])[];
  /** Way by which the files come. Default: `choose`. */
  readonly by?: "choose" | "drop" | "paste";
  readonly shows: readonly RegExp[];
}

/** Drives the page: gives it each case, waits for the result, and looks at all that became of it. */
const DRIVE = `async (cases) => {
  const by = (id) => document.getElementById(id);
  const until = async (start) => {
    const end = Date.now() + 60000;
    while (!by("status").textContent.startsWith(start)) {
      if (Date.now() > end) throw new Error("The page says " + by("status").textContent);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const shown = [];
  for (const { files, by: way } of cases) {
    by("clear").click();
    await until("Nothing is loaded.");
    const transfer = new DataTransfer();
    for (const [name, base64] of files) {
      const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      if (way === "paste") {
        by("text").value = new TextDecoder().decode(bytes);
        by("add").click();
        await until("Inspected");
      } else transfer.items.add(new File([bytes], name));
    }
    if (way === "drop") document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
    else if (way !== "paste") {
      by("files").files = transfer.files;
      by("files").dispatchEvent(new Event("change"));
    }
    await until("Inspected");
    shown.push(by("results").innerText);
  }
  return { shown, title: document.title, images: document.images.length, scripts: document.scripts.length,
    back: getComputedStyle(document.body).backgroundColor,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth };
}`;

/** Looks at the result of the text that was typed. */
const TYPED = `(async () => {
  const end = Date.now() + 60000;
  while (document.getElementById("results").innerText === "" && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return document.activeElement.id + ": " + document.getElementById("results").innerText;
})()`;

/** Result of {@link DRIVE}, and axe's findings. */
interface Driven {
  readonly shown: readonly string[];
  readonly title: string;
  readonly images: number;
  readonly scripts: number;
  readonly back: string;
  readonly wide: number;
  readonly violations: readonly string[];
  readonly passes: number;
}

/**
 * Visits the inspector and a page of the documents.
 *
 * @param program Debian's is `chromium`
 * @returns Checks of what came of it
 */
export async function checkInspector(program: string): Promise<readonly PageCheck[]> {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-inspector-"));
  try {
    await writeSite(folder);
    const cases = await makeCases();
    const visit = (
      page: string,
      expression: string,
      flags: readonly string[] = [],
      typed: readonly string[] = [],
    ) =>
      inChromium(
        program,
        flags,
        (browser) => visitPage(browser, pathToFileURL(join(folder, page)).href, expression, typed),
      );
    const [light, dark] = [
      await visit("inspector.html", driving(cases), [SCHEMES.light]),
      await visit("inspector.html", driving(cases.slice(0, 2)), [SCHEMES.dark, "--window-size=390,800"]),
    ];
    const pages = [
      await visit("docs/attestation.html", `${axe()}(async () => (${AXE}))()`, [SCHEMES.light]),
      await visit("docs/attestation.html", `${axe()}(async () => (${AXE}))()`, [SCHEMES.dark]),
    ];
    const sent = await visit(
      "inspector.html",
      `fetch("http://127.0.0.1:9/").then(() => "sent", () => "refused")`,
    );
    const typed = await visit("inspector.html", TYPED, [], [
      ...["Tab", "Enter", "Tab", "Tab", "no document, {}", "Tab", "Enter"],
    ]);
    return [
      ...typedChecked(typed),
      ...casesChecked(cases, light),
      ...pageChecked(folder, light, dark, sent),
      ...axeChecked(light, dark, pages),
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const AXE = `await axe.run(document, { preload: false }).then(({ violations, passes }) => ({
  passes: passes.length,
  violations: violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => id + " at " + target.join(" "))),
}))`;

function axe(): string {
  return `${readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")};\n`;
}

function driving(cases: readonly PageCase[]): string {
  const given = cases.map(({ files, by }) => ({ files, by }));
  return `${axe()}(async () => ({ ...await (${DRIVE})(${JSON.stringify(given)}), ...${AXE} }))()`;
}

async function writeSite(folder: string): Promise<void> {
  const { files, copies, groups } = renderSite(ROOT, listMarkdown(ROOT));
  for (const [path, text] of [...files, ...await renderInspector(ROOT, groups)]) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  for (const { from, to } of copies) {
    mkdirSync(dirname(join(folder, to)), { recursive: true });
    cpSync(join(ROOT, from), join(folder, to));
  }
  cpSync(join(ROOT, "site/style.css"), join(folder, "style.css"));
}

async function makeCases(): Promise<readonly PageCase[]> {
  const nsm = await SoftwareNsm.create({ documentForm: "definite" });
  const document = new Uint8Array(await nsm.attest({ nonce: text("a nonce") }));
  const pem = `-----BEGIN CERTIFICATE-----\n${encode(nsm.root)}\n-----END CERTIFICATE-----\n`;
  const root = ["root.pem", encode(text(pem))] as const;
  const [image = new Uint8Array(), large = new Uint8Array(), broken = new Uint8Array()] = await makeImages();
  const [policy = "", loose = ""] = makePolicies();
  const pcrs = JSON.stringify({ Measurements: { HashAlgorithm: "Sha384 { ... }", PCR0: nsm.pcr(0) } });
  const own = makeKeyPolicy({
    images: [{ pcr0: nsm.pcr(0) }],
    role: "arn:aws:iam::111122223333:role/enclave",
    administrators: ["arn:aws:iam::111122223333:role/key-admin"],
  });
  const passed = /All checks that were asked for passed/;
  return [
    {
      name: "a good document, its PCR file and a policy of it",
      files: [root, [ATTACK, encode(document)], ["pcrs.json", encode(text(pcrs))], [
        "p.json",
        encode(text(own)),
      ]],
      shows: [
        passed,
        /as text: "a nonce"/,
        /PCR\s+passed/,
        /PCR0\s+same/,
        /The gate passes it/,
        /lets .* decrypt/,
      ],
    },
    ...badDocuments(document).map(({ check, bytes }): PageCase => ({
      name: `a bad document: ${check}`,
      files: [root, ["bad", encode(bytes)]],
      shows: [new RegExp(`NOT verified: ${check}\\.`), new RegExp(`${check}\\s+failed`)],
    })),
    {
      name: "pasted base64, without its root",
      files: [["", encode(text(encode(document)))]],
      by: "paste",
      shows: [
        /NOT verified: ROOT\./,
        /ROOT\s+failed/,
        /SIGNATURE\s+not reached/,
        /verify pasted-1 --at document/,
      ],
    },
    {
      name: "images that are dropped, and a broken one",
      files: [["a.eif", encode(image)], ["b.eif", encode(large)], ["c.eif", encode(broken)]],
      by: "drop",
      shows: [
        /Enclave image: a\.eif/,
        /PCR0\s+DIFFERENT/,
        /image describe b\.eif/,
        /Not read: c\.eif/,
        /ERR_IMAGE/,
      ],
    },
    {
      name: "policies",
      files: [["good.json", encode(text(policy))], ["loose.json", encode(text(loose))]],
      shows: [/The gate passes it/, /It is not judged/, /key-policy gate good\.json --role/],
    },
    ...genuineCases(passed),
  ];
}

function genuineCases(passed: RegExp): PageCase[] {
  if (!HAS_VECTORS) return [];
  const signed = (["attestation-production.cbor", "attestation-2026-04.cbor"] as const).map((
    name,
  ): PageCase => ({
    name: `a genuine document, ${name}`,
    files: [[name, encode(readVector(name))]],
    shows: [passed, /CN=aws\.nitro-enclaves/, /ROOT\s+passed/],
  }));
  return signed.concat({
    name: "a genuine document of debug mode",
    files: [["debug", encode(readVector("attestation-debug.cbor"))]],
    shows: [/NOT verified: DEBUG\./, /DEBUG MODE: PCR0 to PCR2 are zero/],
  });
}

function typedChecked({ value }: PageVisit): PageCheck[] {
  return [["the inspector: its text is reached, and inspected, by the keyboard alone", () => {
    assert.match(String(value), /^add: Not read: pasted-1\s+✗\s+An attestation document is raw CBOR/);
  }]];
}

function casesChecked(cases: readonly PageCase[], { value }: PageVisit): PageCheck[] {
  const driven = value as Driven | undefined;
  return cases.map(({ name, shows }, i) => [`the inspector, ${name}`, () => {
    const shown = driven?.shown[i] ?? "";
    for (const expected of shows) assert.match(shown, expected);
  }]);
}

function pageChecked(folder: string, light: PageVisit, dark: PageVisit, sent: PageVisit): PageCheck[] {
  const own = pathToFileURL(folder).href;
  return [
    ["the inspector: works from a file, asks for nothing, and breaks no policy", () => {
      assert.deepEqual(light.requested.map((url) => url.replace(`${own}/`, "")).sort(), [
        "inspector.html",
        "inspector.js",
        "style.css",
      ]);
      assert.deepEqual(light.messages, []);
    }],
    ["the inspector: its policy stops what would send something", () => {
      assert.equal(sent.value, "refused");
      assert.ok(sent.messages.some((message) => message.includes("Content Security Policy")));
    }],
    ["the inspector: takes no name for HTML", () => {
      const { title, images, scripts } = light.value as Driven;
      assert.deepEqual([title, images, scripts], ["Inspector · enclave-kms", 0, 1]);
    }],
    ["the inspector: is dark where that is preferred, and no wider than a phone", () => {
      assert.equal((light.value as Driven).back, "rgb(255, 255, 255)");
      assert.equal((dark.value as Driven).back, "rgb(20, 24, 29)");
      assert.ok((dark.value as Driven).wide <= 0, `${(dark.value as Driven).wide} px too wide`);
    }],
  ];
}

function axeChecked(light: PageVisit, dark: PageVisit, pages: readonly PageVisit[]): PageCheck[] {
  const visits: readonly (readonly [string, PageVisit | undefined])[] = [
    ["the inspector, light", light],
    ["the inspector, dark, on a phone", dark],
    ["a page of the documents, light", pages[0]],
    ["a page of the documents, dark", pages[1]],
  ];
  return visits.map(([name, visit]) => [`axe finds nothing: ${name}`, () => {
    const { violations, passes } = visit?.value as Driven;
    assert.deepEqual(violations, []);
    assert.ok(passes > 15, `${passes} rules`);
  }]);
}

function text(value: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(value);
}

function encode(data: Uint8Array | string): string {
  return Buffer.from(data as Uint8Array).toString("base64");
}
