import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, test } from "#test";
import { enclaveApp, type RouteOptions, startEnclave } from "../../enclave/mod.ts";
import { joinOpenApi, type OpenApiDocument } from "../../enclave/openapi.ts";
import { PAGE_POLICY, renderOpenApiPage } from "../../enclave/openapi_page.ts";
import { createFetch } from "../../lib/transport/mod.ts";
import { type Simulator, startSimulator } from "../../sim/mod.ts";
import { OPENAPI_DOCUMENT } from "../../server/openapi.ts";

const ATTACK = `"'></pre></style></title><script>alert(1)</script><img src=//evil.example onerror=alert(1)>`;

/** Document with an attack in every place where a text can stand. */
function hostileDocument(): OpenApiDocument {
  const operation = {
    summary: ATTACK,
    description: ATTACK,
    parameters: [{ name: ATTACK, in: ATTACK }],
    requestBody: { content: { [ATTACK]: { schema: { $ref: `#/components/schemas/${ATTACK}` } } } },
    responses: { [ATTACK]: { description: ATTACK, content: { [ATTACK]: {} } } },
  };
  const info = { title: ATTACK, version: ATTACK, description: ATTACK };
  return joinOpenApi(info, [{
    paths: { [`/${ATTACK}`]: { post: operation } },
    schemas: { [ATTACK]: { description: ATTACK, $ref: "#/components/schemas/Problem" } },
  }]);
}

/** Lists the tags of a page, as a parser that knows nothing of comments and scripts finds them. */
function tagsOf(page: string): string[] {
  return [...page.matchAll(/<(\/?)([!a-zA-Z][^\s>]*)([^>]*)>/g)].map((
    [, close, name = "", attributes = ""],
  ) => `${close}${name.toLowerCase()}${attributes.replaceAll(/="[^"]*"/g, "=")}`);
}

const TAGS =
  /^\/?(?:html|head|title|style|body|h[123]|p|section|details|summary|pre|code|span|strong|dl|dt|dd|a)$/;

describe("renderOpenApiPage()", () => {
  test("shows every operation and schema of a document", async () => {
    const page = await renderOpenApiPage(OPENAPI_DOCUMENT);
    for (const [path, methods] of Object.entries(OPENAPI_DOCUMENT.paths)) {
      assert.ok(page.includes(`<code>${path}</code>`), path);
      for (const { summary } of Object.values(methods)) {
        const text = String(summary).replaceAll("&", "&amp;").replaceAll("'", "&#39;").replaceAll(
          '"',
          "&quot;",
        );
        assert.ok(page.includes(`<p>${text}</p>`), String(summary));
      }
    }
    assert.equal(
      [...page.matchAll(/<h3><span class="method">/g)].length,
      OPENAPI_DOCUMENT === undefined ? 0 : count(),
    );
    assert.match(page, /<a href="#schema-Problem">&quot;#\/components\/schemas\/Problem&quot;<\/a>/);
    assert.ok(page.includes('<section id="schema-Problem">'));
  });

  test("escapes whatever the document says", async () => {
    const page = await renderOpenApiPage(hostileDocument());
    const others = new Set(
      tagsOf(page).map((tag) => tag.split(/[\s/]/).filter(Boolean)[0] ?? "")
        .filter((name) => !TAGS.test(name)),
    );
    assert.deepEqual([...others], ["!doctype", "meta"]);
    assert.doesNotMatch(page, /<script|<img/i);
    assert.doesNotMatch(page, /\b(?:src|on\w+|action)="/);
    assert.ok(page.includes("&lt;script&gt;alert(1)"), "it is shown");
    const hrefs = [...page.matchAll(/href="([^"]*)"/g)].map(([, href = ""]) => href);
    assert.ok(hrefs.length > 0);
    for (const href of hrefs) assert.match(href, /^#schema-[\w.-]+$/);
  });

  test("has one style, whose hash is in the policy, and nothing else that would load", async () => {
    const page = await renderOpenApiPage(hostileDocument());
    const [style = "", ...more] = [...page.matchAll(/<style>([^]*?)<\/style>/g)].map(([, text = ""]) => text);
    assert.deepEqual(more, []);
    const hash = createHash("sha256").update(style).digest("base64");
    assert.equal(
      PAGE_POLICY,
      `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    );
    assert.doesNotMatch(page, /url\(|@import|<link|<base|http-equiv/);
  });
});

function count(): number {
  return Object.values(OPENAPI_DOCUMENT.paths).reduce((sum, methods) => sum + Object.keys(methods).length, 0);
}

describe("GET /openapi.html", () => {
  let simulator: Simulator;
  beforeAll(async () => {
    simulator = await startSimulator();
  });
  afterAll(() => simulator.close());

  async function ask(routes: RouteOptions): Promise<Response> {
    await using enclave = await startEnclave(enclaveApp(), {
      name: "test",
      signals: false,
      routes,
      nsm: { exchange: (request) => simulator.nsm.exchange(request), [Symbol.dispose]() {} },
      environment: {
        ENV_SETUP: "SIM",
        ENCLAVE_PORT: "0",
        CONTROL_PORT: "0",
        ENCLAVE_KMS_LOG_LEVEL: "silent",
      },
    });
    const answer = await createFetch(enclave.endpoint)("http://enclave/openapi.html");
    return new Response(await answer.text(), answer);
  }

  test("is not there until it is switched on", async () => {
    assert.equal((await ask({})).status, 404);
    assert.equal((await ask({ page: false })).status, 404);
    const shown = await ask({ page: true });
    assert.equal(shown.status, 200);
    assert.match(
      await shown.text(),
      /^<!doctype html>[^]*<code>\/healthz<\/code>[^]*<code>\/openapi\.html<\/code>/,
    );
  });

  test("has the policy of a page that loads nothing", async () => {
    const { headers } = await ask({ page: true });
    assert.equal(headers.get("content-type"), "text/html; charset=utf-8");
    assert.equal(headers.get("content-security-policy"), PAGE_POLICY);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("referrer-policy"), "no-referrer");
  });
});
