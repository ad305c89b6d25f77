/**
 * The thread of the C SDK's own client: one job at a time, in the classic order, everything back in
 * reverse. It has a thread to itself because a call that never returns would otherwise hold a thread of
 * the runtime's, and with it the end of the process.
 *
 * @module
 */
import { parentPort } from "node:worker_threads";
import { NativeError, SdkInitError } from "../../core/errors.ts";
import { SdkByteBuffer } from "../../native/sdk_byte_buffer.ts";
import { SdkClient, SdkClientConfiguration, SdkSocketEndpoint } from "../../native/sdk_client.ts";
import { checkSdk, loadSdk, type Sdk } from "../../native/sdk_library.ts";
import { SdkString } from "../../native/sdk_string.ts";
import {
  type SdkClientFailure,
  type SdkClientJob,
  type SdkClientReply,
  type SdkClientTask,
  wipeJob,
} from "./sdk_client_job.ts";

const SECRET = "secret";

parentPort?.on("message", (job: SdkClientJob) => {
  const reply = run(job);
  const memory = "results" in reply ? reply.results.map(({ buffer }) => buffer) : [];
  parentPort?.postMessage(reply, memory);
});

function run(job: SdkClientJob): SdkClientReply {
  try {
    return { results: ask(job) };
  } catch (error) {
    return { error: describe(error) };
  } finally {
    wipeJob(job);
  }
}

function ask(job: SdkClientJob): Uint8Array<ArrayBuffer>[] {
  const sdk = loadSdk(job.library);
  const allocator = checkSdk(sdk, sdk.call.aws_nitro_enclaves_get_allocator(), SdkInitError, {
    action: "use the C SDK on the client's thread",
    cFunction: "aws_nitro_enclaves_get_allocator",
    hint: "Is the enclave out of memory?",
  });
  const create = makeStrings(sdk, allocator);

  using region = create("region", job.region);
  using accessKeyId = create("access key id", job.accessKeyId);
  using secretAccessKey = create("secret access key", job.secretAccessKey, SECRET);
  using sessionToken = create("session token", job.sessionToken, SECRET);
  using hostName = job.hostName && create("host name", job.hostName);
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
  return runTask(client, job, { sdk, allocator, create });
}

/** `struct aws_allocator *`; pointers have no name outside the rooms that hold them. */
type Allocator = Parameters<typeof SdkString.create>[1];

type CreateString = (name: string, bytes: Uint8Array<ArrayBuffer>, kind?: typeof SECRET) => SdkString;

/** Library and allocator for the strings and buffers of tasks. */
interface Tools {
  readonly sdk: Sdk;
  readonly allocator: Allocator;
  readonly create: CreateString;
}

function runTask(client: SdkClient, task: SdkClientTask, tools: Tools): Uint8Array<ArrayBuffer>[] {
  switch (task.operation) {
    case "decrypt":
      return decrypt(client, task, tools);
    case "encrypt":
      return encrypt(client, task, tools);
    case "generateDataKey":
      return generateDataKey(client, task, tools);
    case "generateRandom":
      return generateRandom(client, task, tools);
  }
}

type Task<Operation> = Extract<SdkClientTask, { operation: Operation }>;

function decrypt(client: SdkClient, task: Task<"decrypt">, { sdk, allocator, create }: Tools) {
  using keyId = task.keyId && create("key id", task.keyId);
  using encryptionAlgorithm = task.encryptionAlgorithm &&
    create("encryption algorithm", task.encryptionAlgorithm);
  using encryptionContext = task.encryptionContext && create("encryption context", task.encryptionContext);
  using ciphertext = SdkByteBuffer.copyOf(sdk, allocator, task.ciphertext);
  using plaintext = SdkByteBuffer.empty(sdk);
  client.decrypt({ ciphertext, keyId, encryptionAlgorithm, encryptionContext }, plaintext);
  return [plaintext.copyOut()];
}

function encrypt(client: SdkClient, task: Task<"encrypt">, { sdk, allocator, create }: Tools) {
  using keyId = create("key id", task.keyId);
  using encryptionContext = task.encryptionContext && create("encryption context", task.encryptionContext);
  using plaintext = SdkByteBuffer.copyOf(sdk, allocator, task.plaintext);
  using ciphertext = SdkByteBuffer.empty(sdk);
  client.encrypt({ keyId, plaintext, encryptionContext }, ciphertext);
  return [ciphertext.copyOut()];
}

function generateDataKey(client: SdkClient, task: Task<"generateDataKey">, { sdk, create }: Tools) {
  using keyId = create("key id", task.keyId);
  using plaintext = SdkByteBuffer.empty(sdk);
  using ciphertext = SdkByteBuffer.empty(sdk);
  client.generateDataKey(keyId, task.keySpec, plaintext, ciphertext);
  return [plaintext.copyOut(), ciphertext.copyOut()];
}

function generateRandom(client: SdkClient, task: Task<"generateRandom">, { sdk }: Tools) {
  using plaintext = SdkByteBuffer.empty(sdk);
  client.generateRandom(task.numberOfBytes, plaintext);
  return [plaintext.copyOut()];
}

function makeStrings(sdk: Sdk, allocator: Allocator): CreateString {
  return (name, bytes, kind) => SdkString.create(sdk, allocator, bytes, { name, secret: kind === SECRET });
}

function describe(error: unknown): SdkClientFailure {
  const { name, message } = error as Error;
  if (error instanceof NativeError) {
    return { name, message, cFunction: error.cFunction, nativeCode: error.nativeCode, hint: error.hint };
  }
  return { name, message, cFunction: "", nativeCode: 0, hint: "This is a defect; please report it" };
}
