import { createHash } from "node:crypto";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { toHex } from "../../lib/core/bytes.ts";
import { ImageError } from "../../lib/core/errors.ts";
import type { BuildSummary } from "./build_summary.ts";
import { fileSource, readWhole } from "./file_source.ts";
import { findSecret, findSecretSetting, MAX_SEARCHED_BYTES, type SecretKind } from "./find_secrets.ts";
import { otherHash } from "./image_error.ts";
import { checkManifestConfiguration } from "./manifest_configuration.ts";
import { MAX_MANIFEST_BYTES } from "./manifest.ts";
import { type ImageManifest, type ManifestEntry, type ManifestFile, parseManifest } from "./manifest.ts";
import { arrangeEntries, type FileContent, NO_CONTENT, type RamdiskEntry } from "./ramdisk.ts";
import { type ImageSigner, makeSignature, verifySignature } from "./signature.ts";
import { type ImageParts, writeImage } from "./write_image.ts";

/** Options of {@link buildImage}. */
export interface BuildImageOptions {
  /** Path of the manifest. */
  readonly manifest: string;
  /** Folder for the three files; it is made when it is not there. */
  readonly output: string;
  /** Commit that the sources are of, for the summary. Default: none is named. */
  readonly commit?: string | undefined;
  /** Signer of PCR0, which gives PCR8. Default: the image is not signed. */
  readonly signer?: ImageSigner | undefined;
  /** Called with the bytes written, and the number of all of them. */
  readonly onProgress?: ((written: number, total: number) => void) | undefined;
}

const MIB = 1_048_576;

/**
 * Builds an image from its manifest: `image.eif`, `pcr-values.json` in nitro-cli's form, and `build-summary.json`. The same
 * manifest and files make the same image, on any machine. A file appears whole or not at all.
 *
 * @param options Manifest, output and signer
 * @returns The summary
 * @throws {ImageError} When the manifest is wrong, a file has another hash than the manifest says, or something looks like
 *   a secret
 */
export async function buildImage(options: BuildImageOptions): Promise<BuildSummary> {
  const { output, signer, onProgress, commit } = options;
  const bytes = await readWhole(options.manifest, MAX_MANIFEST_BYTES, "the manifest");
  const text = new TextDecoder().decode(bytes);
  const manifest = parseManifest(text);
  const folder = resolve(options.manifest, "..");
  for (const [name, value] of Object.entries(manifest.environment)) {
    refuseSecret(`environment.${name}`, findSecretSetting(name, value));
  }
  await checkManifestConfiguration(manifest, folder);
  const parts = await partsOf(manifest, folder);
  await mkdir(output, { recursive: true });
  let section: Uint8Array | undefined;
  const sign = signer && (async (pcr0: Uint8Array) => section = await makeSignature(pcr0, signer));
  const written = await writeImage(join(output, "image.eif"), { ...parts, sign }, onProgress);
  const pcrs: Record<string, string> = {};
  for (const index of [0, 1, 2] as const) pcrs[index] = toHex(written.pcrs[index]);
  if (section !== undefined) pcrs[8] = toHex((await verifySignature(section, written.pcrs[0])).pcr8);
  const summary: BuildSummary = {
    name: manifest.name,
    version: manifest.version,
    architecture: manifest.architecture,
    ...(commit === undefined ? {} : { commit }),
    pcrs,
    image: {
      bytes: written.size,
      sha384: toHex(written.sha384),
      leastMemoryMib: Math.ceil(written.size * 4 / MIB),
    },
    inputs: { manifest: createHash("sha256").update(bytes).digest("hex"), ...hashesOf(manifest) },
  };
  await writeWhole(join(output, "pcr-values.json"), pcrValues(pcrs));
  await writeWhole(join(output, "build-summary.json"), summary);
  return summary;
}

/** Writes PCRs as `nitro-cli build-enclave` prints them. */
function pcrValues(pcrs: Readonly<Record<string, string>>): object {
  const named = Object.entries(pcrs).map(([index, value]) => [`PCR${index}`, value]);
  return { Measurements: { HashAlgorithm: "Sha384 { ... }", ...Object.fromEntries(named) } };
}

