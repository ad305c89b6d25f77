import type { Context } from "hono";
import type { SecretReceipt } from "../../lib/wire/secret_receipt.ts";
import { requireChannel } from "../channels/require_channel.ts";
import type { HttpEnv } from "../http/http_env.ts";
import { answerOf, objectSchema, PROBLEMS } from "../openapi.ts";
import { refusalReceipt } from "../secrets/refusal_receipt.ts";
import type { BuiltInRoute } from "./built_in_route.ts";

const RECEIPT = objectSchema({ ok: { type: "boolean" } });

/**
 * Route that takes a secret past the parent: over a channel that ends in this boot of the enclave, whose keys its
 * attestation document vouches for. The policy is not asked: the secret's pins decide.
 */
export const SECRET: BuiltInRoute = {
  name: "secret",
  method: "post",
  paths: ["/v1/secrets/:name"],
  operation: "Secret",
  document: {
    operationId: "takeSecret",
    summary: "Takes a declared secret, sealed to this boot or over TLS that ends inside; answers a receipt",
    parameters: [{ name: "name", in: "path", required: true, schema: { type: "string" } }],
    requestBody: {
      required: true,
      content: { "application/octet-stream": { schema: { type: "string", format: "binary" } } },
    },
    responses: {
      200: answerOf("It was taken", RECEIPT),
      409: answerOf("It was refused; the receipt says why", RECEIPT),
      ...PROBLEMS,
    },
  },
  handlers: ({ takeSecret }) =>
    takeSecret === undefined ? [] : [
      requireChannel("sealed", "tls"),
      async (c) => {
        const receipt = await receive(c, takeSecret);
        return c.json(receipt, receipt.ok ? 200 : 409);
      },
    ],
};

async function receive(
  c: Context<HttpEnv>,
  take: (name: string, content: Uint8Array) => Promise<SecretReceipt>,
): Promise<SecretReceipt> {
  const content = new Uint8Array(await c.req.arrayBuffer());
  try {
    return await take(c.req.param("name") ?? "", content);
  } catch (error) {
    return refusalReceipt(error);
  } finally {
    content.fill(0);
  }
}
