import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, test } from "#test";
import { runChild } from "./child.ts";
import { SimulatorProcess } from "./simulator_process.ts";

/** Debian's; another Python may stand before it in the path. */
const PYTHON = "/usr/bin/python3";

const isThere = (program: string, ...args: readonly string[]) => spawnSync(program, args).status === 0;
const MISSING = !isThere(PYTHON, "-c", "import boto3")
  ? "there is no python3-boto3"
  : !isThere("openssl", "version")
  ? "there is no openssl"
  : undefined;
const REASON = MISSING === undefined ? "" : ` (skipped: ${MISSING})`;

const SEED = {
  keys: [{ alias: "alias/app" }],
  ciphertexts: [
    { name: "pw", key: "alias/app", plaintext: "attack at dawn", encryptionContext: { tenant: "a" } },
  ],
};

describe.skipIf(MISSING !== undefined)(
  `a program in Python, with Debian's boto3, and enclave-kms sim${REASON}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), "enclave-kms-boto3-"));
    let simulator: SimulatorProcess;
    beforeAll(async () => {
      const seed = join(folder, "seed.json");
      writeFileSync(seed, JSON.stringify(SEED));
      simulator = await SimulatorProcess.start(["--seed", seed, "--plain-port", "0"]);
    });
    afterAll(async () => {
      await simulator[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    });

    /** Runs a program, and returns its standard output. */
    const python = async (name: string, variables: Readonly<Record<string, string>>) => {
      const file = fileURLToPath(new URL(`python/${name}.py`, import.meta.url));
      const { description } = simulator;
      const { PATH = "" } = process.env;
      const ATTESTED = description.ciphertexts[0]?.ciphertext ?? "";
      const env = { PATH, ...description.variables, ATTESTED, ...variables };
      const { stdout } = await promisify(execFile)(PYTHON, [file], {
        env,
        encoding: "buffer",
      });
      return stdout;
    };

    const urls = {
      "over TLS": () => simulator.description.kms.url,
      "in clear": () => simulator.description.kms.plainUrl ?? "",
    };
    for (const [how, url] of Object.entries(urls)) {
      test(`encrypts and decrypts ${how}`, async () => {
        const ALIAS = `alias/${how.replaceAll(" ", "-")}`;
        const told = JSON.parse(String(await python("roundtrip", { KMS_URL: url(), ALIAS }))) as object;
        assert.deepEqual(told, {
          plaintext: "attack at dawn",
          "data key opens": true,
          described: true,
          listed: true,
          aliases: [ALIAS],
          policy: "Allow",
          "another context": "InvalidCiphertextException",
          "alias twice": "AlreadyExistsException",
          "unknown operation": "UnknownOperationException",
          "not for this caller": "AccessDeniedException",
        });
      });
    }

    test("sends a recipient that botocore signs, and openssl opens the answer", async () => {
      const at = (name: string) => join(folder, name);
      const openssl = (...args: readonly string[]) =>
        promisify(execFile)("openssl", args, { encoding: "buffer" });
      await openssl(
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        at("key.pem"),
      );
      await openssl("pkey", "-in", at("key.pem"), "-pubout", "-out", at("public.pem"));
      const words = ["attest", "--public-key", `@${at("public.pem")}`, "--timeout-ms", "60000"];
      const { code, stdout, stderr } = await runChild(words, { env: simulator.description.variables });
      assert.equal(code, 0, stderr);
      writeFileSync(at("document"), stdout);

      const variables = { KMS_URL: simulator.description.kms.url, DOCUMENT: at("document") };
      writeFileSync(at("envelope"), await python("recipient", variables));
      const args = ["cms", "-decrypt", "-inform", "DER", "-in", at("envelope"), "-inkey", at("key.pem")];
      assert.equal(String((await openssl(...args)).stdout), "attack at dawn");

      await openssl(
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        at("other.pem"),
      );
      const others = args.with(-1, at("other.pem"));
      const opened = await openssl(...others).then((answer) => String(answer.stdout), () => "refused");
      assert.notEqual(opened, "attack at dawn", "for nobody else");
    });
  },
);
