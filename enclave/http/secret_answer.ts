import type { Context, TypedResponse } from "hono";
import type { SecretBytes } from "../../lib/core/secret_bytes.ts";
import { joinBase64 } from "../../lib/core/secret_json.ts";
import { oneChunk } from "./one_chunk.ts";

/**
 * Answers with a JSON object that has one secret in it, in base64. The secret is never a JavaScript string, and the
 * listener wipes the body once it is sent.
 *
 * @param c Context of the request
 * @param secret Name of the secret's member, and its bytes
 * @param rest Other members
 */
export function secretAnswer<Answer>(
  c: Context,
  [name, { bytes }]: readonly [name: keyof Answer & string, secret: SecretBytes],
  rest: Readonly<Record<string, string>> = {},
): TypedResponse<Answer, 200, "json"> {
  const tail = JSON.stringify(rest).slice(1);
  const body = joinBase64(`{"${name}":"`, bytes, tail === "}" ? '"}' : `",${tail}`);
  const answer = c.body(oneChunk(body), 200, { "content-type": "application/json" });
  return answer as unknown as TypedResponse<Answer, 200, "json">;
}
