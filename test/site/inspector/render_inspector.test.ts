import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { listMarkdown } from "../../../site/list_markdown.ts";
import { renderInspector } from "../../../site/render_inspector.ts";
import { renderSite } from "../../../site/render_site.ts";
import { sourceFiles } from "../../support/source_files.ts";
import { describe, test } from "#test";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const MAX_BYTES = 250_000;

describe("the inspector's page", () => {
  test("has one script, connects to nothing, and weighs at most 250 kB", async () => {
    const files = await renderInspector(ROOT, renderSite(ROOT, listMarkdown(ROOT)).groups);
    assert.deepEqual([...files.keys()], ["inspector.html", "inspector.js"]);
    const [html = "", script = ""] = files.values();
    const policy =
      "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'";
    assert.ok(html.includes(`<meta http-equiv="content-security-policy" content="${policy}">`));
    assert.deepEqual(html.match(/<script\b[^>]*>/g), ['<script src="./inspector.js" defer>']);
    assert.doesNotMatch(html, /<form\b|\son\w+=|\sstyle=/);
    assert.ok(script.startsWith('"use strict";(()=>{'), script.slice(0, 40));
    const style = readFileSync(`${ROOT}/site/style.css`, "utf8");
    const bytes = new TextEncoder().encode(html + script + style).length;
    assert.ok(bytes > 20_000 && bytes <= MAX_BYTES, `${bytes} bytes`);
  });

  test("has no way to put HTML into the page, or to send anything", () => {
    const sources = sourceFiles().filter((file) => file.startsWith("site/inspector/"));
    assert.ok(sources.length > 8);
    for (const file of sources) {
      const source = readFileSync(`${ROOT}/${file}`, "utf8");
      assert.doesNotMatch(
        source,
        /innerHTML|outerHTML|insertAdjacent|document\.write|\bfetch\(|XMLHttp|WebSocket|sendBeacon|localStorage|\beval\(/,
        file,
      );
    }
  });
});
