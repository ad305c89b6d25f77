import { type EngineName, KmsClient, type KmsClientOptions } from "../../mod.ts";
import { NsmSocket } from "../../lib/nsm/nsm_socket.ts";
import type { Parts, RoundTripMs, Sample, Setting } from "../setting.ts";
import type { Path } from "./path.ts";
import { isRight } from "./plaintext.ts";

/** Long enough that only what hangs runs into it. */
const TIMEOUT_MS = 60_000;

/** Opens a client that stays, as in a service. `sdk-client` makes everything anew for each call even so. */
export async function openClient(
  engine: EngineName,
  setting: Setting,
  parts: Parts,
  roundTripMs: RoundTripMs,
): Promise<Path> {
  const client = await KmsClient.open(clientOptions(engine, setting, parts, roundTripMs));
  return {
    async decrypt(sample: Sample) {
      using plaintext = await client.decrypt({ ciphertext: sample.ciphertext });
      return isRight(plaintext.bytes, sample);
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

/** Makes the options of a client of this library. */
export function clientOptions(
  engine: EngineName,
  { region, credentials, kms, trustedCertificates, nsmSocket }: Setting,
  { sdkLibrary, hasDevice }: Parts,
  roundTripMs: RoundTripMs,
): KmsClientOptions {
  return {
    region,
    credentials,
    engine,
    endpoint: kms[roundTripMs],
    trustedCertificates,
    timeoutMs: engine === "sdk-client" ? SDK_CLIENT_TIMEOUT_MS : TIMEOUT_MS,
    ...(engine === "direct" ? {} : { library: sdkLibrary }),
    ...(hasDevice ? {} : { nsm: new NsmSocket(nsmSocket) }),
  };
}

/** The real C client may hang for good. */
const SDK_CLIENT_TIMEOUT_MS = 8_000;
