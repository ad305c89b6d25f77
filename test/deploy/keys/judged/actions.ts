import { ALL, allow, BOUND, type JudgedPolicy, row } from "./judged.ts";

const UNATTESTED = ["unattested-access"] as const;
const BYPASS = ["bypass"] as const;
const SIGNING = ["unattested-operation"] as const;
const THREE = ["unattested-access", "bypass", "unattested-operation"] as const;

const bound = (Action: string | readonly string[]) => allow({ ...BOUND, Action });
const free = (Action: string | readonly string[]) => allow({ Action });
const not = (NotAction: string | readonly string[], more: object = {}) =>
  allow({ Action: undefined, NotAction, ...more });

/** Policies about actions of the enclave's role. */
export const ACTIONS: readonly JudgedPolicy[] = [
  row("two actions of an image", bound(["kms:Decrypt", "kms:GenerateDataKey"]), [], "DK"),
  row("all data keys of an image", bound("kms:GenerateDataKey*"), [], "K"),
  row("an action in small letters", bound("kms:decrypt"), [], "D"),
  row("an action in capitals", bound("KMS:DECRYPT"), [], "D"),
  row("an action with a question mark", bound("kms:Decryp?"), [], "D"),
  row("a wildcard in the middle, of an image", bound("kms:D*crypt"), [], "D"),
  row("all that begins so, of an image", bound("kms:De*"), [], "D"),
  row("encrypting beside it, both of an image", bound(["kms:Decrypt", "kms:Encrypt"]), [], "D"),
  row("random bytes of an image", bound("kms:GenerateRandom"), [], ""),
  row("a shared secret of an image", bound("kms:DeriveSharedSecret"), [], ""),
  row("everything, of an image", bound("kms:*"), ["bypass", "unattested-operation"], "DK"),
  row("everything of AWS, of an image", bound("*"), ["bypass", "unattested-operation"], "DK"),
  row("all that is generated, of an image", bound("kms:Generate*"), SIGNING, "K"),
  row("all but decrypting, of an image", not("kms:Decrypt", BOUND), ["bypass", "unattested-operation"], "K"),
  row("a grant, of an image", bound("kms:CreateGrant"), BYPASS, ""),
  row("signing, of an image", bound("kms:Sign"), SIGNING, ""),

  row("decrypting", free("kms:Decrypt"), UNATTESTED, "DOZN"),
  row("decrypting by a wildcard in the middle", free("kms:D*crypt"), UNATTESTED, "DOZN"),
  row("decrypting by two wildcards", free("kms:*ecryp*"), UNATTESTED, "DOZN"),
  row("decrypting by a question mark", free("kms:?ecrypt"), UNATTESTED, "DOZN"),
  row("decrypting by a wildcard that stands for nothing", free("kms:Decrypt*"), UNATTESTED, "DOZN"),
  row("decrypting in mixed case", free("Kms:dEcRyPt"), UNATTESTED, "DOZN"),
  row("all that begins with De", free("kms:De*"), UNATTESTED, "DOZNL"),
  row("data keys", free("kms:GenerateDataKey"), UNATTESTED, "Kk"),
  row("data keys by a wildcard", free("kms:g*y"), UNATTESTED, "Kk"),
  row("data keys without their plaintext", free("kms:GenerateDataKeyWithoutPlaintext"), [], ""),
  row("key pairs without their plaintext", free("kms:GenerateDataKeyPairWithoutPlaintext"), [], ""),
  row("key pairs", free("kms:GenerateDataKeyPair"), UNATTESTED, ""),
  row("random bytes", free("kms:GenerateRandom"), UNATTESTED, ""),
  row("a shared secret", free("kms:DeriveSharedSecret"), UNATTESTED, ""),
  row("encrypting", free("kms:Encrypt"), [], "E"),
  row("describing the key", free("kms:DescribeKey"), [], "L"),
  row("all that describes", free(["kms:Describe*", "kms:Get*", "kms:List*"]), [], "L"),
  row("the public key", free("kms:GetPublicKey"), [], ""),
  row("verifying", free(["kms:Verify", "kms:VerifyMac"]), [], ""),
  row("signing", free("kms:Sign"), SIGNING, "S"),
  row("a MAC", free("kms:GenerateMac"), SIGNING, "M"),
  row("all that begins with S", free("kms:S*"), SIGNING, "S"),
  row("all that ends in Mac", free("kms:*Mac"), SIGNING, "M"),
  row("a grant", free("kms:CreateGrant"), BYPASS, "C"),
  row("all that is created", free("kms:Create*"), BYPASS, "C"),
  row("re-encrypting", free("kms:ReEncrypt*"), BYPASS, "R"),
  row("re-encrypting from the key", free("kms:ReEncryptFrom"), BYPASS, "R"),
  row("re-encrypting to the key", free("kms:ReEncryptTo"), BYPASS, ""),
  row("a replica with another policy", free("kms:ReplicateKey"), BYPASS, ""),
  row("material of its own", free("kms:ImportKeyMaterial"), BYPASS, ""),
  row("another policy", free("kms:PutKeyPolicy"), BYPASS, "P"),
  row("all policies", free("kms:*Policy"), BYPASS, "P"),
  row("the end of grants", free(["kms:RetireGrant", "kms:RevokeGrant", "kms:ListGrants"]), [], ""),
  row("the end of the key", free("kms:ScheduleKeyDeletion"), [], ""),
  row("everything", free("kms:*"), THREE, ALL),
  row("everything of AWS", free("*"), THREE, ALL),
  row("everything with any name", free("kms:**"), THREE, ALL),
  row("all that ends in Key", free("kms:*Key"), ["unattested-access", "bypass"], "KkL"),
  row("a list with one that matters", free(["s3:*", "kms:DescribeKey", "kms:Decrypt"]), UNATTESTED, "DOZNL"),
  row("all but another policy", not("kms:PutKeyPolicy"), THREE, ALL.replace("P", "")),
  row(
    "all but what is attested",
    not(["kms:De*", "kms:Generate*"]),
    ["bypass", "unattested-operation"],
    "ECRSP",
  ),
  row("all but another service", not("s3:*"), THREE, ALL),
  row("all but everything", not("kms:*"), [], ""),
  row("all but decrypting, in small letters", not("kms:decrypt"), THREE, ALL.replace("DOZN", "")),
  row("another service", free("s3:*"), [], ""),
  row("an action that there is not", free("kms:NoSuchAction"), [], ""),
  row("names of one letter", free("kms:?"), [], ""),
];
