import { CHUNKED_REQUEST_TYPE, CHUNKED_RESPONSE_TYPE } from "../../lib/wire/answer_chunks.ts";
import { SEALED_REQUEST_TYPE, SEALED_RESPONSE_TYPE } from "../../lib/wire/oblivious_http.ts";
import { SEALED_PATH } from "../../lib/wire/sealed_fields.ts";
import type { JsonObject } from "../json.ts";
import { problemFor } from "../openapi.ts";
import type { BuiltInRoute } from "./built_in_route.ts";

const BYTES: JsonObject = { type: "string", format: "binary" };

/** Route that takes sealed requests, and has the application serve what is inside; see `SealedChannel`. */
export const SEALED: BuiltInRoute = {
  name: "sealed",
  method: "post",
  paths: [SEALED_PATH],
  operation: "Sealed",
  document: {
    operationId: "sealed",
    summary:
      "A request to any of these routes, sealed to a key of this boot (RFC 9458, 9292), and its answer",
    requestBody: {
      required: true,
      content: { [SEALED_REQUEST_TYPE]: { schema: BYTES }, [CHUNKED_REQUEST_TYPE]: { schema: BYTES } },
    },
    responses: {
      200: {
        description: "The answer, sealed to the request, in the request's form: in one piece, or in chunks",
        content: { [SEALED_RESPONSE_TYPE]: { schema: BYTES }, [CHUNKED_RESPONSE_TYPE]: { schema: BYTES } },
      },
      400: problemFor("No key of this enclave opens it (`ERR_SEALED_KEY`): ask for a new document"),
      413: problemFor("The body is too large"),
      415: problemFor("The body has another type"),
    },
  },
  handlers: ({ sealed }, app) =>
    sealed === undefined ? [] : [sealed.route((request, bindings) => app.fetch(request, bindings))],
};