async function partsOf(manifest: ImageManifest, folder: string): Promise<ImageParts> {
  const { architecture, kernel, commandLine, name, version } = manifest;
  const bootstrap = await entriesOf(manifest.bootstrap, folder);
  const application = await entriesOf(manifest.application, folder, "rootfs/");
  const lines = (list: readonly string[]) =>
    new TextEncoder().encode(list.map((line) => `${line}\n`).join(""));
  const environment = Object.entries(manifest.environment).sort().map(([key, value]) => `${key}=${value}`);
  const own = { type: "file", mode: 0o644 } as const;
  return {
    architecture,
    kernel: await contentOf("the kernel", kernel, folder),
    commandLine,
    metadata: metadataOf(name, version),
    ramdisks: [
      arranged(bootstrap),
      arranged([
        { path: "rootfs", type: "directory", mode: 0o755, content: NO_CONTENT },
        { ...own, path: "cmd", content: lines(manifest.command) },
        { ...own, path: "env", content: lines(environment) },
        ...application,
      ]),
    ],
  };
}

/** Metadata in nitro-cli's form. A time of the build would make each image another one. */
function metadataOf(name: string, version: string): object {
  return {
    ImageName: name,
    ImageVersion: version,
    BuildMetadata: {
      BuildTime: "1970-01-01T00:00:00+00:00",
      BuildTool: "enclave-kms",
      BuildToolVersion: "1",
      OperatingSystem: "Linux",
      KernelVersion: "unknown",
    },
    DockerInfo: {},
    CustomMetadata: null,
  };
}

/** Goes through the files one by one: all at once they would take more descriptors and memory than there are. */
async function entriesOf(
  entries: readonly ManifestEntry[],
  folder: string,
  prefix = "",
): Promise<RamdiskEntry[]> {
  const read: RamdiskEntry[] = [];
  for (const entry of entries) read.push(await entryOf(entry, folder, prefix));
  return read;
}

async function entryOf(entry: ManifestEntry, folder: string, prefix = ""): Promise<RamdiskEntry> {
  const path = prefix + entry.path;
  if ("symlink" in entry) {
    return { path, type: "symlink", mode: 0o777, content: new TextEncoder().encode(entry.symlink) };
  }
  if ("directory" in entry) {
    return { path, type: "directory", mode: Number.parseInt(entry.mode ?? "0755", 8), content: NO_CONTENT };
  }
  const content = await contentOf(entry.path, entry, folder);
  return { path, type: "file", mode: Number.parseInt(entry.mode ?? "0644", 8), content };
}

/** Searches what has the hash of the manifest, and so becomes part of the image: a file can change in between. */
async function contentOf(name: string, { from, sha256 }: ManifestFile, folder: string): Promise<FileContent> {
  const path = resolve(folder, from);
  await using source = await fileSource(path, `${from} for ${name}`);
  const { size } = source;
  if (size <= MAX_SEARCHED_BYTES) {
    const content = await source.read(0, size);
    refuseSecret(name, findSecret(content));
    const found = createHash("sha256").update(content).digest("hex");
    if (found !== sha256) throw otherHash(name, { from, found, expected: sha256 });
  }
  return { from: path, size, sha256 };
}

function refuseSecret(name: string, kind: SecretKind | undefined): void {
  if (kind === undefined) return;
  throw new ImageError(`Cannot build the image: ${name} looks like ${kind}`, {
    hint:
      "Whoever has the image reads it. Send the secret at boot instead (docs/secrets.md), or encrypt it with KMS",
  });
}

function arranged(entries: readonly RamdiskEntry[]): RamdiskEntry[] {
  try {
    return arrangeEntries(entries);
  } catch (cause) {
    throw new ImageError(`Cannot build the image: ${(cause as Error).message}`, {
      hint: "Look at bootstrap and application in the manifest",
      cause,
    });
  }
}

function hashesOf({ kernel, bootstrap, application }: ImageManifest): Record<string, string> {
  const files = (prefix: string, entries: readonly ManifestEntry[]) =>
    entries.flatMap((entry) => "from" in entry ? [[prefix + entry.path, entry.sha256] as const] : []);
  return Object.fromEntries([
    ["kernel", kernel.sha256],
    ...files("bootstrap/", bootstrap),
    ...files("rootfs/", application),
  ]);
}

async function writeWhole(path: string, value: object): Promise<void> {
  const draft = `${path}.${crypto.randomUUID()}.part`;
  await writeFile(draft, `${JSON.stringify(value, undefined, 2)}\n`, { flag: "wx" });
  await rename(draft, path);
}
