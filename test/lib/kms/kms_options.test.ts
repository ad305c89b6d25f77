import assert from "node:assert/strict";
import { describe, test } from "#test";
import { TlsAuthority } from "../../../sim/mod.ts";
import type { NsmTransport } from "../../../lib/nsm/nsm_transport.ts";
import { checkOptions, type KmsClientOptions, OPTION_FIELDS } from "../../../lib/kms/kms_options.ts";

const REGION = "eu-central-1";
const CREDENTIALS = { accessKeyId: "AKIA", secretAccessKey: "secret" };
const LONGEST_PATH = `/${"p".repeat(106)}`;

const check = (options: object) =>
  checkOptions({ region: REGION, credentials: CREDENTIALS, ...options } as KmsClientOptions);

const refuses = (name: "TypeError" | "RangeError", message: string | RegExp, options: object) =>
  assert.throws(() => check(options), { name, message });

describe("checkOptions()", () => {
  test("fills in what is right for an enclave", () => {
    assert.deepEqual(check({}), {
      region: REGION,
      credentials: CREDENTIALS,
      expiredCredentials: "use",
      engine: "auto",
      endpoint: { transport: "vsock", cid: 3, port: 8000 },
      hostName: "kms.eu-central-1.amazonaws.com",
      hostNameGiven: false,
      trustedCertificates: undefined,
      library: undefined,
      libcryptoPath: undefined,
      nsm: undefined,
      recipient: undefined,
      timeoutMs: 10_000,
      maxAttempts: 3,
      maxConnections: 16,
      connectionMaxIdleMs: 30_000,
      attestationMaxAgeMs: 60_000,
      keyPairMaxAgeMs: 3_600_000,
      keyPairMaxUses: 100_000,
    });
  });

  test("passes on what is given", () => {
    const nsm = { exchange: () => {} } as unknown as NsmTransport;
    const given = {
      engine: "sdk",
      endpoint: { transport: "tcp", host: "localhost", port: 1 },
      library: "/lib.so",
      nsm,
    };
    const checked = check({ ...given, hostName: "KMS.example" });
    const { engine, endpoint, library } = checked;
    assert.deepEqual({ engine, endpoint, library, nsm: checked.nsm }, given);
    assert.deepEqual([checked.hostName, checked.hostNameGiven], ["kms.example", true]);
  });

  test("knows its fields", () => {
    assert.deepEqual(Object.keys(check({})).filter((name) => name !== "hostNameGiven"), [
      ...[
        "region",
        "credentials",
        "expiredCredentials",
        "engine",
        "endpoint",
        "hostName",
        "trustedCertificates",
        "library",
        "libcryptoPath",
        "nsm",
      ],
      ...OPTION_FIELDS.slice(10),
    ]);
    const everything = Object.fromEntries(OPTION_FIELDS.map((name) => [name, undefined]));
    check({ ...everything, region: REGION, credentials: CREDENTIALS });
    refuses("TypeError", /^The KMS client options have no field `proxy`/, { proxy: 1 });
  });

  test("takes recipient none on engine direct, with nothing that attests", () => {
    assert.equal(check({ recipient: "none", engine: "direct" }).recipient, "none");
    refuses("TypeError", "recipient must be one of none", { recipient: "nsm" });
    refuses("TypeError", 'engine must be auto or direct when recipient is "none"', {
      recipient: "none",
      engine: "sdk",
    });
    for (const other of [{ nsm: { exchange: () => {} } }, { library: "/lib.so" }]) {
      refuses("TypeError", /^nsm and library must not be given/, { recipient: "none", ...other });
    }
  });

  for (const engine of ["auto", "direct", "sdk", "sdk-client"]) {
    test(`knows engine ${engine}`, () => assert.equal(check({ engine }).engine, engine));
  }

  const LIMITS = {
    timeoutMs: [1, 2_147_483_647],
    maxAttempts: [1, 10],
    maxConnections: [1, 1024],
    connectionMaxIdleMs: [1, 2_147_483_647],
    attestationMaxAgeMs: [0, 240_000],
    keyPairMaxAgeMs: [1000, 2_147_483_647],
    keyPairMaxUses: [1, 2_147_483_647],
  } as const;
  for (const [name, [min, max]] of Object.entries(LIMITS)) {
    test(`takes ${name} from ${min} to ${max}`, () => {
      for (const value of [min, max]) {
        assert.equal(check({ [name]: value })[name as keyof typeof LIMITS], value);
      }
      const message = `${name} must be an integer from ${min} to ${max}`;
      for (const value of [min - 1, max + 1]) refuses("RangeError", message, { [name]: value });
      refuses("TypeError", `${name} must be a number`, { [name]: "1" });
    });
  }

  const ENDPOINTS = [
    { transport: "vsock", cid: 0, port: 0 },
    { transport: "vsock", cid: 2 ** 32 - 1, port: 2 ** 32 - 1 },
    { transport: "tcp", host: "h".repeat(253), port: 65_535 },
    { transport: "unix", path: LONGEST_PATH },
    { transport: "unix", path: "ä".repeat(53) },
  ];
  for (const endpoint of ENDPOINTS) {
    test(`takes the endpoint ${JSON.stringify(endpoint).slice(0, 60)}`, () => {
      assert.deepEqual(check({ endpoint }).endpoint, endpoint);
    });
  }

  test("refuses engines that are none", () => {
    refuses("TypeError", "engine must be one of auto, direct, sdk, sdk-client", { engine: "fast" });
  });

  test("knows what becomes of expired credentials", () => {
    for (const expiredCredentials of ["use", "refuse"]) {
      assert.equal(check({ expiredCredentials }).expiredCredentials, expiredCredentials);
    }
    refuses("TypeError", "expiredCredentials must be one of use, refuse", { expiredCredentials: true });
  });

  test("joins certificates line by line", async () => {
    const { trustedCertificates: pem } = await TlsAuthority.create("localhost", Date.now);
    assert.equal(check({ trustedCertificates: pem }).trustedCertificates?.trim(), pem.trim());
    const twice = check({ trustedCertificates: [pem.trim(), pem.trim()] }).trustedCertificates;
    assert.equal(twice?.trim(), `${pem.trim()}\n${pem.trim()}`);
    const { length } = pem;
    const padded = (room: number) => [pem, "\n".repeat((1 << 20) - length - 1 - room)];
    refuses("RangeError", "trustedCertificates must have 1 to 1048576 characters", {
      trustedCertificates: padded(-1),
    });
    refuses("TypeError", /^Cannot use trustedCertificates: text 1 holds no PEM/, {
      trustedCertificates: padded(0),
    });
    refuses("TypeError", /^Cannot use trustedCertificates: expected PEM text or a list of it$/, {
      trustedCertificates: [],
    });
  });

  test("refuses endpoints that are none", () => {
    const transports = "endpoint.transport must be one of vsock, tcp, unix";
    refuses(
      "TypeError",
      'The endpoint must be an object, such as { transport: "tcp", host: "127.0.0.1", port: 8443 }',
      { endpoint: "vsock:3:8000" },
    );
    refuses("TypeError", transports, { endpoint: {} });
    refuses("TypeError", transports, { endpoint: { transport: "udp" } });
    refuses("TypeError", /^The endpoint has no field `address`/, { endpoint: { address: 1 } });
    const numbers = "must be an integer from 0 to 4294967295";
    const vsock = { transport: "vsock", cid: 3, port: 1 };
    refuses("RangeError", `endpoint.cid ${numbers}`, { endpoint: { ...vsock, cid: 2 ** 32 } });
    refuses("RangeError", `endpoint.port ${numbers}`, { endpoint: { ...vsock, port: 2 ** 32 } });
    const tcp = { transport: "tcp", host: "a", port: 1 };
    refuses("RangeError", "endpoint.host must have 1 to 253 characters", { endpoint: { ...tcp, host: "" } });
    refuses("RangeError", "endpoint.port must be an integer from 1 to 65535", {
      endpoint: { ...tcp, port: 65_536 },
    });
    refuses("RangeError", "endpoint.path must have 1 to 107 characters", {
      endpoint: { transport: "unix", path: `${LONGEST_PATH}p` },
    });
    refuses("RangeError", "endpoint.path must have at most 107 bytes", {
      endpoint: { transport: "unix", path: "ä".repeat(54) },
    });
  });

  test("refuses a library, an NSM and certificates that are none", () => {
    refuses("TypeError", /^library must be an absolute path: this process started in \//, {
      library: "a/",
    });
    refuses("RangeError", "library must have 1 to 4096 characters", { library: `/${"l".repeat(4096)}` });
    assert.equal(check({ library: `/${"l".repeat(4095)}` }).library?.length, 4096);
    refuses("TypeError", /^libcryptoPath must be an absolute path: this process started in \//, {
      libcryptoPath: "libcrypto.so.3",
    });
    for (const libcryptoPath of [undefined, "off", "/usr/lib/libcrypto.so.3"]) {
      assert.equal(check({ libcryptoPath }).libcryptoPath, libcryptoPath);
    }
    for (const nsm of [{}, { exchange: 7 }]) refuses("TypeError", "nsm must be an NsmTransport", { nsm });
    refuses("RangeError", "trustedCertificates must have 1 to 1048576 characters", {
      trustedCertificates: "",
    });
  });
});
