/**
 * The thread of the C SDK's own client: one job at a time, in the classic order, everything back in
 * reverse. It has a thread to itself because a call that never returns would otherwise hold a thread of
 * the runtime's, and with it the end of the process.
 *
 * @module
 */
import { parentPort } from "node:worker_threads";
import { NativeError, SdkInitError } from "../errors.ts";
import { SdkByteBuffer } from "../native/sdk_byte_buffer.ts";
import { SdkClient, SdkClientConfiguration, SdkSocketEndpoint } from "../native/sdk_client.ts";
import { checkSdk, loadSdk } from "../native/sdk_library.ts";
import { SdkString } from "../native/sdk_string.ts";
import { type SdkClientFailure, type SdkClientJob, type SdkClientReply, wipeJob } from "./sdk_client_job.ts";

parentPort?.on("message", (job: SdkClientJob) => {
  const reply = run(job);
  const memory = "plaintext" in reply ? [reply.plaintext.buffer] : [];
  parentPort?.postMessage(reply, memory);
});

function run(job: SdkClientJob): SdkClientReply {
  try {
    return { plaintext: decrypt(job) };
  } catch (error) {
    return { error: describe(error) };
  } finally {
    wipeJob(job);
  }
}

function decrypt(job: SdkClientJob): Uint8Array<ArrayBuffer> {
  const sdk = loadSdk(job.library);
  const allocator = checkSdk(sdk, sdk.call.aws_nitro_enclaves_get_allocator(), SdkInitError, {
    action: "use the C SDK on the client's thread",
    cFunction: "aws_nitro_enclaves_get_allocator",
    hint: "Is the enclave out of memory?",
  });
  const create = (name: string, bytes: Uint8Array<ArrayBuffer>, secret = false) =>
    SdkString.create(sdk, allocator, bytes, { name, secret });
  const createOptional = (name: string, bytes: Uint8Array<ArrayBuffer> | undefined) =>
    bytes && create(name, bytes);

  using region = create("region", job.region);
  using accessKeyId = create("access key id", job.accessKeyId);
  using secretAccessKey = create("secret access key", job.secretAccessKey, true);
  using sessionToken = create("session token", job.sessionToken, true);
  using hostName = createOptional("host name", job.hostName);
  using endpoint = SdkSocketEndpoint.create(sdk, allocator, job.address, job.port);
  using configuration = SdkClientConfiguration.create(sdk, {
    region,
    endpoint,
    domain: job.domain,
    accessKeyId,
    secretAccessKey,
    sessionToken,
    hostName,
  });
  using client = SdkClient.create(sdk, configuration);
  using keyId = createOptional("key id", job.keyId);
  using encryptionAlgorithm = createOptional("encryption algorithm", job.encryptionAlgorithm);
  using encryptionContext = createOptional("encryption context", job.encryptionContext);
  using ciphertext = SdkByteBuffer.copyOf(sdk, allocator, job.ciphertext);
  using plaintext = SdkByteBuffer.empty(sdk);
  client.decrypt({ ciphertext, keyId, encryptionAlgorithm, encryptionContext }, plaintext);
  return plaintext.copyOut();
}

function describe(error: unknown): SdkClientFailure {
  const { name, message } = error as Error;
  if (error instanceof NativeError) {
    return { name, message, cFunction: error.cFunction, nativeCode: error.nativeCode, hint: error.hint };
  }
  return { name, message, cFunction: "", nativeCode: 0, hint: "This is a defect; please report it" };
}
