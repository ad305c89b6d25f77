import { A, allow, B, type JudgedPolicy, PCR1, PCR3, PCR4, PCR8, pcrs, row, ZERO } from "./judged.ts";

const IMAGE = "kms:RecipientAttestation:ImageSha384";
const TENANT = "kms:EncryptionContext:tenant";

/** Makes a row of a statement that lets the role decrypt under conditions. */
function of(
  name: string,
  conditions: object | readonly object[],
  gate: JudgedPolicy["gate"],
  role: JudgedPolicy["role"],
): JudgedPolicy {
  const Condition = Object.assign({}, ...[conditions].flat());
  return row(name, allow({ Condition }), gate, role);
}

const equal = (values: object) => pcrs("StringEquals", { ...values });
const ignoring = (values: object) => pcrs("StringEqualsIgnoreCase", { ...values });

const LOOSE = ["loose-condition", "unattested-access"] as const;
const WRONG = ["pcr-value", "unattested-access"] as const;
const BOTH = ["pcr-value", "loose-condition", "unattested-access"] as const;

/** Policies with conditions that bind a statement to an image. */
export const BINDING: readonly JudgedPolicy[] = [
  of("PCR0", ignoring({ 0: A }), [], "D"),
  of("PCR0 in its very case", equal({ 0: A }), [], "D"),
  of("ImageSha384", equal({ [IMAGE]: A }), [], "D"),
  of("ImageSha384 in capitals, in any case", ignoring({ [IMAGE]: A.toUpperCase() }), [], "D"),
  of("PCR0 in capitals, in any case", ignoring({ 0: A.toUpperCase() }), [], "D"),
  of("PCR0 in capitals, in the very case: KMS has none", equal({ 0: A.toUpperCase() }), [], ""),
  of("the key in small letters", equal({ "kms:recipientattestation:pcr0": A }), [], "D"),
  of("the key in capitals", ignoring({ "KMS:RECIPIENTATTESTATION:IMAGESHA384": A }), [], "D"),
  of("two images in one condition", ignoring({ 0: [A, B] }), [], "DO"),
  row(
    "two images in two statements",
    [
      allow({ Condition: ignoring({ 0: A }) }),
      allow({ Condition: ignoring({ 0: B }) }),
    ],
    [],
    "DO",
  ),
  of("another image", ignoring({ 0: B }), [], "O"),
  of("one image in a list", equal({ 0: [A] }), [], "D"),
  of("PCR0 and its signer", ignoring({ 0: A, 8: PCR8 }), [], "D"),
  of("PCR0 and another signer", ignoring({ 0: A, 8: B }), [], ""),
  of("PCR0 and its role", ignoring({ 0: A, 3: PCR3 }), [], "D"),
  of("PCR0 and another role", ignoring({ 0: A, 3: B }), [], ""),
  of("PCR0 and its instance", ignoring({ 0: A, 4: PCR4 }), [], "D"),
  of("PCR0 and PCR1", ignoring({ 0: A, 1: PCR1 }), [], "D"),
  of("PCR0 and a register that the document lacks", ignoring({ 0: A, 16: B }), [], ""),
  of("the last register", ignoring({ 0: A, 31: B }), [], ""),
  of("PCR0 and the signer by two operators", [equal({ 0: A }), ignoring({ 8: PCR8 })], [], "D"),
  of("PCR0 by two operators", [equal({ 0: A }), ignoring({ 0: A })], [], "D"),
  of("two images by two operators, both of which must hold", [equal({ 0: A }), ignoring({ 0: B })], [], ""),
  of("PCR0 by both its names", equal({ 0: A, [IMAGE]: A }), [], "D"),
  of("two images by both names", equal({ 0: A, [IMAGE]: B }), [], ""),
  of("PCR0 and a context", equal({ 0: A, [TENANT]: "a" }), [], "D"),
  of("PCR0 and another context", equal({ 0: A, [TENANT]: "b" }), [], ""),
  of("PCR0 and a pattern of the context", [equal({ 0: A }), { StringLike: { [TENANT]: "?" } }], [], "D"),
  of("PCR0 and that there is a context", [equal({ 0: A }), { Null: { [TENANT]: "false" } }], [], "D"),
  of("PCR0 and that there is none", [equal({ 0: A }), { Null: { [TENANT]: true } }], [], ""),
  of("PCR0 and no other context", [equal({ 0: A }), { StringNotEquals: { [TENANT]: "b" } }], [], "D"),
  of(
    "PCR0 and a context if there is one",
    [equal({ 0: A }), {
      StringEqualsIfExists: { "kms:EncryptionContext:user": "b" },
    }],
    [],
    "D",
  ),
  of("PCR0 and the algorithm", equal({ 0: A, "kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT" }), [], "D"),
  of("PCR0 and another algorithm", equal({ 0: A, "kms:EncryptionAlgorithm": "RSAES_OAEP_SHA_256" }), [], ""),
];

