import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "#test";
import { judgePolicy } from "../../../deploy/keys/gate.ts";
import { makeKeyPolicy, measureText } from "../../../deploy/keys/make_policy.ts";
import { SETTING_TABLE } from "../../../parent/settings/setting_table.ts";
import { evaluate, readTemplate, type Template } from "../../support/cloudformation.ts";
import { readPage } from "../../support/documents.ts";

const TEXT = readPage("deploy/cloudformation/instance.yaml");
const TEMPLATE = readTemplate(TEXT);

const ROLE = "arn:aws:iam::111122223333:role/enclave";
const ADMINISTRATOR = "arn:aws:iam::111122223333:role/key-admin";
const [OLD, NEW] = ["1a".repeat(48), "2b".repeat(48)];
const PCR3 = await measureText(ROLE);
const RUNNER = `111122223333.dkr.ecr.eu-central-1.amazonaws.com/runner@sha256:${"a".repeat(64)}`;

const VALUES: Readonly<Record<string, unknown>> = {
  "AWS::Region": "eu-central-1",
  "AWS::Partition": "aws",
  VpcId: "vpc-1",
  SubnetId: "subnet-1",
  InstanceType: "m6i.xlarge",
  ImageId: "ami-1",
  RoleName: "enclave",
  AdministratorArn: ADMINISTRATOR,
  Pcr0: NEW,
  Pcr3: PCR3,
  OtherPcr0: "",
  RunnerImage: RUNNER,
  RunnerRepositoryArn: "arn:aws:ecr:eu-central-1:111122223333:repository/runner",
  EnclaveMemoryMib: 1024,
  EnclaveCpuCount: 2,
  "Role.Arn": ROLE,
  "InstanceProfile.Arn": "arn:aws:iam::111122223333:instance-profile/enclave",
  "LaunchTemplate.LatestVersionNumber": "1",
  Role: "enclave",
  SecurityGroup: "sg-1",
  LaunchTemplate: "lt-1",
};

function propertiesOf(
  resource: string,
  change: Readonly<Record<string, unknown>> = {},
  template: Template = TEMPLATE,
) {
  return evaluate(template.Resources[resource]?.Properties, template, { ...VALUES, ...change }) as Record<
    string,
    never
  >;
}

function policyOf(change?: Readonly<Record<string, unknown>>, template?: Template): string {
  return JSON.stringify(propertiesOf("Key", change, template)["KeyPolicy"]);
}

/** Policy without the names of its statements, which cannot be of the images here. */
function unnamed(policy: string) {
  const { Version, Statement } = JSON.parse(policy) as {
    Version: string;
    Statement: Record<string, unknown>[];
  };
  return { Version, Statement: Statement.map(({ Sid: _, ...rest }) => rest) };
}

