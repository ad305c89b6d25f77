/**
 * The page that shows the OpenAPI document, in Chromium: its style applies, it loads nothing, and a document that attacks
 * it is shown as text.
 *
 * @module
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { joinOpenApi } from "../../enclave/openapi.ts";
import { PAGE_POLICY, renderOpenApiPage } from "../../enclave/openapi_page.ts";
import { inChromium } from "./chromium.ts";
import { type PageVisit, visitPage } from "./devtools.ts";

const ATTACK = `'"></pre></style></title><script>document.body.id = "hacked"</script>` +
  `<img src="/image" onerror="document.body.id = 'hacked'"><style>h1 { width: 1px }</style>`;

/** Looks at what the page has become. */
const LOOK = `({
  id: document.body.id,
  scripts: document.scripts.length,
  images: document.images.length,
  title: document.title,
  maxWidth: getComputedStyle(document.body).maxWidth,
  shown: document.querySelector("section code").textContent,
  details: document.querySelectorAll("details").length,
})`;

/** Checks by name. */
export type PageCheck = readonly [name: string, check: () => void];

/**
 * Visits the page in Chromium, as it is served and with what its escaping prevents.
 *
 * @param program Debian's is `chromium`
 * @returns Checks of what came of it
 */
export async function checkOpenApiPage(program: string): Promise<readonly PageCheck[]> {
  const document = joinOpenApi({ title: ATTACK, version: "1" }, [{
    paths: { "/attack": { get: { summary: ATTACK, responses: { 200: { description: ATTACK } } } } },
    schemas: { Attack: { description: ATTACK } },
  }]);
  const page = await renderOpenApiPage(document);
  const unescaped = page.replace("<h2>", `${ATTACK}<h2>`);
  const shown = await visit(program, page);
  const attacked = await visit(program, unescaped);
  return [
    ["the OpenAPI page: its style applies, and it has no script and no image", () => {
      assert.deepEqual(shown.value, {
        ...{ id: "", scripts: 0, images: 0, title: ATTACK, maxWidth: "960px", shown: "/attack", details: 1 },
      });
    }],
    ["the OpenAPI page: it asks for nothing, and breaks no policy", () => {
      const [own = "", ...others] = shown.requested.filter((url) => !url.endsWith("/favicon.ico"));
      assert.match(own, /\/openapi\.html$/);
      assert.deepEqual([others, shown.messages.filter((text) => !text.includes("favicon"))], [[], []]);
    }],
    ["the OpenAPI page: its policy stops what escaping should have", () => {
      const { id, scripts, images } = attacked.value as Record<string, unknown>;
      assert.deepEqual([id, scripts, images], ["", 1, 1]);
      assert.ok(attacked.messages.some((text) => text.includes("Content Security Policy")));
      assert.ok(attacked.served.includes("/openapi.html") && !attacked.served.includes("/image"));
    }],
  ];
}

async function visit(
  program: string,
  page: string,
): Promise<PageVisit & { readonly served: readonly string[] }> {
  const served: string[] = [];
  const headers = { "content-type": "text/html; charset=utf-8", "content-security-policy": PAGE_POLICY };
  const server = createServer((request, response) => {
    served.push(request.url ?? "");
    if (request.url === "/openapi.html") response.writeHead(200, headers).end(page);
    else response.writeHead(404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/openapi.html`;
    const visited = await inChromium(program, [], (browser) => visitPage(browser, url, LOOK));
    return { ...visited, served };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
