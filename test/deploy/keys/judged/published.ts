/**
 * Policies in the shape of AWS's own published samples, by the names of their pages, with the principals of this table: facts
 * about what people start from.
 *
 * @module
 */
import {
  A,
  ADMIN,
  ALL,
  allow,
  B,
  deny,
  type JudgedPolicy,
  PCR1,
  PCR3,
  PCR4,
  PCR8,
  pcrs,
  ROLE,
  ROOT,
  rowOf,
} from "./judged.ts";

const THREE = ["unattested-access", "bypass", "unattested-operation"] as const;
const ACCOUNT_OF_KEY = "444455556666";

/** Statement of the default policy: "Enable IAM User Permissions". */
const DEFAULT = {
  ...allow({ Action: "kms:*", Principal: { AWS: ROOT } }),
  Sid: "Enable IAM User Permissions",
};

/** Statements of the console's default policy: administrators, users, and grants for services. */
const ADMINISTRATORS = allow({
  Sid: "Allow access for Key Administrators",
  Principal: { AWS: ADMIN },
  Action: [
    ...["kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*", "kms:Revoke*"],
    ...["kms:Disable*", "kms:Get*", "kms:Delete*", "kms:TagResource", "kms:UntagResource"],
    ...["kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion", "kms:RotateKeyOnDemand"],
  ],
});
const users = (...Action: readonly string[]) => allow({ Sid: "Allow use of the key", Action });
const USERS = users(
  ...["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
);
const GRANTS = allow({
  Sid: "Allow attachment of persistent resources",
  Action: ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"],
  Condition: { Bool: { "kms:GrantIsForAWSResource": true } },
});
const PROCESSING = [
  ...["kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey", "kms:GenerateDataKeyPair"],
  "kms:GenerateRandom",
];
const processing = (Condition: object) =>
  allow({ Sid: "Enable enclave data processing", Action: PROCESSING, Condition });

const page = (name: string, statements: readonly object[], ...rest: Tail): JudgedPolicy =>
  rowOf(name, { Version: "2012-10-17", Id: "key-policy", Statement: statements }, ...rest);

/** Makes a row of a sample that allows beside the console's administrators. */
const sample = (name: string, statements: readonly object[], ...rest: Tail): JudgedPolicy =>
  page(name, [ADMINISTRATORS, ...statements], ...rest);

type Tail = readonly [JudgedPolicy["gate"], JudgedPolicy["role"], string?];

/** Samples of the developer guide of KMS. */
export const PUBLISHED: readonly JudgedPolicy[] = [
  page("Default key policy, made by a program", [DEFAULT], THREE, "", ALL),
  page("Default key policy, made in the console, for symmetric keys", [
    DEFAULT,
    ADMINISTRATORS,
    USERS,
    GRANTS,
  ], [
    ...["unattested-access", "bypass", "unattested-operation"] as const,
  ], /Bool/),
  sample("Allows key administrators to administer the key", [], [], ""),
  sample("Allows key users to use the key", [USERS], ["unattested-access", "bypass"], "DOZNKkERL"),
  sample("Allows key users to use the key with AWS services", [GRANTS], ["bypass"], /Bool/),
  sample(
    "Key users of an asymmetric key for encryption",
    [
      users("kms:DescribeKey", "kms:GetPublicKey", "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*"),
    ],
    ["unattested-access", "bypass"],
    "DOZNERL",
  ),
  sample(
    "Key users of an asymmetric key for signing",
    [
      users("kms:DescribeKey", "kms:GetPublicKey", "kms:Sign", "kms:Verify"),
    ],
    ["unattested-operation"],
    "SL",
  ),
  sample(
    "Key users of a key for key agreement",
    [
      users("kms:DescribeKey", "kms:GetPublicKey", "kms:DeriveSharedSecret"),
    ],
    ["unattested-access"],
    "L",
  ),
  sample("Key users of an HMAC key", [users("kms:DescribeKey", "kms:GenerateMac", "kms:VerifyMac")], [
    "unattested-operation",
  ], "ML"),
  sample(
    "Allowing users in other accounts to use a key",
    [
      allow({
        Principal: { AWS: `arn:aws:iam::${ACCOUNT_OF_KEY}:root` },
        Action: ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
      }),
    ],
    ["unattested-access", "bypass"],
    "",
  ),
  sample(
    "Condition keys for Nitro Enclaves: ImageSha384",
    [
      processing({ StringEqualsIgnoreCase: { "kms:RecipientAttestation:ImageSha384": A } }),
    ],
    [],
    "DK",
  ),
  sample(
    "Condition keys for Nitro Enclaves: PCR<PCR_ID>, of PCR1",
    [
      processing(pcrs("StringEqualsIgnoreCase", { 1: PCR1 })),
    ],
    ["unattested-access"],
    "DK",
  ),
  sample(
    "Nitro Enclaves, cryptographic attestation: PCR0, PCR1 and PCR3",
    [
      processing(pcrs("StringEqualsIgnoreCase", { 0: A, 1: PCR1, 3: PCR3 })),
    ],
    [],
    "DK",
  ),
  sample(
    "Nitro Enclaves, where to get measurements: PCR3 of the role",
    [
      processing(pcrs("StringEqualsIgnoreCase", { 3: PCR3 })),
    ],
    ["unattested-access"],
    "DOK",
  ),
  sample(
    "Nitro Enclaves, where to get measurements: PCR4 of the instance",
    [
      processing(pcrs("StringEqualsIgnoreCase", { 4: PCR4 })),
    ],
    ["unattested-access"],
    "DOK",
  ),
  sample(
    "Nitro Enclaves, where to get measurements: PCR8 of the signer",
    [
      processing(pcrs("StringEqualsIgnoreCase", { 8: PCR8 })),
    ],
    ["unattested-access"],
    "DOK",
  ),
  page(
    "Nitro Enclaves SDK for C, kmstool: test policy, not filled in",
    [
      allow({
        Sid: "Enable decrypt from enclave",
        Condition: {
          StringEqualsIgnoreCase: { "kms:RecipientAttestation:ImageSha384": "EXAMPLETOBEUPDATED" },
        },
      }),
      allow({ Sid: "Enable encrypt from instance", Action: "kms:Encrypt" }),
      ADMINISTRATORS,
    ],
    ["pcr-value", "unattested-access"],
    "E",
  ),
  page(
    "Nitro Enclaves SDK for C, kmstool: test policy, of an image",
    [
      allow({ Condition: { StringEqualsIgnoreCase: { "kms:RecipientAttestation:ImageSha384": A } } }),
      allow({ Action: "kms:Encrypt" }),
      ADMINISTRATORS,
    ],
    [],
    "DE",
  ),
  page(
    "ACM for Nitro Enclaves: a role that decrypts a certificate",
    [
      DEFAULT,
      allow({ Action: "kms:Decrypt" }),
    ],
    THREE,
    "DOZN",
    ALL,
  ),
  sample(
    "kms:CallerAccount with kms:ViaService",
    [
      allow({
        Principal: { AWS: "*" },
        Action: ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant"],
        Condition: {
          StringEquals: {
            "kms:CallerAccount": "111122223333",
            "kms:ViaService": "ec2.eu-central-1.amazonaws.com",
          },
        },
      }),
    ],
    ["any-principal", "unattested-access", "bypass"],
    /condition key/,
  ),
  sample(
    "kms:ViaService",
    [
      allow({
        Action: ["kms:Decrypt", "kms:CreateGrant"],
        Condition: { StringEquals: { "kms:ViaService": ["ec2.us-west-2.amazonaws.com"] } },
      }),
    ],
    ["unattested-access", "bypass"],
    /condition key/,
  ),
  sample(
    "kms:EncryptionContext:context-key",
    [
      allow({ Condition: { StringEquals: { "kms:EncryptionContext:tenant": "a" } } }),
    ],
    ["unattested-access"],
    "DOZN",
  ),
  sample(
    "kms:EncryptionContextKeys",
    [
      allow({ Condition: { "ForAllValues:StringEquals": { "kms:EncryptionContextKeys": ["tenant"] } } }),
    ],
    ["unattested-access"],
    /operator/,
  ),
  sample(
    "kms:EncryptionAlgorithm",
    [
      allow({
        Action: ["kms:Encrypt", "kms:Decrypt"],
        Condition: { StringEquals: { "kms:EncryptionAlgorithm": "RSAES_OAEP_SHA_256" } },
      }),
    ],
    ["unattested-access"],
    "",
  ),
  sample(
    "kms:DataKeyPairSpec",
    [
      deny({
        Action: "kms:GenerateDataKeyPair*",
        Condition: { StringLike: { "kms:DataKeyPairSpec": "ECC*" } },
      }),
    ],
    [],
    "",
  ),
  sample(
    "kms:KeyAgreementAlgorithm",
    [
      allow({
        Action: "kms:DeriveSharedSecret",
        Condition: { StringEquals: { "kms:KeyAgreementAlgorithm": "ECDH" } },
      }),
    ],
    ["unattested-access"],
    "",
  ),
  sample(
    "kms:GrantConstraintType",
    [
      allow({
        Action: "kms:CreateGrant",
        Condition: { StringEquals: { "kms:GrantConstraintType": "EncryptionContextEquals" } },
      }),
    ],
    ["bypass"],
    /condition key/,
  ),
  sample(
    "kms:GrantOperations",
    [
      allow({
        Action: "kms:CreateGrant",
        Condition: { "ForAllValues:StringEquals": { "kms:GrantOperations": ["Encrypt"] } },
      }),
    ],
    ["bypass"],
    /operator/,
  ),
  sample(
    "kms:GranteePrincipal",
    [
      allow({ Action: "kms:CreateGrant", Condition: { StringEquals: { "kms:GranteePrincipal": ROLE } } }),
    ],
    ["bypass"],
    /condition key/,
  ),
  sample(
    "kms:MessageType",
    [
      allow({ Action: "kms:Sign", Condition: { StringEquals: { "kms:MessageType": "RAW" } } }),
    ],
    ["unattested-operation"],
    "S",
  ),
  sample(
    "kms:SigningAlgorithm",
    [
      allow({
        Action: ["kms:Sign", "kms:Verify"],
        Condition: { StringLike: { "kms:SigningAlgorithm": "RSASSA_PSS*" } },
      }),
    ],
    ["unattested-operation"],
    "",
  ),
  sample(
    "kms:MacAlgorithm",
    [
      allow({
        Action: ["kms:GenerateMac", "kms:VerifyMac"],
        Condition: { StringEquals: { "kms:MacAlgorithm": "HMAC_SHA_384" } },
      }),
    ],
    ["unattested-operation"],
    "M",
  ),
  sample(
    "kms:ReEncryptOnSameKey",
    [
      allow({ Action: "kms:ReEncrypt*", Condition: { Bool: { "kms:ReEncryptOnSameKey": true } } }),
    ],
    ["bypass"],
    /operator/,
  ),
  sample(
    "kms:RequestAlias",
    [
      allow({ Condition: { StringEquals: { "kms:RequestAlias": "alias/enclave" } } }),
    ],
    ["unattested-access"],
    /condition key/,
  ),
  sample(
    "kms:WrappingAlgorithm",
    [
      allow({
        Action: "kms:GetParametersForImport",
        Condition: { StringEquals: { "kms:WrappingAlgorithm": "RSAES_OAEP_SHA_256" } },
      }),
    ],
    [],
    /condition key/,
  ),
  sample(
    "kms:ExpirationModel",
    [
      allow({
        Action: "kms:ImportKeyMaterial",
        Condition: { StringEquals: { "kms:ExpirationModel": "KEY_MATERIAL_EXPIRES" } },
      }),
    ],
    ["bypass"],
    /condition key/,
  ),
  sample(
    "kms:ReplicaRegion",
    [
      allow({
        Action: "kms:ReplicateKey",
        Condition: { StringEquals: { "kms:ReplicaRegion": ["eu-west-3"] } },
      }),
    ],
    ["bypass"],
    /condition key/,
  ),
  sample(
    "kms:ScheduleKeyDeletionPendingWindowInDays",
    [
      deny({
        Action: "kms:ScheduleKeyDeletion",
        Condition: { NumericLessThanEquals: { "kms:ScheduleKeyDeletionPendingWindowInDays": "21" } },
      }),
    ],
    [],
    /operator/,
  ),
  sample(
    "kms:BypassPolicyLockoutSafetyCheck, which nobody needs",
    [
      deny({
        Action: ["kms:CreateKey", "kms:PutKeyPolicy"],
        Condition: { Bool: { "kms:BypassPolicyLockoutSafetyCheck": true } },
      }),
    ],
    [],
    /operator/,
  ),
  sample(
    "aws:MultiFactorAuthAge, for use",
    [
      allow({ Condition: { NumericLessThan: { "aws:MultiFactorAuthAge": "300" } } }),
    ],
    ["unattested-access"],
    /operator/,
  ),
  sample(
    "aws:PrincipalOrgID",
    [
      allow({ Principal: "*", Condition: { StringEquals: { "aws:PrincipalOrgID": "o-xxxxxxxxxxx" } } }),
    ],
    ["any-principal", "unattested-access"],
    /condition key/,
  ),
  sample(
    "aws:SourceVpce: a denial of use from elsewhere",
    [
      deny({
        Action: ["kms:Encrypt", "kms:Decrypt"],
        Condition: { StringNotEquals: { "aws:SourceVpce": "vpce-1234abcdf5678c90a" } },
      }),
    ],
    [],
    /condition key/,
  ),
  sample(
    "aws:SourceVpc: a denial of everything from elsewhere, which may hit the administrators",
    [
      deny({ Condition: { StringNotEquals: { "aws:SourceVpc": "vpc-12345678" } } }),
    ],
    ["bypass", "lockout"],
    /condition key/,
  ),
  sample(
    "CloudTrail encrypts its logs",
    [
      allow({
        Principal: { Service: "cloudtrail.amazonaws.com" },
        Action: "kms:GenerateDataKey*",
        Condition: { StringEquals: { "aws:SourceAccount": "111122223333" } },
      }),
    ],
    ["unattested-access"],
    /condition key/,
  ),
  sample(
    "CloudWatch Logs encrypts its groups",
    [
      allow({
        Principal: { Service: "logs.eu-central-1.amazonaws.com" },
        Action: ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
      }),
    ],
    ["unattested-access", "bypass"],
    "",
  ),
  sample(
    "Amazon EC2 Auto Scaling uses a key by its linked role",
    [
      allow({
        Principal: {
          AWS:
            "arn:aws:iam::111122223333:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
        },
        Action: ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
      }),
    ],
    ["unattested-access", "bypass"],
    "",
  ),
  sample(
    "Two images in one statement, as people write it",
    [
      processing(pcrs("StringEqualsIgnoreCase", { 0: [A, B], 8: [PCR8] })),
    ],
    [],
    "DOK",
  ),
];
