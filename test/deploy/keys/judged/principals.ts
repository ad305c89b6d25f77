import { ADMIN, allow, BOUND, type JudgedPolicy, ROLE, ROOT, row, SESSION, WRITER } from "./judged.ts";

const ABROAD = "arn:aws:iam::444455556666:root";

const bound = (AWS: string | readonly string[]) => allow({ ...BOUND, Principal: { AWS } });
const free = (AWS: string | readonly string[], Action: string | readonly string[]) =>
  allow({ Principal: { AWS }, Action });

/** Policies about principals. */
export const PRINCIPALS: readonly JudgedPolicy[] = [
  row("the role", bound(ROLE), [], "D"),
  row("the role and another", bound([ADMIN, ROLE]), [], "D"),
  row("another role", bound(WRITER), [], ""),
  row("the account, for an image", bound(ROOT), [], "", "D"),
  row("the account by its number, for an image", bound("111122223333"), [], "", "D"),
  row("a session of the role", bound(SESSION), [], "D"),
  row("another session of the role", bound(SESSION.replace("i-0123", "i-4567")), [], ""),
  row("another account, for an image", bound(ABROAD), [], ""),
  row("a user", bound("arn:aws:iam::111122223333:user/alice"), [], ""),
  row("a role of the same name with a path", bound("arn:aws:iam::111122223333:role/team/enclave"), [], ""),
  row("a role of the same name in another account", bound("arn:aws:iam::444455556666:role/enclave"), [], ""),
  row("everybody, for an image", allow({ ...BOUND, Principal: "*" }), ["any-principal"], "D"),
  row("everybody of AWS, for an image", bound("*"), ["any-principal"], "D"),
  row("everybody in a list", bound([ROLE, "*"]), ["any-principal"], "D"),
  row(
    "a pattern of roles",
    bound("arn:aws:iam::111122223333:role/*"),
    ["any-principal"],
    /Cannot judge the value/,
  ),
  row("a pattern of one letter", bound("arn:aws:iam::111122223333:role/enclav?"), [
    "any-principal",
  ], /Cannot judge the value/),
  row("everybody but a role", allow({ ...BOUND, Principal: undefined, NotPrincipal: { AWS: ADMIN } }), [
    "any-principal",
  ], /NotPrincipal/),
  row("a service, for an image", allow({ ...BOUND, Principal: { Service: "ec2.amazonaws.com" } }), [], ""),
  row(
    "a provider of identities",
    allow({ ...BOUND, Principal: { Federated: "cognito-identity.amazonaws.com" } }),
    [
      ...[],
    ],
    "",
  ),
  row("a canonical user", allow({ ...BOUND, Principal: { CanonicalUser: "79a59df900b949e5" } }), [], ""),
  row(
    "the role and a service",
    allow({ ...BOUND, Principal: { AWS: ROLE, Service: "ec2.amazonaws.com" } }),
    [],
    "D",
  ),
  row("a unique id, for an image", bound("AROAEXAMPLEEXAMPLEEXA"), [], ""),

  row("the account, to decrypt", free(ROOT, "kms:Decrypt"), ["unattested-access"], "", "DOZN"),
  row("the account, to grant", free(ROOT, "kms:CreateGrant"), ["bypass"], "", "C"),
  row("the account, to sign", free(ROOT, "kms:Sign"), ["unattested-operation"], "", "S"),
  row("the account, to administer", free(ROOT, ["kms:PutKeyPolicy", "kms:DescribeKey"]), [], "", "PL"),
  row("the account, to encrypt", free("111122223333", "kms:Encrypt"), [], "", "E"),
  row("another account, to decrypt", free(ABROAD, "kms:Decrypt"), ["unattested-access"], ""),
  row("another account, to re-encrypt", free(ABROAD, "kms:ReEncrypt*"), ["bypass"], ""),
  row("another account, to encrypt", free(ABROAD, "kms:Encrypt"), [], ""),
  row("an administrator, to decrypt", free(ADMIN, "kms:Decrypt"), ["unattested-access"], ""),
  row("an administrator, to grant", free(ADMIN, "kms:CreateGrant"), [], ""),
  row("an administrator, to sign", free(ADMIN, "kms:Sign"), [], ""),
  row("another role, to grant", free(WRITER, "kms:CreateGrant"), ["bypass"], ""),
  row("another role, to encrypt", free(WRITER, "kms:Encrypt"), [], ""),
  row("another role, to re-encrypt to the key", free(WRITER, "kms:ReEncryptTo"), [], ""),
  row("another role, to sign", free(WRITER, "kms:Sign"), [], ""),
  row("another role, to decrypt", free(WRITER, "kms:Decrypt"), ["unattested-access"], ""),
  row(
    "another role and an administrator, to grant",
    free([ADMIN, WRITER], "kms:CreateGrant"),
    ["bypass"],
    "",
  ),
  row(
    "another role, that administers as well",
    free(WRITER, ["kms:PutKeyPolicy", "kms:CreateGrant"]),
    [],
    "",
  ),
  row("a session, to sign", free(SESSION, "kms:Sign"), ["unattested-operation"], "S"),
  row("a session, to put another policy", free(SESSION, "kms:PutKeyPolicy"), ["bypass"], "P"),
  row("a unique id, to grant", free("AROAEXAMPLEEXAMPLEEXA", "kms:CreateGrant"), ["bypass"], ""),
  row("a unique id, to sign", free("AIDAEXAMPLEEXAMPLEEXA", "kms:Sign"), ["unattested-operation"], ""),
  row(
    "a service, to decrypt",
    allow({ Principal: { Service: "s3.amazonaws.com" } }),
    ["unattested-access"],
    "",
  ),
  row(
    "a service, to grant",
    allow({ Principal: { Service: "ec2.amazonaws.com" }, Action: "kms:CreateGrant" }),
    [
      "bypass",
    ],
    "",
  ),
  row("everybody, to describe", allow({ Principal: "*", Action: "kms:DescribeKey" }), ["any-principal"], "L"),
  row("everybody, to decrypt", allow({ Principal: "*" }), ["any-principal", "unattested-access"], "DOZN"),
];
