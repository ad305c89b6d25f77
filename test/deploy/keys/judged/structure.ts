import {
  A,
  ADMIN,
  ADMINISTRATION,
  allow,
  B,
  BOUND,
  deny,
  type JudgedPolicy,
  KEY,
  OTHER_KEY,
  PCR8,
  pcrs,
  policyOf,
  ROLE,
  ROOT,
  row,
  rowOf,
  WRITER,
} from "./judged.ts";

const use = allow(BOUND);
const put = (AWS: string | readonly string[], more: object = {}) =>
  allow({ Principal: { AWS }, Action: "kms:PutKeyPolicy", ...more });
const bare = (...Statement: readonly object[]) => ({ Version: "2012-10-17", Statement });
const running = (
  name: string,
  statements: readonly object[],
  gate: "kept" | "lost",
  role: string,
  pcr8?: string,
) => ({
  ...row(name, statements, gate === "kept" ? [] : ["running-image"], role),
  options: { running: [{ pcr0: A, ...(pcr8 === undefined ? {} : { pcr8 }) }] },
});

/** Policies with denials. */
export const DENIALS: readonly JudgedPolicy[] = [
  row("a denial of what another statement allows", [use, deny({ Action: "kms:Decrypt" })], [], ""),
  row("a denial for another role", [use, deny({ Principal: { AWS: WRITER } })], [], "D"),
  row(
    "a denial for the account, which is one for the role",
    [
      use,
      deny({
        Principal: { AWS: ROOT },
        Action: "kms:Decrypt",
      }),
    ],
    [],
    "",
  ),
  row("a denial of grants", [use, deny({ Action: ["kms:CreateGrant", "kms:ReEncrypt*"] })], [], "D"),
  row(
    "a denial for all other images",
    [
      use,
      deny({
        Action: "kms:Decrypt",
        Condition: pcrs("StringNotEqualsIgnoreCase", { 0: A }),
      }),
    ],
    [],
    "D",
  ),
  row(
    "a denial for one image",
    [
      allow({ Condition: pcrs("StringEquals", { 0: [A, B] }) }),
      deny({ Action: "kms:Decrypt", Condition: pcrs("StringEquals", { 0: B }) }),
    ],
    [],
    "D",
  ),
  row(
    "a denial without a document",
    [
      use,
      deny({
        Action: ["kms:Decrypt", "kms:GenerateDataKey"],
        Condition: { Null: { "kms:RecipientAttestation:PCR0": "true" } },
      }),
    ],
    [],
    "D",
  ),
  row(
    "everything, and a denial for all other images: no credit for denials",
    [
      allow({ Action: "kms:*" }),
      deny({
        NotAction: "kms:PutKeyPolicy",
        Action: undefined,
        Condition: pcrs("StringNotEquals", { 0: A }),
      }),
    ],
    ["unattested-access", "bypass", "unattested-operation"],
    "DKP",
  ),
  row(
    "decrypting, and a denial without a document",
    [
      allow(),
      deny({ Action: "kms:Decrypt", Condition: { Null: { "kms:RecipientAttestation:PCR0": "true" } } }),
    ],
    ["unattested-access"],
    "DOZ",
  ),
  row("a denial of everything for the role", [use, deny({ Principal: { AWS: ROLE } })], [], ""),
  row("nothing but a denial", deny({ Action: "kms:Decrypt" }), [], ""),
];

