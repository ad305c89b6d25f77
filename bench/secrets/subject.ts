/**
 * A process that measures one round for each line that it reads: an enclave that takes credentials, an identity and a
 * secret, from the first byte on 7100 to the secret handed over; and a cold decrypt and age, without an enclave.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { importAgeIdentity, openAgeFile } from "../../enclave/secrets/age_file.ts";
import { parseSignedSecret } from "../../lib/wire/signed_secret.ts";
import { kmsDecrypt } from "../../mod.ts";
import { CONTEXT, SecretsLab } from "../../test/enclave/secrets/secrets_lab.ts";
import type { SecretsRound } from "./run.ts";

for await (const line of createInterface(process.stdin)) {
  process.stdout.write(`${JSON.stringify(await measure(JSON.parse(line) === "enclave first"))}\n`);
}

async function measure(isEnclaveFirst: boolean): Promise<SecretsRound> {
  await using lab = await SecretsLab.create();
  const parts: Parts = { lab, identity: await lab.identity(), shares: await lab.shares() };
  if (isEnclaveFirst) {
    const enclaveMs = await takeSecrets(parts);
    return { enclaveMs, plainMs: await decryptAndOpen(parts) };
  }
  const plainMs = await decryptAndOpen(parts);
  return { plainMs, enclaveMs: await takeSecrets(parts) };
}

interface Parts {
  readonly lab: SecretsLab;
  readonly identity: Uint8Array;
  readonly shares: Uint8Array;
}

async function takeSecrets({ lab, identity, shares }: Parts): Promise<number> {
  const starting = lab.start();
  await lab.socketOf(7102);
  const startedAt = performance.now();
  await lab.sendCredentials();
  await lab.send(7101, identity, { framed: true });
  await lab.send(7102, shares, { framed: true });
  const enclave = await starting;
  const ms = performance.now() - startedAt;
  await enclave.close();
  return ms;
}

async function decryptAndOpen({ lab, identity, shares }: Parts): Promise<number> {
  const [ciphertext, file] = [identity, shares].map((signed) => parseSignedSecret(signed)!.sealed);
  const startedAt = performance.now();
  using text = await kmsDecrypt({
    ...lab.simulator.clientOptions,
    engine: "direct",
    ciphertext: ciphertext!,
    keyId: lab.keyArn,
    encryptionContext: CONTEXT,
  });
  using _secret = await openAgeFile(file!, await importAgeIdentity(text.bytes, lab.pair.recipient));
  return performance.now() - startedAt;
}
