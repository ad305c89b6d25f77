import type { Item } from "./read_item.ts";
import type { Section, TableRow } from "./section.ts";
import { shellWord, visible } from "./visible.ts";

/** Makes the section of an enclave image. */
export function imageSection({ name, description }: Item & { readonly kind: "image" }): Section {
  const { architecture, bytes, sha384, pcrs, isSigned, commandLine, sections, metadata } = description;
  const rows: readonly (readonly [string, string])[] = [
    ["Architecture", architecture],
    ["Length", `${bytes} bytes`],
    ["SHA-384", sha384],
    ...Object.entries(pcrs).map(([index, value]) => [`PCR${index}`, value] as const),
    ["Signature", isSigned ? "right; who signed is in PCR8" : "none"],
    ["Command line", visible(commandLine)],
    ...sections.map(({ type, size }, index) =>
      [`Section ${index}`, `${visible(type)}, ${size} bytes`] as const
    ),
    ["Metadata, which is not measured", visible(JSON.stringify(metadata) ?? "none")],
  ];
  return {
    title: `Enclave image: ${visible(name)}`,
    state: "good",
    sentences: ["It is whole: its form, its CRC and its signature, if it has one, are right."],
    tables: [table("Fields", rows)],
    commands: [`enclave-kms image describe ${shellWord(name, "image.eif")}`],
  };
}

/** Makes the section of a file of PCRs. */
export function pcrsSection({ name, pcrs }: Item & { readonly kind: "pcrs" }): Section {
  const word = shellWord(name, "pcrs.json");
  return {
    title: `PCR file: ${visible(name)}`,
    state: "good",
    sentences: ["It names the measurements of one image."],
    tables: [table("Registers", Object.entries(pcrs).map(([index, value]) => [`PCR${index}`, value]))],
    commands: [
      `enclave-kms verify document --pcrs ${word}`,
      `enclave-kms image verify image.eif --summary ${word}`,
    ],
  };
}

function table(caption: string, rows: readonly (readonly [string, string])[]) {
  const cells = rows.map(([field, value]): TableRow => ({ cells: [field, value] }));
  return { caption, columns: ["Field", "Value"], rows: cells };
}
