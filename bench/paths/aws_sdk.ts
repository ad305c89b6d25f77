import { Agent } from "node:https";
import type { LookupFunction } from "node:net";
import { DecryptCommand, KMSClient } from "@aws-sdk/client-kms";
import { NsmSocket } from "../../lib/nsm/nsm_socket.ts";
import { Deadline } from "../../lib/core/deadline.ts";
import { decodeBase64 } from "../../lib/core/encoding.ts";
import { DocumentCache } from "../../lib/kms/recipient/document_cache.ts";
import { NsmQueue } from "../../lib/nsm/nsm_queue.ts";
import { NsmRecipient } from "../../lib/kms/recipient/nsm_recipient.ts";
import { openNsm } from "../../lib/nsm/open_nsm.ts";
import { kmsHostName } from "../../lib/aws/region.ts";
import type { Parts, RoundTripMs, Sample, Setting } from "../setting.ts";
import type { Path } from "./path.ts";
import { isRight } from "./plaintext.ts";

const TIMEOUT_MS = 60_000;

/** Greatest age of a document, in milliseconds, as in a client of this library. */
const DOCUMENT_MAX_AGE_MS = 60_000;

/**
 * Opens AWS's own client of KMS. Key pair, attestation document and opening are this library's, since AWS's
 * client has none. The document is kept for a minute, as in ours.
 */
export async function openAwsSdk(
  { region, credentials, kms, trustedCertificates, nsmSocket }: Setting,
  { hasDevice }: Parts,
  roundTripMs: RoundTripMs,
): Promise<Path> {
  const nsm = hasDevice ? openNsm() : new NsmSocket(nsmSocket);
  using opening = new Deadline("make a key pair", TIMEOUT_MS);
  const recipient = await NsmRecipient.create(nsm, { owned: true }, opening);
  const documents = new DocumentCache(recipient, DOCUMENT_MAX_AGE_MS, new NsmQueue());
  const { host, port } = kms[roundTripMs];
  // The name is KMS's, so that its certificate is checked; only where it leads to is another place.
  const lookup =
    ((_name, _options, callback) => callback(null, [{ address: host, family: 4 }])) as LookupFunction;
  const httpsAgent = new Agent({ keepAlive: true, maxSockets: 50, ca: trustedCertificates, lookup });
  const client = new KMSClient({
    region,
    credentials,
    endpoint: `https://${kmsHostName(region)}:${port}`,
    requestHandler: { httpsAgent },
  });
  return {
    async decrypt(sample: Sample) {
      using deadline = new Deadline("decrypt", TIMEOUT_MS);
      const { CiphertextForRecipient: envelope } = await client.send(
        new DecryptCommand({
          CiphertextBlob: decodeBase64(sample.ciphertext),
          Recipient: {
            AttestationDocument: await documents.get(deadline),
            KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
          },
        }),
      );
      using plaintext = recipient.open(envelope ?? new Uint8Array());
      return isRight(plaintext.bytes, sample);
    },
    [Symbol.asyncDispose]() {
      client.destroy();
      recipient[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}