/** Policies about resources and form. */
export const FORMS: readonly JudgedPolicy[] = [
  row("the key by its ARN", allow({ ...BOUND, Resource: KEY }), [], "D"),
  row("another key", allow({ ...BOUND, Resource: OTHER_KEY }), [], ""),
  row(
    "another key, unattested: it may be this one",
    allow({ Resource: OTHER_KEY }),
    ["unattested-access"],
    "",
  ),
  row("another key, or any", allow({ ...BOUND, Resource: [OTHER_KEY, "*"] }), [], "D"),
  row("all keys of the account", allow({ ...BOUND, Resource: "arn:aws:kms:*:111122223333:key/*" }), [], "D"),
  row("all but any key", allow({ ...BOUND, Resource: undefined, NotResource: "*" }), [], /NotResource/),
  row("a resource with a variable", allow({ ...BOUND, Resource: "arn:aws:kms:*:*:key/${aws:userid}" }), [
    ...[],
  ], /Cannot judge the value/),
  rowOf("the version of 2008", { ...policyOf(use), Version: "2008-10-17" }, [], "D"),
  rowOf("no version", { Statement: [ADMINISTRATION, use] }, [], "D"),
  rowOf(
    "a version that there is not",
    { ...policyOf(use), Version: "2024-01-01" },
    /its Version is neither/,
    /Version/,
  ),
  rowOf("an id", { ...policyOf(use), Id: "key-default-1" }, [], "D"),
  row(
    "names, one of them twice",
    [allow({ ...BOUND, Sid: "Use" }), allow({ ...BOUND, Sid: "Use" })],
    [],
    "D",
  ),
  rowOf("a statement that is no list", { Statement: use }, ["lockout"], /Statement must be an array/),
  rowOf("no statement", { Version: "2012-10-17", Statement: [] }, /has no Statement/, ""),
  row("an effect in small letters", allow({ Effect: "allow" }), /neither Allow nor Deny/, /Effect must be/),
  row("an effect that is misspelt", { ...allow(), Efect: "Deny" }, /has no field "Efect"/, /Efect/),
  row(
    "an action in two ways",
    allow({ NotAction: "kms:Sign" }),
    /either Action or NotAction/,
    /either Action/,
  ),
  row("no action", allow({ Action: undefined }), /either Action or NotAction/, /either Action/),
  row("an empty list of actions", allow({ Action: [] }), /is empty/, /must have a value/),
  row("an action of a variable", allow({ Action: "kms:${aws:userid}" }), /is no action/, /Cannot judge/),
  row("an action without a service", allow({ Action: "Decrypt" }), /is no action/, /Cannot judge/),
  // A simulated key is everybody's where a real one would be nobody's: KMS refuses a statement without a principal.
  row("no principal", allow({ ...BOUND, Principal: undefined }), /either Principal or NotPrincipal/, "D"),
  row("no resource", allow({ ...BOUND, Resource: undefined }), /either Resource or NotResource/, "D"),
  row("a principal of nobody", allow({ Principal: {} }), /names nobody/, /must name somebody/),
  row(
    "a principal in small letters",
    allow({ Principal: { aws: ROLE } }),
    /has no field "aws"/,
    /principal aws/,
  ),
  row(
    "an empty list of values",
    allow({ Condition: pcrs("StringEquals", { 0: [] }) }),
    /is empty/,
    /must have a value/,
  ),
  row("a condition that is a list", allow({ Condition: [] }), /is no object/, /Condition/),
  row("a size that KMS refuses", allow({ ...BOUND, Sid: "x".repeat(32_768) }), ["size"], "D"),
];

/** Policies about who is left to change them. */
export const LOCKOUTS: readonly JudgedPolicy[] = [
  rowOf("nobody who administers", bare(use), ["lockout"], "D"),
  rowOf(
    "an administrator who may only look",
    bare(
      use,
      allow({
        Principal: { AWS: ADMIN },
        Action: "kms:Get*",
      }),
    ),
    ["lockout"],
    "D",
  ),
  rowOf("the role as the administrator", bare(use, put(ROLE)), ["bypass", "lockout"], "DP"),
  rowOf("the role and an administrator", bare(use, put([ROLE, ADMIN])), ["bypass"], "DP"),
  rowOf("the account", bare(use, put(ROOT)), [], "D", "DP"),
  rowOf("the account's number", bare(use, put("111122223333")), [], "D", "DP"),
  rowOf("a user as the administrator", bare(use, put("arn:aws:iam::111122223333:user/alice")), [], "D"),
  rowOf(
    "a service as the administrator",
    bare(use, {
      ...put(""),
      Principal: { Service: "cloudformation.amazonaws.com" },
    }),
    ["lockout"],
    "D",
  ),
  rowOf(
    "an administrator with a second factor",
    bare(
      use,
      put(ADMIN, {
        Condition: { Bool: { "aws:MultiFactorAuthPresent": "true" } },
      }),
    ),
    ["lockout"],
    /operator Bool/,
  ),
  rowOf("an administrator of another key", bare(use, put(ADMIN, { Resource: OTHER_KEY })), ["lockout"], "D"),
  rowOf("an administrator by wildcards", bare(use, put(ADMIN, { Action: "kms:*Policy" })), [], "D"),
  rowOf(
    "an administrator of everything but grants",
    bare(
      use,
      put(ADMIN, { Action: undefined, NotAction: ["kms:CreateGrant"] }),
    ),
    ["unattested-access"],
    "D",
  ),
  rowOf(
    "an administrator of everything but use",
    bare(
      use,
      put(ADMIN, { Action: undefined, NotAction: ["kms:De*", "kms:Generate*", "kms:ReEncrypt*"] }),
    ),
    [],
    "D",
  ),
  row("a denial of all policies", [use, deny({ Action: "kms:PutKeyPolicy" })], ["lockout"], "D"),
  row("a denial of everything but an image", [use, deny({ Condition: pcrs("StringNotEquals", { 0: A }) })], [
    "lockout",
  ], "D"),
  row(
    "a denial of all policies for the role",
    [
      use,
      deny({
        Principal: { AWS: ROLE },
        Action: "kms:PutKeyPolicy",
      }),
    ],
    [],
    "D",
  ),
  row(
    "a denial for who is not listed",
    [
      use,
      deny({
        Condition: { ArnNotEquals: { "aws:PrincipalArn": [ADMIN, ROLE] } },
      }),
    ],
    [],
    /operator ArnNotEquals/,
  ),
  rowOf("everybody", bare(use, put("*")), ["any-principal", "bypass", "lockout"], "DP"),
];

