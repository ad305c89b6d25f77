import { type Context, Hono, type MiddlewareHandler, type TypedResponse } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { validator } from "hono/validator";
import { encodeBase64 } from "../lib/core/encoding.ts";
import type { GenerateRandomRequest } from "../lib/kms/operations/generate_random.ts";
import type { SecretBytes } from "../lib/core/secret_bytes.ts";
import { joinBase64 } from "../lib/core/secret_json.ts";
import { findMediaProblem } from "../enclave/http/media.ts";
import type { Operation } from "../enclave/actions.ts";
import { oneChunk } from "../enclave/http/one_chunk.ts";
import { OPENAPI_DOCUMENT, type OpenApiDocument } from "./openapi.ts";
import { outcomeOf, type Problem, problem, PROBLEM_TYPE, problemOf } from "../enclave/http/problem.ts";
import { type RequestLog, RequestRecord } from "../enclave/telemetry/request_record.ts";
import {
  attestationQuery,
  dataKeyBody,
  dataKeyPairBody,
  decodeNonce,
  decryptBody,
  encryptBody,
  parse,
  parseCredentials,
  randomBody,
  sharedSecretBody,
} from "./schemas.ts";
import { MAX_BODY_BYTES } from "../enclave/http/read_body.ts";
import type { EnclaveService, Readiness } from "../enclave/service.ts";

/** What the listener says of a request, and the app notes of it. */
export interface HttpEnv {
  /** Given to `app.fetch` beside the request. */
  Bindings: {
    /** Of the caller. */
    cid: number;
    /** Aborts when the caller goes away. */
    gone?: AbortSignal;
    /** Identifies the connection that the request came over. */
    connection?: object;
    /** Whether the listener has read the body, within its limit. */
    hasWholeBody?: boolean;
  };
  /** Set on the way. */
  Variables: {
    /** Of the request. */
    record: RequestRecord;
  };
}

/** What the app is made of. */
export interface AppParts extends RequestLog {
  /** Does the work. */
  readonly service: EnclaveService;
}

/** Nobody's CID: of a request that came without one. Policies know no such caller. */
const NOBODY_CID = 0xffff_ffff;

const RETRY_AFTER_SECONDS = "1";

/** The paths, each with the methods it answers. */
const ALLOWED: Readonly<Record<string, string>> = {
  "/v1/decrypt": "POST",
  "/v1/encrypt": "POST",
  "/v1/generate-data-key": "POST",
  "/v1/generate-data-key-pair": "POST",
  "/v1/generate-random": "POST",
  "/v1/derive-shared-secret": "POST",
  "/v1/credentials": "POST",
  "/v1/attestation": "GET",
  "/healthz": "GET",
  "/readyz": "GET",
  "/metrics": "GET",
  "/openapi.json": "GET",
};

/** The routes with their types, for Hono's typed client: `hc<AppType>("http://enclave")`. */
export type AppType = ReturnType<typeof makeRoutes>;

/**
 * The HTTP side of the server, without a socket.
 *
 * @param parts What it is made of
 */
export function createApp(parts: AppParts): AppType {
  const app = new Hono<HttpEnv>();
  app.use(keepRecord(parts));
  app.onError((error, c) => answerProblem(c, toProblem(error, c.var.record.id)));
  app.notFound((c) => answerProblem(c, problem(404, "ERR_NOT_FOUND", c.var.record.id)));
  const routes = makeRoutes(app, parts.service, parts.metrics);
  for (const [path, allow] of Object.entries(ALLOWED)) {
    app.all(path, (c) => {
      c.header("allow", allow);
      return answerProblem(c, problem(405, "ERR_METHOD_NOT_ALLOWED", c.var.record.id));
    });
  }
  return routes;
}

