import { digestBootKeys } from "../../lib/attestation/boot_key_digest.ts";
import type { AttestationDocument } from "../../lib/attestation/document.ts";
import { toHex } from "../../lib/core/bytes.ts";
import { describeCertificate } from "./certificate_rows.ts";
import { checkDocument, type CheckOutcome, type DocumentVerdict } from "./checks.ts";
import { isZero } from "./compare_pcrs.ts";
import type { Item } from "./read_item.ts";
import type { Section, SectionState, SectionTable, TableRow } from "./section.ts";
import { shellWord, showBytes, visible } from "./visible.ts";

/** Root, time and registers to check a document by. */
export interface DocumentSettings {
  /** Root to trust instead of AWS's. */
  readonly root?: { readonly name: string; readonly der: Uint8Array<ArrayBuffer> } | undefined;
  /** Time to check certificates at, milliseconds since 1970. Default: the document's own. */
  readonly at?: number | undefined;
  /** The one image or PCR file that was given. */
  readonly expected?: {
    readonly name: string;
    readonly pcrs: Readonly<Record<number, string>>;
    readonly isFile: boolean;
  } | undefined;
}

const STATES: Readonly<Record<CheckOutcome, SectionState>> = {
  passed: "good",
  failed: "bad",
  "not decided": "note",
  "not reached": "note",
  "not asked": "note",
};

/**
 * Makes the section of an attestation document: the verdict, the checks, and the fields.
 *
 * @param item The document
 * @param settings Root, time and registers to check it by
 */
export async function documentSection(
  { name, input }: Item & { readonly kind: "document" },
  settings: DocumentSettings,
): Promise<Section> {
  const { root, at, expected } = settings;
  const { boot } = input;
  const verdict = await checkDocument(input.document, {
    at,
    root: root?.der,
    pcrs: expected?.pcrs,
    userData: boot === undefined ? undefined : await digestBootKeys(boot.bootId, boot.keys),
  });
  const { document, failure } = verdict;
  return {
    title: `Attestation document: ${visible(name)}`,
    state: failure === undefined ? "good" : "bad",
    sentences: [
      verdictOf(verdict),
      `It was read as ${input.readAs}, ${input.document.length} bytes.`,
      ...(document === undefined ? [] : sentencesOf(document, settings)),
    ],
    tables: [
      checkTable(verdict),
      ...(document === undefined ? [] : [fieldTable(document, failure === undefined)]),
      ...(boot === undefined ? [] : [keyTable(boot)]),
    ],
    commands: [commandOf(name, settings)],
  };
}

function checkTable({ checks }: DocumentVerdict): SectionTable {
  return {
    caption: "The verifier's checks, in its order",
    columns: ["Check", "Outcome", "What it asks"],
    rows: checks.map(({ check, outcome, about }) => ({
      cells: [check, outcome, about],
      state: STATES[outcome],
    })),
  };
}

function verdictOf({ failure }: DocumentVerdict): string {
  if (failure === undefined) return "All checks that were asked for passed.";
  return `NOT verified: ${failure.check}. ${failure.text}. ${failure.hint}`.trim();
}

function sentencesOf(document: AttestationDocument, { root, at, expected }: DocumentSettings): string[] {
  const made = new Date(document.timestamp).toISOString();
  return [
    root === undefined
      ? "The trusted root is AWS's for Nitro Enclaves."
      : `The trusted root is ${visible(root.name)}, and not AWS's.`,
    at === undefined
      ? `Certificates were checked at the document's own time, ${made}: nothing says that it is fresh.`
      : `Certificates were checked at ${new Date(at).toISOString()}.`,
    ...(isDebug(document)
      ? [
        "DEBUG MODE: PCR0 to PCR2 are zero. The parent can read this enclave's memory, and no key policy that " +
        "names an image lets it decrypt.",
      ]
      : []),
    expected === undefined
      ? "No PCR was expected, so that any enclave of anyone passes: add the image or its PCR file."
      : `PCRs were expected as ${visible(expected.name)} has them.`,
  ];
}

/** Tells whether a document is of debug mode. */
export function isDebug({ pcrs }: AttestationDocument): boolean {
  return [0, 1, 2].every((index) => pcrs.get(index)?.every((byte) => byte === 0) ?? true);
}

function fieldTable(document: AttestationDocument, isVerified: boolean): SectionTable {
  const { moduleId, timestamp, digest, pcrs, publicKey, userData, nonce, unknownFields } = document;
  const zeros = [...pcrs].filter(([, value]) => isZero(toHex(value))).map(([index]) => index);
  const rows: readonly (readonly [string, string])[] = [
    ["Module id", visible(moduleId)],
    ["Timestamp", `${new Date(timestamp).toISOString()} (${timestamp} ms)`],
    ["Digest", digest],
    ...[...pcrs].filter(([index]) => !zeros.includes(index))
      .map(([index, value]) => [`PCR${index}`, toHex(value)] as const),
    ["PCRs that are zero", zeros.length === 0 ? "none" : zeros.map((index) => `PCR${index}`).join(", ")],
    ["Public key", showBytes(publicKey)],
    ["User data", showBytes(userData)],
    ["Nonce", showBytes(nonce)],
    ...document.cabundle.map((der, index) =>
      [
        index === 0 ? "Root certificate" : `Certificate ${index}`,
        describeCertificate(der),
      ] as const
    ),
    ["Signer's certificate", describeCertificate(document.certificate)],
    ["Signature", toHex(document.signature)],
    [
      "Fields that are not known",
      unknownFields.length === 0 ? "none" : unknownFields.map(visible).join(", "),
    ],
  ];
  return {
    caption: isVerified ? "Fields" : "Fields, which nobody vouches for",
    columns: ["Field", "Value"],
    rows: rows.map(([field, value]): TableRow => ({ cells: [field, value] })),
  };
}

function keyTable(
  { bootId, keys }: NonNullable<(Item & { readonly kind: "document" })["input"]["boot"]>,
): SectionTable {
  return {
    caption: "Keys beside it, whose digest its user data must be",
    columns: ["Key", "Value"],
    rows: [
      { cells: ["boot id", bootId] },
      ...Object.entries(keys).map(([name, key]) => ({ cells: [visible(name), toHex(key)] })),
    ],
  };
}

function commandOf(name: string, { root, at, expected }: DocumentSettings): string {
  return [
    `enclave-kms verify ${shellWord(name, "document")}`,
    at === undefined ? " --at document" : "",
    root === undefined ? "" : ` --root ${shellWord(root.name, "root.pem")}`,
    expected?.isFile === true ? ` --pcrs ${shellWord(expected.name, "pcrs.json")}` : "",
    expected?.isFile === false
      ? Object.entries(expected.pcrs).map(([i, hex]) => ` --pcr ${i}=${hex}`).join("")
      : "",
  ].join("");
}

/** Describes an error of reading as a section. */
export function refusedSection({ name, reason, hint, code }: Item & { readonly kind: "refused" }): Section {
  return {
    title: `Not read: ${visible(name)}`,
    state: "bad",
    sentences: [`${code === "" ? "" : `${code}: `}${visible(reason)}. ${hint}`.trim()],
    tables: [],
    commands: [],
  };
}
