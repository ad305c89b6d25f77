import type { FuzzTarget } from "../target.ts";
import { cose, der, nsm, verification } from "./attestation.ts";
import { cms } from "./cms.ts";
import { encoding } from "./encoding.ts";
import { refusal, reply } from "./kms_answers.ts";
import { message } from "./message.ts";
import { body, http, kmstool } from "./server.ts";
import { wasm } from "./wasm.ts";

/**
 * Every reader of ours that is given bytes by others, and how many of a million runs it gets: by its speed.
 */
export const TARGETS: ReadonlyMap<FuzzTarget, number> = new Map([
  [cms, 240_000],
  [cose, 30_000],
  [verification, 5000],
  [der, 120_000],
  [nsm, 120_000],
  [message, 15_000],
  [kmstool, 50_000],
  [reply, 120_000],
  [refusal, 80_000],
  [body, 90_000],
  [http, 10_000],
  [wasm, 60_000],
  [encoding, 60_000],
]);
