/**
 * Documents that hono-openapi generates from an application's own routes.
 *
 * @module
 */
import assert from "node:assert/strict";
import { describeRoute, generateSpecs, resolver, validator } from "hono-openapi";
import * as v from "valibot";
import { describe, test } from "#test";
import { checkDocument } from "../../enclave/application_document.ts";
import { BadRequestError, enclaveApp, startEnclave } from "../../enclave/mod.ts";
import type { OpenApiDocument } from "../../enclave/openapi.ts";
import { createFetch } from "../../lib/transport/mod.ts";
import { startSimulator } from "../../sim/mod.ts";

const Order = v.strictObject({ amount: v.pipe(v.number(), v.minValue(1)) });
const Signed = v.strictObject({ signed: v.boolean() });

/** Application with a route that hono-openapi knows, which refuses bodies without repeating them. */
const app = enclaveApp().post(
  "/v1/orders/:id/sign",
  describeRoute({
    operationId: "signOrder",
    summary: "Signs an order",
    responses: {
      200: { description: "It is signed", content: { "application/json": { schema: resolver(Signed) } } },
    },
  }),
  validator("json", Order, ({ success }) => {
    if (!success) throw new BadRequestError([{ path: "", expected: "an order" }]);
  }),
  (c) => c.json({ signed: c.req.valid("json").amount > 0 }),
);

describe("a document of hono-openapi", () => {
  test("is joined with that of the built-in routes, and its validator guards the route", async () => {
    await using simulator = await startSimulator();
    await using enclave = await startEnclave(app, {
      name: "orders",
      signals: false,
      ungated: true,
      openapi: await generateSpecs(app, { documentation: { info: { title: "Orders", version: "2" } } }),
      nsm: { exchange: (request) => simulator.nsm.exchange(request), [Symbol.dispose]() {} },
      environment: {
        ENV_SETUP: "SIM",
        ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
        ENCLAVE_PORT: "0",
        CONTROL_PORT: "0",
        ENCLAVE_KMS_LOG_LEVEL: "silent",
      },
    });
    const fetch = createFetch(enclave.endpoint);
    const document = await (await fetch("http://enclave/openapi.json")).json() as OpenApiDocument;
    assert.equal(document.info["title"], "Orders");
    assert.ok("/healthz" in document.paths);
    const { post } = document.paths["/v1/orders/{id}/sign"] ?? {};
    assert.equal(post?.["operationId"], "signOrder");
    assert.deepEqual(post?.["requestBody"], {
      required: true,
      content: {
        "application/json": {
          schema: {
            type: "object",
            properties: { amount: { type: "number", minimum: 1 } },
            required: ["amount"],
            additionalProperties: false,
          },
        },
      },
    });
    const send = async (body: unknown) => {
      const headers = { "content-type": "application/json" };
      const init = { method: "POST", body: JSON.stringify(body), headers };
      const answer = await fetch("http://enclave/v1/orders/7/sign", init);
      return [answer.status, await answer.text()] as const;
    };
    assert.deepEqual(await send({ amount: 3 }), [200, '{"signed":true}']);
    const [status, text] = await send({ amount: "a secret" });
    assert.equal(status, 400);
    assert.ok(!text.includes("a secret"), "a refusal must not repeat what was sent");
  });

  test("is refused if a part of it would be lost, or it is of another version", () => {
    const good = { openapi: "3.1.0", paths: {} };
    assert.deepEqual(checkDocument(good), { paths: {}, schemas: undefined, components: {} });
    const wrong = [{ ...good, security: [] }, { ...good, servers: [] }, { ...good, openapi: "3.0.3" }];
    for (const document of wrong) assert.throws(() => checkDocument(document), TypeError);
    const components = { schemas: { Order: {} }, securitySchemes: { token: { type: "http" } } };
    const { schemas, components: others } = checkDocument({ ...good, components });
    assert.deepEqual([schemas, others], [{ Order: {} }, { securitySchemes: { token: { type: "http" } } }]);
  });
});
