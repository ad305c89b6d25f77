import { PAGE_POLICY, renderOpenApiPage } from "../openapi_page.ts";
import type { BuiltInRoute } from "./built_in_route.ts";

/** Headers of the page beside its type: it loads nothing, and nobody frames it or learns of it. */
const HEADERS: Readonly<Record<string, string>> = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": PAGE_POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

/** Route of a page that shows the OpenAPI document, off until it is switched on. */
export const PAGE: BuiltInRoute = {
  name: "page",
  method: "get",
  paths: ["/openapi.html"],
  operation: "OpenApiPage",
  document: {
    operationId: "openapiPage",
    summary: "This document, as a page",
    responses: { 200: { description: "HTML", content: { "text/html": { schema: { type: "string" } } } } },
  },
  handlers: ({ document }) => {
    let page: Promise<string> | undefined;
    return [async (c) => c.body(await (page ??= renderOpenApiPage(document)), 200, { ...HEADERS })];
  },
};
