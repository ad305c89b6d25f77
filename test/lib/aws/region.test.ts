import assert from "node:assert/strict";
import { describe, test } from "#test";
import { checkHostName, checkRegion, kmsHostName } from "../../../lib/aws/region.ts";

const HOSTS: readonly (readonly [region: string, suffix: string])[] = [
  ["eu-central-1", "amazonaws.com"],
  ["us-gov-west-1", "amazonaws.com"],
  ["ap-southeast-12", "amazonaws.com"],
  ["cn-northwest-1", "amazonaws.com.cn"],
  ["eusc-de-east-1", "amazonaws.eu"],
  ["us-iso-east-1", "c2s.ic.gov"],
  ["us-isob-east-1", "sc2s.sgov.gov"],
  ["eu-isoe-west-1", "cloud.adc-e.uk"],
  ["us-isof-south-1", "csp.hci.ic.gov"],
];

const BAD_REGIONS = [
  "",
  "eu",
  "eu-central",
  "EU-central-1",
  "eu-central-1 ",
  "eu-central-1\n",
  "eu-central-1.x",
  "\neu-central-1",
  "1eu-central-1",
  "eu-central-0",
  "eu-central-123",
  `us-${"a".repeat(16)}-${"b".repeat(10)}-12`,
];
const BAD_HOSTS = [
  "",
  "a..b",
  ".a",
  "a.",
  "-a.b",
  "a-.b",
  "127.0.0.1",
  "::1",
  "a b",
  "a\n",
  "\na",
  "a.b-",
  "a/b",
  "a:443",
  "é.x",
];

describe("kmsHostName()", () => {
  test("refuses to leave the FIPS endpoint out for a misspelt option", () => {
    for (const options of [{ FIPS: true }, { fips: "true" }, { fips: 1 }, new Map([["fips", true]]), null]) {
      assert.throws(() => kmsHostName("us-east-1", options as never), TypeError);
    }
    assert.equal(kmsHostName("us-east-1", { fips: undefined }), "kms.us-east-1.amazonaws.com");
  });

  for (const [region, suffix] of HOSTS) {
    test(`knows the partition of ${region}`, () => {
      assert.equal(kmsHostName(region), `kms.${region}.${suffix}`);
      assert.equal(kmsHostName(region, { fips: true }), `kms-fips.${region}.${suffix}`);
    });
  }

  test("refuses what is no region, without repeating it", () => {
    for (const region of [...BAD_REGIONS, "a".repeat(99), "kms.evil.example/-1", "eu-central-1\0"]) {
      assert.throws(() => kmsHostName(region), {
        name: "TypeError",
        message: "Cannot use region: expected a name such as eu-central-1",
      });
    }
  });

  test("takes a region of 32 characters", () => {
    const region = `us-${"a".repeat(16)}-${"b".repeat(9)}-12`;
    assert.equal(region.length, 32);
    assert.equal(checkRegion(region), region);
  });

  test("refuses a region that is no string", () => {
    assert.throws(() => checkRegion(JSON.parse('["eu-central-1"]')), TypeError);
  });
});

describe("checkHostName()", () => {
  test("accepts DNS names and lowercases them", () => {
    assert.equal(
      checkHostName("VPCE-0a1.kms.eu-west-1.vpce.amazonaws.com"),
      "vpce-0a1.kms.eu-west-1.vpce.amazonaws.com",
    );
    for (const name of ["localhost", "a.b", `${"a".repeat(63)}.${"b".repeat(63)}`, `${"a.".repeat(126)}a`]) {
      assert.equal(checkHostName(name), name);
    }
  });

  test("refuses a name that is no string", () => {
    assert.throws(() => checkHostName(JSON.parse('["localhost"]')), /^TypeError: Cannot use hostName: /);
  });

  test("refuses everything else", () => {
    for (const name of [...BAD_HOSTS, `${"a".repeat(64)}.x`, "a.".repeat(127) + "ab"]) {
      assert.throws(() => checkHostName(name), {
        name: "TypeError",
        message: "Cannot use hostName: expected a DNS name such as kms.eu-central-1.amazonaws.com",
      }, JSON.stringify(name));
    }
  });
});
