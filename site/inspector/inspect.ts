import { decodeAttestationDocument } from "../../lib/attestation/document.ts";
import { toHex } from "../../lib/core/bytes.ts";
import { AttestationError } from "../../lib/core/errors.ts";
import { comparePcrs, type PcrSource, policySources } from "./compare_pcrs.ts";
import { documentSection, type DocumentSettings, refusedSection } from "./document_section.ts";
import { imageSection, pcrsSection } from "./image_section.ts";
import { type PolicyRequest, policySection } from "./policy_section.ts";
import type { Item } from "./read_item.ts";
import type { Section } from "./section.ts";
import { shellWord, visible } from "./visible.ts";

/** Settings of the page. */
export interface InspectOptions {
  /** ARN of the enclave's role, for policies; may be empty. */
  readonly role?: string;
  /** Time to check certificates at, milliseconds since 1970. Default: each document's own. */
  readonly at?: number | undefined;
}

/**
 * Inspects all that was given: a section for each, and one that compares their PCRs.
 *
 * @param items Things that were given; the last root certificate among them is trusted instead of AWS's
 * @param options Settings
 */
export async function inspect(items: readonly Item[], options: InspectOptions = {}): Promise<Section[]> {
  const { role = "", at } = options;
  const root = items.findLast((item) => item.kind === "root");
  const settings = { root, at, expected: expectedOf(items) };
  const requests = items.flatMap((item): PolicyRequest[] => {
    const pcrs = pcrsOf(item);
    return pcrs === undefined ? [] : [{ name: item.name, pcrs, isDocument: item.kind === "document" }];
  });
  const sections = items.map(async (item): Promise<Section> => {
    if (item.kind === "document") return await documentSection(item, settings);
    if (item.kind === "image") return imageSection(item);
    if (item.kind === "pcrs") return pcrsSection(item);
    if (item.kind === "policy") return policySection(item, role, requests);
    return item.kind === "root" ? rootSection(item) : refusedSection(item);
  });
  return [...comparison(items), ...await Promise.all(sections)];
}

/** Takes the registers of an image or PCR file as expected, where all that were given agree. */
function expectedOf(items: readonly Item[]): DocumentSettings["expected"] {
  const images = items.filter(({ kind }) => kind === "pcrs" || kind === "image").map((item) => ({
    name: item.name,
    pcrs: pcrsOf(item) ?? {},
    isFile: item.kind === "pcrs",
  }));
  const differ = comparePcrs(images.map(asSource)).some(({ verdict }) => verdict === "DIFFERENT");
  return differ ? undefined : images[0];
}

function pcrsOf(item: Item): Readonly<Record<number, string>> | undefined {
  if (item.kind === "pcrs") return item.pcrs;
  if (item.kind === "image") return item.description.pcrs;
  if (item.kind !== "document") return undefined;
  try {
    const { pcrs } = decodeAttestationDocument(item.input.document);
    return Object.fromEntries([...pcrs].map(([index, value]) => [index, toHex(value)]));
  } catch (error) {
    if (error instanceof AttestationError) return undefined;
    throw error;
  }
}

function asSource({ name, pcrs }: { name: string; pcrs: Readonly<Record<number, string>> }): PcrSource {
  return {
    name: visible(name),
    pcrs: Object.fromEntries(Object.entries(pcrs).map(([index, value]) => [index, [value]])),
  };
}

function comparison(items: readonly Item[]): Section[] {
  const sources = items.flatMap((item): PcrSource[] => {
    if (item.kind === "policy") return policySources(visible(item.name), item.text);
    const pcrs = pcrsOf(item);
    return pcrs === undefined ? [] : [asSource({ name: item.name, pcrs })];
  });
  if (sources.length < 2) return [];
  const rows = comparePcrs(sources);
  const different = rows.filter(({ verdict }) => verdict === "DIFFERENT").map(({ register }) =>
    `PCR${register}`
  );
  return [{
    title: "PCRs compared",
    state: different.length === 0 ? "good" : "bad",
    sentences: [
      different.length === 0
        ? "Each register is the same wherever it is."
        : `DIFFERENT: ${different.join(", ")}. PCR3 and PCR4 differ from instance to instance.`,
    ],
    tables: [{
      caption: "Registers",
      columns: ["Register", "Verdict", ...sources.map(({ name }) => name)],
      rows: rows.map(({ register, cells, verdict }) => ({
        cells: [`PCR${register}`, verdict, ...cells.map((cell) => cell === "" ? "-" : cell)],
        state: verdict === "same" ? "good" : verdict === "DIFFERENT" ? "bad" : "note",
      })),
    }],
    commands: [],
  }];
}

function rootSection({ name }: Item & { readonly kind: "root" }): Section {
  return {
    title: `Root certificate: ${visible(name)}`,
    state: "note",
    sentences: ["It is trusted instead of AWS's, for the documents on this page."],
    tables: [],
    commands: [`enclave-kms verify document --root ${shellWord(name, "root.pem")}`],
  };
}
