import {
  blobSource,
  describeImage,
  diffPolicies,
  EnclaveKmsError,
  explainRefusal,
  judgePolicy,
} from "../../deploy/mod.ts";

/**
 * Describes an image, on whichever side it runs.
 *
 * @param bytes The image
 * @returns JSON of the description, or of the error's message
 */
export async function describeHere(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return await outcomeOf(() => describeImage(blobSource(new Blob([bytes])), { contents: true }));
}

/**
 * Judges a key policy, on whichever side it runs.
 *
 * @param policy JSON of the policy
 * @returns JSON of everything that is said about it, or of the error's message
 */
export async function judgeHere(policy: string): Promise<string> {
  const role = "arn:aws:iam::111122223333:role/enclave";
  return await outcomeOf(() => ({
    findings: judgePolicy(policy, { role }),
    changes: diffPolicies(
      '{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}',
      policy,
    ),
    reasons: explainRefusal(policy, { role, pcrs: undefined }),
  }));
}

async function outcomeOf(read: () => unknown): Promise<string> {
  try {
    return JSON.stringify(await read());
  } catch (error) {
    return JSON.stringify(error instanceof EnclaveKmsError ? [error.code, error.message] : String(error));
  }
}
