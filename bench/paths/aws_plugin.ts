import { DecryptCommand, KMSClient } from "@aws-sdk/client-kms";
import { recipientPlugin, vsockRequestHandler } from "../../aws_sdk/mod.ts";
import { decodeBase64 } from "../../lib/core/encoding.ts";
import { NsmSocket } from "../../lib/nsm/nsm_socket.ts";
import type { Parts, RoundTripMs, Sample, Setting } from "../setting.ts";
import type { Path } from "./path.ts";
import { isRight } from "./plaintext.ts";

const TIMEOUT_MS = 60_000;

/** Opens AWS's own client of KMS with the request handler and the plug-in of `enclave-kms/aws`, as a program has it. */
export function openAwsPlugin(
  { region, credentials, kms, trustedCertificates, nsmSocket }: Setting,
  { hasDevice }: Parts,
  roundTripMs: RoundTripMs,
): Promise<Path> {
  const { host, port } = kms[roundTripMs];
  const requestHandler = vsockRequestHandler({
    endpoint: { transport: "tcp", host, port },
    trustedCertificates,
  });
  const client = new KMSClient({ region, credentials, requestHandler });
  const recipient = recipientPlugin({
    engine: "direct",
    timeoutMs: TIMEOUT_MS,
    ...(hasDevice ? {} : { nsm: new NsmSocket(nsmSocket) }),
  });
  client.middlewareStack.use(recipient);
  return Promise.resolve({
    async decrypt(sample: Sample) {
      const { Plaintext } = await client.send(
        new DecryptCommand({ CiphertextBlob: decodeBase64(sample.ciphertext) }),
      );
      const plaintext = Plaintext ?? new Uint8Array();
      try {
        return isRight(plaintext, sample);
      } finally {
        plaintext.fill(0);
      }
    },
    [Symbol.asyncDispose]() {
      client.destroy();
      recipient[Symbol.dispose]();
      return Promise.resolve();
    },
  });
}
