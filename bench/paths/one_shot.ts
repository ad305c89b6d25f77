import { type EngineName, kmsDecrypt } from "../../mod.ts";
import type { Parts, RoundTripMs, Sample, Setting } from "../setting.ts";
import { clientOptions } from "./client.ts";
import type { Path } from "./path.ts";
import { isRight } from "./plaintext.ts";

/** Opens a path that makes key pair, attestation document and connection anew for each call. */
export function openOneShot(
  engine: EngineName,
  setting: Setting,
  parts: Parts,
  roundTripMs: RoundTripMs,
): Promise<Path> {
  const options = clientOptions(engine, setting, parts, roundTripMs);
  return Promise.resolve({
    async decrypt(sample: Sample) {
      using plaintext = await kmsDecrypt({ ...options, ciphertext: sample.ciphertext });
      return isRight(plaintext.bytes, sample);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}