// No return type: Hono's client gets its types from what is inferred here.
function makeRoutes(app: Hono<HttpEnv>, service: EnclaveService, metrics: RequestLog["metrics"]) {
  return app
    .post("/v1/decrypt", as("Decrypt"), ...BODY, json((input) => parse(decryptBody, input)), async (c) => {
      const { dryRun, ...request } = c.req.valid("json");
      if (dryRun === true) {
        await service.dryRun("decrypt", request, service.scope, c.var.record);
        return c.body(null, 204);
      }
      using plaintext = await service.run("decrypt", request, service.scope, c.var.record);
      return secretAnswer<{ plaintext: string }>(c, ["plaintext", plaintext]);
    })
    .post("/v1/encrypt", as("Encrypt"), ...BODY, json((input) => parse(encryptBody, input)), async (c) => {
      const { dryRun, ...request } = c.req.valid("json");
      if (dryRun === true) {
        await service.dryRun("encrypt", request, service.scope, c.var.record);
        return c.body(null, 204);
      }
      const { ciphertext, keyId } = await service.run("encrypt", request, service.scope, c.var.record);
      return c.json({ ciphertext: encodeBase64(ciphertext), keyId }, 200);
    })
    .post(
      "/v1/generate-data-key",
      as("GenerateDataKey"),
      ...BODY,
      json((input) => parse(dataKeyBody, input)),
      async (c) => {
        const { dryRun, ...request } = c.req.valid("json");
        if (dryRun === true) {
          await service.dryRun("generateDataKey", request, service.scope, c.var.record);
          return c.body(null, 204);
        }
        using dataKey = await service.run("generateDataKey", request, service.scope, c.var.record);
        const { plaintext, ciphertext, keyId } = dataKey;
        const rest = { ciphertext: encodeBase64(ciphertext), keyId };
        return secretAnswer<{ plaintext: string; ciphertext: string; keyId: string }>(c, [
          "plaintext",
          plaintext,
        ], rest);
      },
    )
    .post(
      "/v1/generate-data-key-pair",
      as("GenerateDataKeyPair"),
      ...BODY,
      json((input) => parse(dataKeyPairBody, input)),
      async (c) => {
        const { dryRun, ...request } = c.req.valid("json");
        if (dryRun === true) {
          await service.dryRun("generateDataKeyPair", request, service.scope, c.var.record);
          return c.body(null, 204);
        }
        using pair = await service.run("generateDataKeyPair", request, service.scope, c.var.record);
        const { privateKey, privateKeyCiphertext, publicKey, keyPairSpec, keyId } = pair;
        const rest = {
          privateKeyCiphertext: encodeBase64(privateKeyCiphertext),
          publicKey: encodeBase64(publicKey),
          keyPairSpec,
          keyId,
        };
        return secretAnswer<{ privateKey: string } & typeof rest>(c, ["privateKey", privateKey], rest);
      },
    )
    .post(
      "/v1/generate-random",
      as("GenerateRandom"),
      ...BODY,
      json((input) => parse(randomBody, input)),
      async (c) => {
        const request: GenerateRandomRequest = c.req.valid("json");
        using random = await service.run("generateRandom", request, service.scope, c.var.record);
        return secretAnswer<{ random: string }>(c, ["random", random]);
      },
    )
    .post(
      "/v1/derive-shared-secret",
      as("DeriveSharedSecret"),
      ...BODY,
      json((input) => parse(sharedSecretBody, input)),
      async (c) => {
        const { dryRun, ...request } = c.req.valid("json");
        if (dryRun === true) {
          await service.dryRun("deriveSharedSecret", request, service.scope, c.var.record);
          return c.body(null, 204);
        }
        using sharedSecret = await service.run("deriveSharedSecret", request, service.scope, c.var.record);
        return secretAnswer<{ sharedSecret: string }>(c, ["sharedSecret", sharedSecret]);
      },
    )
    .post(
      "/v1/credentials",
      as("SetCredentials"),
      ...BODY,
      json(parseCredentials),
      (c) => {
        const { region, credentials } = service.scope;
        credentials.set(
          service.acceptCredentials("SetCredentials", c.req.valid("json"), region, c.var.record),
        );
        return c.body(null, 204);
      },
    )
    .get(
      "/v1/attestation",
      as("GetAttestation"),
      validator("query", (query) => parse(attestationQuery, query)),
      async (c) => {
        const nonce = decodeNonce(c.req.valid("query"));
        return c.json({ document: encodeBase64(await service.attest(nonce, c.var.record)) }, 200);
      },
    )
    .get("/healthz", as("Health"), (c) => c.json({ status: "ok" }, 200))
    .get("/readyz", as("Ready"), async (c) => {
      const ready: Readiness = await service.readiness();
      return c.json(ready, Object.values(ready).every(Boolean) ? 200 : 503);
    })
    .get("/metrics", as("Metrics"), (c) => {
      return c.text(metrics.render(), 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
    })
    .get("/openapi.json", as("OpenApi"), (c) => c.json<OpenApiDocument, 200>(OPENAPI_DOCUMENT, 200));
}

/** An answer with one secret in it, which never is a JavaScript string on its way. */
function secretAnswer<Answer>(
  c: Context,
  [name, { bytes }]: readonly [name: keyof Answer & string, secret: SecretBytes],
  rest: Readonly<Record<string, string>> = {},
): TypedResponse<Answer, 200, "json"> {
  const tail = JSON.stringify(rest).slice(1);
  const body = joinBase64(`{"${name}":"`, bytes, tail === "}" ? '"}' : `",${tail}`);
  const answer = c.body(oneChunk(body), 200, { "content-type": "application/json" });
  return answer as unknown as TypedResponse<Answer, 200, "json">;
}

/** One line of the log for each request, also for those that no route takes. */
function keepRecord(log: RequestLog): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const record = new RequestRecord("http", c.env?.cid ?? NOBODY_CID, c.env?.gone, c.env?.connection);
    c.set("record", record);
    // Before there is an answer: afterwards each would make another one.
    c.header("x-request-id", record.id);
    c.header("cache-control", "no-store");
    await next();
    record.failure = c.error instanceof HTTPException ? undefined : c.error;
    record.finish(log, outcome(c), c.res.status);
  };
}

