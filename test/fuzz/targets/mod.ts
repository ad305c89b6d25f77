import type { FuzzTarget } from "../target.ts";
import { identity } from "./age_identity.ts";
import { cose, der, nsm, verification } from "./attestation.ts";
import { answer, signature } from "./boot.ts";
import { certificate } from "./certificate.ts";
import { hello } from "./client_hello.ts";
import { cms } from "./cms.ts";
import { encoding } from "./encoding.ts";
import { imds, secretJson } from "./imds.ts";
import { image, summary } from "./images.ts";
import { policy } from "./key_policies.ts";
import { refusal, reply } from "./kms_answers.ts";
import { kmstoolReply } from "./kmstool_reply.ts";
import { message } from "./message.ts";
import { metrics } from "./metrics.ts";
import { nitro } from "./nitro.ts";
import { body, http, kmstool } from "./server.ts";
import { s3 } from "./s3_refusal.ts";
import { age, secret } from "./secrets.ts";
import { bhttp, sealed } from "./sealed_http.ts";
import { token } from "./token.ts";
import { wasm } from "./wasm.ts";

/**
 * Every reader of ours that is given bytes by others, and how many of a million runs it gets: by its speed.
 */
export const TARGETS: ReadonlyMap<FuzzTarget, number> = new Map([
  [cms, 240_000],
  [cose, 30_000],
  [verification, 5000],
  [signature, 40_000],
  [answer, 40_000],
  [der, 120_000],
  [certificate, 60_000],
  [nsm, 120_000],
  [message, 15_000],
  [kmstool, 50_000],
  [kmstoolReply, 60_000],
  [reply, 120_000],
  [refusal, 80_000],
  [body, 90_000],
  [http, 10_000],
  [wasm, 60_000],
  [encoding, 60_000],
  [token, 60_000],
  [bhttp, 60_000],
  [sealed, 3000],
  [hello, 80_000],
  [s3, 60_000],
  [imds, 60_000],
  [identity, 60_000],
  [secretJson, 60_000],
  [secret, 60_000],
  [age, 20_000],
  [nitro, 60_000],
  [metrics, 60_000],
  [image, 40_000],
  [summary, 60_000],
  [policy, 60_000],
]);