describe("instance.yaml", () => {
  test("has the key policy that key-policy make writes, and the gate passes it", () => {
    const made = makeKeyPolicy({
      images: [{ pcr0: NEW }],
      role: ROLE,
      administrators: [ADMINISTRATOR],
      pcr3: PCR3,
    });
    assert.deepEqual(unnamed(policyOf()), unnamed(made));
    assert.deepEqual(judgePolicy(policyOf(), { role: ROLE, running: [{ pcr0: NEW }] }), []);
  });

  test("has both images during a rollout, each in a statement of its own", () => {
    const images = [{ pcr0: NEW }, { pcr0: OLD }];
    const made = makeKeyPolicy({ images, role: ROLE, administrators: [ADMINISTRATOR], pcr3: PCR3 });
    const policy = policyOf({ OtherPcr0: OLD });
    assert.deepEqual(unnamed(policy), unnamed(made));
    assert.deepEqual(judgePolicy(policy, { role: ROLE, running: images }), []);
    assert.deepEqual(judgePolicy(policyOf(), { role: ROLE, running: images }).map(({ rule }) => rule), [
      "running-image",
    ]);
  });

  const mistakes: Readonly<Record<string, readonly [from: string, to: string, rule: string]>> = {
    "no condition": ["StringEqualsIgnoreCase:", "Bool:", "unattested-access"],
    "a pattern around a PCR": ["StringEqualsIgnoreCase:", "StringLike:", "loose-condition"],
    "the role as its own administrator": ["- !Ref AdministratorArn", "- !GetAtt Role.Arn", "bypass"],
    "grants for the role": ["- kms:Decrypt", "- kms:Decrypt\n              - kms:CreateGrant", "bypass"],
    "nobody who can change it": ["              - kms:PutKeyPolicy\n", "", "lockout"],
    "a signature without attestation": [
      "- kms:Decrypt",
      "- kms:Decrypt\n              - kms:Sign",
      "unattested-operation",
    ],
  };
  for (const [what, [from, to, rule]] of Object.entries(mistakes)) {
    test(`with ${what} would be refused by the gate`, () => {
      const changed = TEXT.replace(from, to);
      assert.notEqual(changed, TEXT);
      const rules = judgePolicy(policyOf({}, readTemplate(changed)), { role: ROLE }).map((finding) =>
        finding.rule
      );
      assert.ok(rules.some((found) => found === rule), rules.join());
    });
  }

  test("takes neither a PCR of debug mode, nor an image by its tag, nor the account as administrator", () => {
    const refused: Readonly<Record<string, readonly string[]>> = {
      Pcr0: ["0".repeat(96), "", "2B".repeat(48), "2b".repeat(47)],
      Pcr3: ["0".repeat(96), ""],
      OtherPcr0: ["0".repeat(96), "x"],
      RunnerImage: [RUNNER.replace(/@.*/, ":latest"), `${RUNNER}'; id; '`, RUNNER.slice(0, -1)],
      AdministratorArn: ["arn:aws:iam::111122223333:root", "*"],
      RoleName: ["", "a'b"],
    };
    for (const [name, values] of Object.entries(refused)) {
      const pattern = new RegExp(TEMPLATE.Parameters[name]?.AllowedPattern ?? "(");
      assert.match(String(VALUES[name]), pattern, name);
      for (const value of values) assert.doesNotMatch(value, pattern, name);
    }
  });

  test("makes an instance with enclaves, whose metadata service has version 2 alone and reaches a container", () => {
    const { LaunchTemplateData } = propertiesOf("LaunchTemplate") as unknown as {
      LaunchTemplateData: { EnclaveOptions: unknown; MetadataOptions: unknown };
    };
    assert.deepEqual(LaunchTemplateData.EnclaveOptions, { Enabled: true });
    assert.deepEqual(LaunchTemplateData.MetadataOptions, {
      HttpEndpoint: "enabled",
      HttpTokens: "required",
      HttpPutResponseHopLimit: 2,
    });
    assert.equal(propertiesOf("SecurityGroup")["SecurityGroupIngress"], undefined);
  });

  test("gives the role nothing of the key but what the key's policy gives it", () => {
    const { Policies } = propertiesOf("Role") as unknown as { Policies: readonly unknown[] };
    assert.match(JSON.stringify(Policies), /ecr:BatchGetImage/);
    assert.doesNotMatch(JSON.stringify(Policies), /kms:|"Action":"\*"|iam:/);
  });

  test("starts the runner by a script that bash reads, with variables that the parent takes", () => {
    const data = propertiesOf("LaunchTemplate")["LaunchTemplateData"] as unknown as { UserData: string };
    const script = data.UserData;
    assert.match(script, /^#!\/bin\/bash\nset -euo pipefail\n/);
    assert.equal(spawnSync("bash", ["-n"], { input: script }).status, 0);
    assert.match(script, /"\$\{image%%\/\*\}"/);
    const variables = Object.values(SETTING_TABLE).map(({ variable }) => variable);
    const own = ["ENCLAVE_MEMORY_MB", "ENCLAVE_CPU_COUNT"];
    const given = Array.from(script.matchAll(/-e (\w+)=(\S+)/g), ([, name = ""]) => name);
    assert.deepEqual(given.filter((name) => !own.includes(name) && !variables.includes(name)), []);
    assert.equal(given.length, 3);
    // The image by digest, and the memory that the allocator has.
    assert.ok(script.includes(RUNNER) && script.includes("memory_mib: 1024"));
  });

  test("refers to nothing that is not there", () => {
    for (const resource of Object.keys(TEMPLATE.Resources)) propertiesOf(resource);
    assert.throws(
      () => propertiesOf("Key", {}, readTemplate(TEXT.replace("!Ref Pcr3", "!Ref Pcr4"))),
      /no Pcr4/,
    );
    assert.throws(() => readTemplate(TEXT.replace("!Ref Pcr3", "!Reff Pcr3")), /Reff/);
  });
});
