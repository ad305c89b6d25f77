/** The same on a laptop: a simulated enclave, an issuer of tokens, and callers as a browser has them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { decodeBase64, encodeBase64 } from "enclave-kms";
import { sealedFetch } from "enclave-kms/channel";
import { attestedKeyPolicy, startSimulator, type TcpEndpoint } from "enclave-kms/sim";
import { createFetch } from "enclave-kms/vsock";
import { ENCRYPTION_CONTEXT, startSigner } from "./signer.ts";

const ISSUER = "https://id.example";
const folder = mkdtempSync(join(tmpdir(), "signer-"));

// A key of KMS that this image alone may decrypt with, and the wallet's key under it.
await using simulator = await startSimulator();
const { keyId, arn } = await simulator.createKey({ policy: attestedKeyPolicy({ 0: simulator.nsm.pcr(0) }) });
const plaintext = secp256k1.utils.randomSecretKey();
const ciphertext = await simulator.encrypt({ keyId, plaintext, encryptionContext: ENCRYPTION_CONTEXT });

// The image's configuration: whose tokens count, and the policy.
const issuer = await generateKeyPair("ES256");
const config = join(folder, "config.json");
writeFileSync(
  config,
  JSON.stringify({
    tokens: [{
      issuer: ISSUER,
      audience: "signer",
      algorithms: ["ES256"],
      keys: { keys: [await exportJWK(issuer.publicKey)] },
    }],
  }),
);
const { host, port } = simulator.endpoint as TcpEndpoint;
await using signer = await startSigner({ ciphertext, keyId: arn }, {
  nsm: simulator.nsm,
  trustedCertificates: simulator.trustedCertificates,
  environment: {
    ENV_SETUP: "SIM",
    ENCLAVE_PORT: "0",
    ENCLAVE_KMS_CONTROL_SOCKET: join(folder, "control.sock"),
    ENCLAVE_KMS_CONFIG: config,
    ENCLAVE_KMS_POLICY_FILE: fileURLToPath(new URL("policy.cedar", import.meta.url)),
    ENCLAVE_KMS_KMS: `tcp:${host}:${port}`,
    ENCLAVE_KMS_REGION: simulator.region,
    ENCLAVE_KMS_LOG_LEVEL: "silent",
  },
});

// The parent carries bytes, and sends its credentials over the control listener.
const carrier = createFetch(signer.enclave.endpoint);
console.log(`before the parent has sent credentials: ${await told(await carrier("http://enclave/v1/key"))}`);
await createFetch(signer.enclave.controlEndpoint!)("http://enclave/v1/credentials", {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(simulator.credentials),
});
await signer.opened;

// Callers verify the enclave, and seal what they send to it.
const fetch = sealedFetch("http://enclave/", {
  pcrs: { 0: simulator.nsm.pcr(0) }, // those that the image's build printed
  root: simulator.nsm.root, // for the simulator only
  fetch: carrier, // in a browser: its own
});
const transaction = new TextEncoder().encode("pay 1 to Alice");

async function tokenOf(subject: string, roles: readonly string[], key = issuer.privateKey): Promise<string> {
  return await new SignJWT({ roles }).setProtectedHeader({ alg: "ES256" }).setIssuer(ISSUER).setSubject(
    subject,
  )
    .setAudience("signer").setIssuedAt().setExpirationTime("5m").sign(key);
}

async function ask(
  token: string | undefined,
  by: typeof globalThis.fetch = fetch as never,
): Promise<Response> {
  return await by("http://enclave/v1/transactions/sign", {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ transaction: encodeBase64(transaction) }),
  });
}

async function told(answer: Response): Promise<string> {
  const { code = "" } = await answer.json() as { code?: string };
  return `${answer.status} ${code}`;
}

const { publicKey } = await (await fetch("/v1/key")).json() as { publicKey: string };
const answer = await ask(await tokenOf("ann", ["signer"]));
const { signature } = await answer.json() as { signature: string };
const isGood = secp256k1.verify(decodeBase64(signature), transaction, decodeBase64(publicKey));
console.log(`ann, a signer: ${answer.status}, and the signature is ${isGood ? "good" : "bad"}`);
console.log(`bob, a reader: ${await told(await ask(await tokenOf("bob", ["reader"])))}`);
console.log(`nobody in particular: ${await told(await ask(undefined))}`);
const { privateKey } = await generateKeyPair("ES256");
console.log(
  `a token of somebody else's: ${await told(await ask(await tokenOf("ann", ["signer"], privateKey)))}`,
);
console.log(`in the clear, past the seal: ${await told(await ask(undefined, carrier as never))}`);
rmSync(folder, { recursive: true });
