import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeImage } from "../../deploy/eif/write_image.ts";
import { makeKeyPolicy } from "../../deploy/mod.ts";

const ROLE = "arn:aws:iam::111122223333:role/enclave";
const ADMIN = "arn:aws:iam::111122223333:role/key-admin";

/** Makes images for the page to describe: a good one, one of two megabytes, and one with a flipped bit. */
export async function makeImages(): Promise<readonly Uint8Array[]> {
  const folder = mkdtempSync(join(tmpdir(), "enclave-kms-browser-"));
  try {
    const path = join(folder, "image.eif");
    const write = async (size: number) => {
      await writeImage(path, {
        architecture: "aarch64",
        kernel: new TextEncoder().encode("kernel"),
        commandLine: "quiet",
        metadata: { ImageName: "app" },
        ramdisks: [[{ path: "init", type: "file", mode: 0o755, content: new Uint8Array(size).fill(7) }]],
      });
      return new Uint8Array(readFileSync(path));
    };
    const small = await write(10);
    return [small, await write(2_000_000), small.with(-600, small.at(-600)! ^ 1)];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Makes key policies for the page to judge. */
export function makePolicies(): readonly string[] {
  const images = [{ pcr0: "4e".repeat(48) }];
  const everything = { Effect: "Allow", Principal: { AWS: ROLE }, Action: "kms:*", Resource: "*" };
  return [
    makeKeyPolicy({ images, role: ROLE, administrators: [ADMIN] }),
    JSON.stringify({ Statement: [everything] }),
    "{}",
  ];
}
