import { buildImage, type BuildImageOptions } from "../../deploy/eif/build_image.ts";
import { importImageSigner } from "../../deploy/eif/image_signer.ts";
import { kmsImageSigner } from "../../deploy/eif/kms_image_signer.ts";
import type { ImageSigner } from "../../deploy/eif/signature.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit_codes.ts";
import { withOperatorClient } from "../operator_client.ts";
import { printResults } from "../secret_files.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usage_error.ts";
import { readFile, readText } from "../values.ts";

/** Runs `image build`: builds an image, and prints its PCRs. */
export async function imageBuild(args: Arguments, terminal: Terminal): Promise<number> {
  const options = {
    manifest: args.require("manifest"),
    output: args.require("out"),
    commit: args.get("commit"),
  };
  const certificate = readCertificate(args);
  const build = (signer?: ImageSigner) => run(args, terminal, { ...options, signer });
  if (certificate === undefined) return await build();
  if (!args.has("signing-kms-key")) return await build(await readSigner(args, certificate));
  return await withOperatorClient(
    args,
    terminal,
    "signing-kms-key",
    (client, keyArn) => build(kmsImageSigner(client, certificate, { keyArn })),
  );
}

async function run(args: Arguments, terminal: Terminal, options: BuildImageOptions): Promise<number> {
  using building = terminal.progress("building the image");
  const summary = await buildImage(options);
  building[Symbol.dispose]();
  if (args.has("json")) await terminal.write(`${JSON.stringify(summary)}\n`);
  else await printResults(args, terminal, describe(options.output, summary));
  return EXIT.ok;
}

function describe(
  output: string,
  { pcrs, image }: Awaited<ReturnType<typeof buildImage>>,
): Record<string, string> {
  return {
    image: `${output}/image.eif`,
    ...Object.fromEntries(Object.entries(pcrs).map(([index, value]) => [`PCR${index}`, value])),
    "SHA-384": image.sha384,
    bytes: String(image.bytes),
    "least memory (MiB)": String(image.leastMemoryMib),
  };
}

/** Reads the certificate of the key that signs, with which there must be exactly one key. */
function readCertificate(args: Arguments): string | undefined {
  const keys = ["signing-key", "signing-kms-key"].filter((flag) => args.has(flag));
  const certificate = args.get("signing-certificate");
  if (certificate === undefined && keys.length === 0) return undefined;
  if (certificate === undefined || keys.length !== 1) {
    throw new UsageError("--signing-certificate goes with --signing-key or --signing-kms-key");
  }
  return readText("signing-certificate", certificate);
}

async function readSigner(args: Arguments, certificate: string): Promise<ImageSigner> {
  const pem = readFile("signing-key", args.require("signing-key"));
  try {
    return await importImageSigner(certificate, pem);
  } finally {
    pem.fill(0);
  }
}