/** Policies and the image that runs. */
export const RUNNING: readonly JudgedPolicy[] = [
  running("the image that runs", [use], "kept", "D"),
  running(
    "the image that runs, and the next",
    [
      use,
      allow({ Condition: pcrs("StringEquals", { 0: B }) }),
    ],
    "kept",
    "DO",
  ),
  running("the next image alone", [allow({ Condition: pcrs("StringEquals", { 0: B }) })], "lost", "O"),
  running(
    "the image that runs, in capitals that KMS has not",
    [
      allow({ Condition: pcrs("StringEquals", { 0: A.toUpperCase() }) }),
    ],
    "lost",
    "",
  ),
  running(
    "the image that runs, for another role",
    [allow({ ...BOUND, Principal: { AWS: WRITER } })],
    "lost",
    "",
  ),
  running("the image that runs, of another key", [allow({ ...BOUND, Resource: OTHER_KEY })], "lost", ""),
  running("the image that runs, to encrypt", [allow({ ...BOUND, Action: "kms:Encrypt" })], "lost", ""),
  running(
    "the image that runs, for data keys",
    [allow({ ...BOUND, Action: "kms:GenerateDataKey" })],
    "kept",
    "K",
  ),
  running("the image that runs, denied", [use, deny({ Action: "kms:Decrypt", ...BOUND })], "lost", ""),
  running(
    "the image that runs, denied without a document",
    [
      use,
      deny({
        Action: "kms:Decrypt",
        Condition: { Null: { "kms:RecipientAttestation:PCR0": "true" } },
      }),
    ],
    "kept",
    "D",
  ),
  running(
    "the image that runs, with its signer",
    [
      allow({ Condition: pcrs("StringEquals", { 0: A, 8: PCR8 }) }),
    ],
    "kept",
    "D",
    PCR8,
  ),
  running(
    "the image that runs, with another signer",
    [
      allow({ Condition: pcrs("StringEquals", { 0: A, 8: B }) }),
    ],
    "lost",
    "",
    PCR8,
  ),
  running(
    "the image that runs, which is not signed, with a signer",
    [
      allow({ Condition: pcrs("StringEquals", { 0: A, 8: B }) }),
    ],
    "lost",
    "",
  ),
  {
    ...running(
      "the account, for the image that runs",
      [allow({ ...BOUND, Principal: { AWS: ROOT } })],
      "kept",
      "",
    ),
    account: "D",
  },
  {
    ...row("an operation that is listed", [use, allow({ Action: "kms:Sign" })], [], "DS"),
    options: { allowUnattested: ["kms:Sign"] },
  },
  {
    ...row("an operation that is not the one that is listed", [use, allow({ Action: "kms:GenerateMac" })], [
      "unattested-operation",
    ], "DM"),
    options: { allowUnattested: ["kms:Sign"] },
  },
  {
    ...rowOf(
      "an administrator of another account, of a key that is known",
      bare(
        use,
        put("arn:aws:iam::444455556666:role/key-admin"),
      ),
      ["lockout"],
      "D",
    ),
    options: { key: KEY },
  },
];
