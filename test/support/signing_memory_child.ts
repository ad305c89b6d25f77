/**
 * A process that signs with what it is told, in disguise, and then waits, so that its memory can be searched.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { OwnedCredentials } from "../../lib/aws/credentials.ts";
import { SigV4Signer } from "../../lib/aws/sigv4.ts";
import { openLibcrypto } from "../../lib/native/libcrypto.ts";
import { revealBytes } from "./disguise.ts";

/** Command to the process, a line of JSON. */
export interface SigningCommand {
  /** Secret access key in disguise. */
  readonly secretAccessKey: readonly number[];
  /** Time of signing. */
  readonly date: string;
  readonly region: string;
  /** Whether to wipe the signing key afterwards. */
  readonly ends: boolean;
}

/** Answer of the process, a line of JSON. */
export interface SigningAnswer {
  /** Last signature, in hex. */
  readonly signature: string;
  /** Whether OpenSSL's functions were called. */
  readonly isOpenssl: boolean;
}

/** More than once: a copy that is left every other time is to be found. */
const ROUNDS = 3;

/** Signers that keep their key. */
const kept: SigV4Signer[] = [];

if (process.argv[1]?.endsWith("signing_memory_child.ts")) await obeyAll();

async function obeyAll(): Promise<void> {
  for await (const line of createInterface(process.stdin)) {
    process.stdout.write(`${JSON.stringify(sign(JSON.parse(line) as SigningCommand))}\n`);
  }
}

function sign({ secretAccessKey: disguised, date, region, ends }: SigningCommand): SigningAnswer {
  const secretAccessKey = revealBytes(disguised);
  let signature = "";
  for (let round = 0; round < ROUNDS; round++) {
    const signer = new SigV4Signer(region);
    using credentials = OwnedCredentials.copyOf({ accessKeyId: "AKIAEXAMPLE", secretAccessKey });
    const request = { hostName: "localhost", operation: "Decrypt", body: new Uint8Array(6500) };
    const { authorization = "" } = signer.sign(request, credentials, new Date(date));
    signature = authorization.slice(-64);
    if (ends) signer[Symbol.dispose]();
    else kept.push(signer);
  }
  secretAccessKey.fill(0);
  return { signature, isOpenssl: openLibcrypto() !== undefined };
}
