import {
  type BinaryResponse,
  decodeBinaryResponse,
  encodeBinaryRequest,
  type FieldLine,
} from "../../../lib/wire/binary_http.ts";
import {
  type KeyConfig,
  readKeyConfig,
  SEALED_REQUEST_TYPE,
  type SealedRequest,
  sealRequest,
} from "../../../lib/wire/oblivious_http.ts";
import { BOOT_ID_FIELD, SEALED_PATH } from "../../../lib/wire/sealed_fields.ts";

/** Parts of a request in these tests. */
export interface TestRequest {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: readonly FieldLine[];
  readonly content?: Uint8Array;
  readonly dateMs?: number;
  readonly bootId: string;
}

/** Headers that a sealed request must have. */
export function ownFields({ dateMs = Date.now(), bootId }: TestRequest): FieldLine[] {
  return [["date", new Date(dateMs).toUTCString()], [BOOT_ID_FIELD, bootId]];
}

/** Seals a request by hand. */
export async function sealTest(config: Uint8Array | KeyConfig, request: TestRequest): Promise<SealedRequest> {
  const { method = "GET", path = "/echo", headers = [], content = new Uint8Array(0) } = request;
  const fields = [...ownFields(request), ...headers];
  const message = encodeBinaryRequest({
    method,
    scheme: "https",
    authority: "enclave",
    path,
    headers: fields,
    content,
  });
  return await sealRequest(config instanceof Uint8Array ? readKeyConfig(config) : config, message);
}

/** Something that answers as `app.fetch` does. */
export type TestFetch = (request: Request) => Response | Promise<Response>;

/** Posts an encapsulated request. */
export async function postSealed(fetch: TestFetch, message: Uint8Array<ArrayBuffer>): Promise<Response> {
  return await fetch(
    new Request(`http://enclave${SEALED_PATH}`, {
      method: "POST",
      headers: { "content-type": SEALED_REQUEST_TYPE },
      body: message,
    }),
  );
}

/** Asks, and opens the answer. */
export async function askSealed(
  fetch: TestFetch,
  config: Uint8Array,
  request: TestRequest,
): Promise<BinaryResponse> {
  const sealed = await sealTest(config, request);
  return await openTest(sealed, await postSealed(fetch, sealed.message));
}

/** Opens an answer. */
export async function openTest(sealed: SealedRequest, answer: Response): Promise<BinaryResponse> {
  return decodeBinaryResponse(await sealed.openAnswer(new Uint8Array(await answer.arrayBuffer())));
}

/** Reads the body of an answer as JSON. */
export function jsonOf({ content }: BinaryResponse): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(content));
}