function outcome({ error, res }: Context<HttpEnv>): ReturnType<typeof outcomeOf> {
  if (error !== undefined && !(error instanceof HTTPException)) return outcomeOf(error);
  return res.status < 400 || res.status === 503 ? "ok" : "refused";
}

function as(operation: Operation): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    c.var.record.operation = operation;
    await next();
  };
}

const BODY: readonly [MiddlewareHandler<HttpEnv>, MiddlewareHandler<HttpEnv>] = [
  async (c, next) => {
    const wrong = findMediaProblem((name) => c.req.header(name));
    if (wrong === undefined) return await next();
    if (wrong.path === "content-encoding") c.header("accept-encoding", "identity");
    return answerProblem(c, problem(415, "ERR_MEDIA_TYPE", c.var.record.id, [wrong]));
  },
  // To ask a request for its body as a stream makes the listener build the runtime's own.
  async (c, next) => c.env?.hasWholeBody === true ? await next() : await limitBody(c, next),
];

const limitBody = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: () => {
    throw new HTTPException(413);
  },
});

const json = <T>(parseBody: (input: unknown) => T) => validator("json", (input) => parseBody(input));

/** Codes for what Hono itself turns down. */
const CODES: Readonly<Record<number, string>> = { 413: "ERR_BODY_TOO_LARGE" };

function toProblem(error: unknown, id: string): Problem {
  if (!(error instanceof HTTPException)) return problemOf(error, id);
  // With 400 Hono turns down one thing only: a body that its parser cannot read.
  const errors = error.status === 400 ? [{ path: "", expected: "JSON" }] : undefined;
  return problem(error.status, CODES[error.status] ?? "ERR_BAD_REQUEST", id, errors);
}

function answerProblem(c: Context<HttpEnv>, answer: Problem): Response {
  if (answer.status === 503) c.header("retry-after", RETRY_AFTER_SECONDS);
  c.header("content-type", PROBLEM_TYPE);
  return c.body(JSON.stringify(answer), answer.status as ContentfulStatusCode);
}