/** Policies whose conditions do not bind a statement to an image, or do so in a way that fails. */
export const UNBINDING: readonly JudgedPolicy[] = [
  of("PCR0 of debug mode", equal({ 0: ZERO }), WRONG, "Z"),
  of("ImageSha384 of debug mode", equal({ [IMAGE]: ZERO }), WRONG, "Z"),
  of("an image, or debug mode", ignoring({ 0: [A, ZERO] }), WRONG, "DZ"),
  of("PCR0 that is cut short", equal({ 0: A.slice(2) }), WRONG, ""),
  of("PCR0 that is too long", equal({ 0: `${A}4e` }), WRONG, ""),
  of("PCR0 of SHA-256", equal({ 0: A.slice(0, 64) }), WRONG, ""),
  of("PCR0 of SHA-512", equal({ 0: A.repeat(2).slice(0, 128) }), WRONG, ""),
  of("PCR0 that is no hex", equal({ 0: "x".repeat(96) }), WRONG, ""),
  of("PCR0 after 0x", equal({ 0: `0x${A}` }), WRONG, ""),
  of("PCR0 before a space", equal({ 0: `${A} ` }), WRONG, ""),
  of("PCR0 in base64", equal({ 0: "Tk5O".repeat(16) }), WRONG, ""),
  of("PCR0 that nobody filled in", equal({ 0: "EXAMPLETOBEUPDATED" }), WRONG, ""),
  of("a wildcard, by equality", equal({ 0: "*" }), WRONG, ""),
  of("a policy variable", equal({ 0: "${aws:PrincipalTag/pcr0}" }), WRONG, /Cannot judge the value/),
  of("a number", equal({ 0: 4 }), WRONG, /must be a string/),
  of("a wildcard", pcrs("StringLike", { 0: "*" }), BOTH, "DOZ"),
  of("a pattern of an image", pcrs("StringLike", { 0: "4e*" }), BOTH, "D"),
  of("an image by StringLike", pcrs("StringLike", { 0: A }), LOOSE, "D"),
  of("an image in capitals by StringLike", pcrs("StringLike", { 0: A.toUpperCase() }), LOOSE, ""),
  of("all but an image", pcrs("StringNotEquals", { 0: B }), LOOSE, "DZN"),
  of(
    "all but an image, in any case",
    pcrs("StringNotEqualsIgnoreCase", { 0: A.toUpperCase() }),
    LOOSE,
    "OZN",
  ),
  of("all but a pattern", pcrs("StringNotLike", { 0: "5f*" }), BOTH, "DZN"),
  of("an image if there is a document", pcrs("StringEqualsIfExists", { 0: A }), LOOSE, "DN"),
  of("the same in any case", pcrs("StringEqualsIgnoreCaseIfExists", { 0: A }), LOOSE, "DN"),
  of("the same by StringLike", pcrs("StringLikeIfExists", { 0: A }), LOOSE, "DN"),
  of("no image if there is a document", pcrs("StringNotEqualsIfExists", { 0: A }), LOOSE, "OZN"),
  of("any document", pcrs("Null", { 0: "false" }), BOTH, "DOZ"),
  of("no document", pcrs("Null", { 0: true }), BOTH, "N"),
  of("any document, and an image", [pcrs("Null", { 0: "false" }), equal({ [IMAGE]: A })], [
    ...["pcr-value", "loose-condition"] as const,
  ], "D"),
  of("the signer alone", equal({ 8: PCR8 }), ["unattested-access"], "DO"),
  of("the role alone", equal({ 3: PCR3 }), ["unattested-access"], "DO"),
  of("the instance alone", equal({ 4: PCR4 }), ["unattested-access"], "DO"),
  of("kernel and bootstrap alone", equal({ 1: PCR1 }), ["unattested-access"], "D"),
  of("PCR0 and a signer of debug mode", equal({ 0: A, 8: ZERO }), ["pcr-value"], ""),
  of("PCR0 and no signer's hex", equal({ 0: A, 8: "me" }), ["pcr-value"], ""),
  of("PCR0 and the signer by StringLike", [equal({ 0: A }), pcrs("StringLike", { 8: PCR8 })], [
    "loose-condition",
  ], "D"),
  of("PCR0 and the signer if there is one", [equal({ 0: A }), pcrs("StringEqualsIfExists", { 8: PCR8 })], [
    "loose-condition",
  ], "D"),
  of(
    "PCR0 and not that signer",
    [equal({ 0: A }), pcrs("StringNotEquals", { 8: B })],
    ["loose-condition"],
    "D",
  ),
  of("PCR0 by equality and by StringLike", [equal({ 0: A }), pcrs("StringLike", { 0: "*" })], [
    ...["pcr-value", "loose-condition"] as const,
  ], "D"),
  of("register 32", equal({ 0: A, 32: B }), ["pcr-value"], /condition key/),
  of("register 00", equal({ "00": A }), WRONG, /condition key/),
  of("register -1", equal({ "-1": A, 0: A }), ["pcr-value"], /condition key/),
  of("all registers", equal({ "*": A }), WRONG, /condition key/),
  of("PCR0 before a space in its name", equal({ "0 ": A }), WRONG, /condition key/),
  of("ImageSha256", equal({ "kms:RecipientAttestation:ImageSha256": A }), WRONG, /condition key/),
  of("a key with a letter of Cyrillic", equal({ "kms:RecipientAttestati\u043en:PCR0": A }), [
    "unattested-access",
  ], /condition key/),
  of("a key of another service", equal({ "nitro:RecipientAttestation:PCR0": A }), [
    "unattested-access",
  ], /condition key/),
  of("ForAllValues, which holds of none", pcrs("ForAllValues:StringEquals", { 0: A }), LOOSE, /operator/),
  of("ForAnyValue", pcrs("ForAnyValue:StringEquals", { 0: A }), LOOSE, /operator/),
  of("an operator of ARNs", pcrs("ArnEquals", { 0: A }), LOOSE, /operator/),
  of("an operator of bytes", pcrs("BinaryEquals", { 0: A }), LOOSE, /operator/),
  of("an operator in another case", pcrs("stringequals", { 0: A }), LOOSE, /operator/),
  of("who asks", { ArnEquals: { "aws:PrincipalArn": "*" } }, ["unattested-access"], /operator/),
  of("nothing", {}, ["unattested-access"], /must have an operator/),
  of("an operator of nothing", { StringEquals: {} }, ["unattested-access"], /must have a condition key/),
  of("a context alone", { StringEquals: { [TENANT]: "a" } }, ["unattested-access"], "DOZN"),
  of("another context alone", { StringEquals: { [TENANT]: "b" } }, ["unattested-access"], ""),
  of("an algorithm alone", { StringEquals: { "kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT" } }, [
    "unattested-access",
  ], "DOZN"),
];
