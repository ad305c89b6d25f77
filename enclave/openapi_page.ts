/**
 * The OpenAPI document of an application as a page: HTML without a script, made once from the document. Every text of the
 * document is escaped, whoever wrote it, and the page loads nothing at all.
 *
 * @module
 */
import { html, raw } from "hono/html";
import { createHash } from "node:crypto";
import type { JsonObject, JsonValue } from "./json.ts";
import type { OpenApiDocument } from "./openapi.ts";

/** Piece of a page, escaped. */
type Piece = ReturnType<typeof html>;

/** Methods of operations, in the order in which they are shown. */
const METHODS: readonly string[] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

const STYLE = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:0 auto;padding:1rem}
h1{margin-bottom:0}
section{border-top:1px solid #8886;padding:.5rem 0}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{overflow:auto;padding:.5rem;background:#8881;border-radius:4px;margin:.25rem 0}
.method{display:inline-block;min-width:4.5em;font-weight:600;text-transform:uppercase}
dt{margin-top:.5rem;font-weight:600}
dd{margin-left:1rem}`;

/**
 * Policy of the page: no script, and nothing loaded from anywhere. Its only style is named by its hash.
 */
export const PAGE_POLICY: string = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`,
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join("; ");

/**
 * Shows a document as a page.
 *
 * @param document Document of an application
 * @returns HTML, whole
 */
export async function renderOpenApiPage(document: OpenApiDocument): Promise<string> {
  const title = textOf(document.info["title"], "API");
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    METHODS.filter((method) => Object.hasOwn(methods, method)).map((method) =>
      operationPiece(path, method, methods[method] ?? {})
    )
  );
  const { schemas = {} } = document.components;
  const page = html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width">
        <title>${title}</title>
        <style>${raw(STYLE)}</style>
      </head>
      <body>
    <h1>${title}</h1>
    <p>Version ${textOf(document.info["version"], "unknown")}, in OpenAPI ${document.openapi}</p>
    ${paragraph(document.info["description"])}
    <h2>Operations</h2>
    ${operations}
    <h2>Schemas</h2>
    ${Object.entries(isObject(schemas) ? schemas : {}).map(([name, schema]) => schemaPiece(name, schema))}
      </body>
    </html>
  `;
  return String(await page).trimStart();
}

function operationPiece(path: string, method: string, operation: JsonObject): Piece {
  const { summary, description, parameters, requestBody, responses, deprecated } = operation;
  return html`
    <section>
    <h3><span class="method">${method}</span> <code>${path}</code></h3>
    ${deprecated === true ? html`<p><strong>Deprecated</strong></p>` : ""}
    ${paragraph(summary)}
    ${paragraph(description)}
    ${part("Parameters", parameters)}
    ${part("Body", requestBody)}
    ${responses === undefined ? "" : html`
      <details>
        <summary>Answers</summary>
        <dl>${Object.entries(isObject(responses) ? responses : {}).map(answerPiece)}</dl>
      </details>
    `}
    </section>
  `;
}

function answerPiece([status, answer]: readonly [string, JsonValue]): Piece {
  const { description, ...rest } = isObject(answer) ? answer : {};
  const more = Object.keys(rest).length === 0 ? "" : html`<pre>${jsonPiece(rest)}</pre>`;
  return html`
    <dt>${status}</dt>
    <dd>${textOf(description, "")}${more}</dd>
  `;
}

function schemaPiece(name: string, schema: JsonValue): Piece {
  return html`
    <section id="schema-${name}">
      <h3><code>${name}</code></h3>
      <pre>${jsonPiece(schema)}</pre>
    </section>
  `;
}

function part(name: string, value: JsonValue | undefined): Piece | "" {
  if (value === undefined) return "";
  return html`
    <details>
      <summary>${name}</summary>
      <pre>${jsonPiece(value)}</pre>
    </details>
  `;
}

/** Shows JSON with its references to schemas as links within the page. */
function jsonPiece(value: JsonValue): readonly (Piece | string)[] {
  const text = JSON.stringify(value, undefined, 2) ?? "";
  const pieces: (Piece | string)[] = [];
  let shownTo = 0;
  for (const match of text.matchAll(/"#\/components\/schemas\/([\w.-]+)"/g)) {
    pieces.push(text.slice(shownTo, match.index), html`<a href="#schema-${match[1] ?? ""}">${match[0]}</a>`);
    shownTo = match.index + match[0].length;
  }
  return [...pieces, text.slice(shownTo)];
}

function paragraph(text: JsonValue | undefined): Piece | "" {
  return typeof text === "string" && text !== "" ? html`<p>${text}</p>` : "";
}

function textOf(value: JsonValue | undefined, otherwise: string): string {
  return typeof value === "string" ? value : otherwise;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
