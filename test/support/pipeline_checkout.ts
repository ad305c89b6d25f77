/**
 * Checkout of a commit for deploy/codebuild/pipeline.sh, with programs that stand for Docker, nitro-cli and the AWS command line.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { RUN_FILE } from "../../sim/flow/world.ts";
import { ROOT } from "./documents.ts";

const MAIN = join(ROOT, "cli/main.ts");

/** Digest of every image. */
export const DIGEST = `sha256:${"a".repeat(64)}`;
/** Variables that a pipeline must have. */
export const VARIABLES: Readonly<Record<string, string>> = {
  CODEBUILD_RESOLVED_SOURCE_VERSION: "0123456789abcdef0123456789abcdef01234567",
  NODE_DIGEST: DIGEST,
  AMAZON_LINUX_DIGEST: DIGEST,
  NITRO_CLI_VERSION: "1.4.2",
  BLOBS_SHA256: "b".repeat(64),
  ROLE_ARN: "arn:aws:iam::111122223333:role/enclave",
  ADMINISTRATOR_ARN: "arn:aws:iam::111122223333:role/key-admin",
  ECR_REGISTRY: "111122223333.dkr.ecr.eu-central-1.amazonaws.com",
  ECR_REPO_ENCLAVE: "enclave",
  ECR_REPO_PROXY: "vsock-proxy",
  ECR_REPO_RUNNER: "enclave-runner",
};

/** Docker with nitro-cli in it, which knows what the test has put into `made`. */
const DOCKER = `#!/bin/sh
echo "docker $*" >> calls
case $1 in
  create) echo c1 ;;
  cp) cp "made/\${2##*/}" "$3" ;;
  run)
    case "$*" in
      *" describe-eif "*) cat made/described.json ;;
      *" build-enclave "*) echo "Start building the Enclave Image..." >&2; cp made/nitro.eif build/nitro.eif; cat made/nitro.json ;;
    esac ;;
  login) cat > /dev/null ;;
  inspect) for word in "$@"; do name=$word; done; echo "\${name%:*}@${DIGEST}" ;;
esac
`;

const AWS = `#!/bin/sh
echo "aws $*" >> calls
case "$1 $2" in
  "s3 cp") cp "made/\${4##*/}" "$5" ;;
  "kms get-key-policy") cat made/current.json ;;
  "ecr get-login-password") echo secret ;;
esac
`;

/** End of a step. */
export interface StepEnd {
  readonly code: number | null;
  /** Text on both outputs. */
  readonly output: string;
}

/** Checkout of a commit, with the programs that a pipeline has. */
export class Checkout {
  readonly path: string;
  readonly #images: string;

  /**
   * @param folder Folder that gets the checkout
   * @param images Folder of images: `new/out` is built and `old/out` is nitro-cli's own, and runs
   */
  constructor(folder: string, images: string) {
    this.path = mkdtempSync(join(folder, "checkout-"));
    this.#images = images;
    for (const name of ["codebuild", "images"]) {
      cpSync(join(ROOT, "deploy", name), join(this.path, "deploy", name), { recursive: true });
    }
    for (const name of ["made", "bin"]) mkdirSync(join(this.path, name));
    for (const [name, script] of [["docker", DOCKER], ["aws", AWS]] as const) {
      const path = join(this.path, "bin", name);
      writeFileSync(path, script);
      chmodSync(path, 0o700);
    }
    for (const name of ["image.eif", "pcr-values.json", "build-summary.json"]) {
      this.make(name, `new/out/${name}`);
    }
    this.make("described.json", "new/out/pcr-values.json");
    this.make("nitro.eif", "old/out/image.eif");
    this.make("nitro.json", "old/out/pcr-values.json");
    this.make("running.json", "old/out/build-summary.json");
  }

  /** Lets a program make a file. */
  make(name: string, source: string): void {
    copyFileSync(join(this.#images, source), join(this.path, "made", name));
  }

  /** Reads a file; empty when there is none. */
  read(name: string): string {
    const path = join(this.path, name);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  /** Runs one step. */
  run(step: string, variables: Readonly<Record<string, string>> = {}, ...more: readonly string[]): StepEnd {
    const { PATH, HOME = "/" } = process.env;
    const { status, stdout, stderr } = spawnSync("sh", [
      join(this.path, "deploy/codebuild/pipeline.sh"),
      step,
      ...more,
    ], {
      encoding: "utf8",
      env: {
        PATH: `${this.path}/bin:${PATH}`,
        HOME,
        ...VARIABLES,
        ENCLAVE_KMS: [...RUN_FILE, MAIN].join(" "),
        ...variables,
      },
    });
    return { code: status, output: `${stdout}${stderr}` };
  }

  /** Runs steps that must all succeed. */
  pass(...steps: readonly string[]): string {
    return steps.map((step) => {
      const { code, output } = this.run(step);
      assert.equal(code, 0, `${step}: ${output}`);
      return output;
    }).join("");
  }
}
