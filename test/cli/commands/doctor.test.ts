import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe } from "#test";
import { UsageError } from "../../../cli/usage_error.ts";
import { examine, firstBroken, LINKS } from "../../../cli/doctor/examine.ts";
import type { Finding, LinkName } from "../../../cli/doctor/finding.ts";
import { type Machine, thisMachine } from "../../../cli/doctor/machine.ts";
import type { DoctorOptions } from "../../../cli/doctor/examination.ts";
import { chooseRuntimeCrypto, runtimeCrypto } from "../../../lib/kms/runtime_crypto.ts";
import { NsmSocket } from "../../../lib/nsm/nsm_socket.ts";
import type { NsmTransport } from "../../../lib/nsm/nsm_transport.ts";
import type { Endpoint } from "../../../mod.ts";
import { choosePort } from "../../../sim/free_port.ts";
import {
  KMS_FAULTS,
  type KmsExceptionName,
  type KmsFault,
  NSM_FAULTS,
  type NsmFault,
  type Simulator,
  startSimulator,
  TlsAuthority,
} from "../../../sim/mod.ts";
import { divideTests } from "../../support/share.ts";

const test = divideTests();

/** Far more than the command gives itself: a busy machine must not look like a broken link. */
const PATIENT_MS = 60_000;

/** Time limit where something never answers, in milliseconds: more than the command's own. */
const STALLED_MS = 8000;

/** Link that doctor must name first; undefined: nothing is broken. */
type Expected = LinkName | undefined;

/** Wrong options, beside the simulator's own faults. */
type Change = Partial<Omit<DoctorOptions, "client">> & { readonly client?: Partial<DoctorOptions["client"]> };

describe("doctor", () => {
  let enclave: Simulator;
  let folder: string;

  beforeAll(async () => {
    enclave = await startSimulator();
    folder = mkdtempSync(join(tmpdir(), "enclave-kms-doctor-"));
    writeFileSync(join(folder, "good.cedar"), "permit(principal, action, resource);\n");
    writeFileSync(join(folder, "bad.cedar"), "permit(principal, action, resource);\n\nforbid(principal\n");
    writeFileSync(
      join(folder, "odd.cedar"),
      "permit(principal, action, resource) when { context.tenant };\n",
    );
    writeFileSync(join(folder, "not.wasm"), "no module");
  });
  afterAll(async () => {
    await enclave.close();
    rmSync(folder, { recursive: true });
  });

  /** Makes options without a policy, which takes as long to load as all the rest. */
  function optionsOf(simulator: Simulator, { client, ...change }: Change = {}): DoctorOptions {
    const { credentials, ...options } = simulator.clientOptions;
    return {
      client: { ...options, ...client },
      credentials: () => credentials,
      root: simulator.nsm.root,
      machine: quietMachine(),
      timeoutMs: PATIENT_MS,
      ...change,
    };
  }

  test("says which cryptography runs, and what to do where it is not OpenSSL's", async () => {
    const crypto = async () => (await examine(optionsOf(enclave))).find(({ link }) => link === "crypto")!;
    const { provider, reason, hint } = runtimeCrypto();
    const found = await crypto();
    if (provider === "openssl") assert.match(`${found.state}: ${found.what}`, /^ok: OpenSSL 3\./);
    else assert.deepEqual([found.state, found.hint, found.what.endsWith(reason!)], ["warning", hint, true]);
    chooseRuntimeCrypto("off");
    try {
      const { state, what, hint } = await crypto();
      assert.match(
        `${state}: ${what}`,
        /^warning: node:crypto of (Node\.js|Deno) [\d.]+: OpenSSL is switched off$/,
      );
      assert.match(hint ?? "", /ENCLAVE_KMS_LIBCRYPTO/);
    } finally {
      chooseRuntimeCrypto(undefined);
    }
  });

  test("finds nothing broken where nothing is", async () => {
    const findings = await examine(optionsOf(enclave, { policyFile: join(folder, "good.cedar") }));
    assert.deepEqual(findings.map(({ link }) => link), LINKS.map(({ name }) => name));
    assert.deepEqual(
      findings.filter(({ state }) => state !== "ok").map(({ link, state }) => `${link} ${state}`),
      [
        ...runtimeCrypto().provider === "openssl" ? [] : ["crypto warning"],
        "library unneeded",
        "vsock unneeded",
      ],
    );
  });

  test("reads documents in the form of before 2025 as well", async () => {
    await using old = await startSimulator({ nsm: { documentForm: "definite" } });
    assert.equal(firstBroken(await examine(optionsOf(old))), undefined);
  });

  describe("names the link that is broken when the simulated KMS", () => {
    for (const { name, fault } of KMS_FAULTS.filter(({ fault }, index) => isOfThisRun(fault, index))) {
      test(name, async () => {
        await enclave.kms.injectFault(fault);
        try {
          const findings = await examine(optionsOf(enclave, patienceFor(fault.kind)));
          // A reset may overtake the short answer too, on a busy machine: then it is KMS that does not answer.
          const overtaken = fault.kind === "resetAtByte" && firstBroken(findings)?.link === "kms";
          assertFirst(findings, overtaken ? "kms" : brokenByKms(fault));
        } finally {
          await enclave.kms.clearFaults();
        }
      });
    }
    for (const [kmsCode, expected] of REFUSALS) {
      test(`refuses with ${kmsCode}`, async () => {
        await enclave.kms.injectFault({ kind: "refusal", kmsCode });
        try {
          assertFirst(await examine(optionsOf(enclave)), expected);
        } finally {
          await enclave.kms.clearFaults();
        }
      });
    }
  });

  describe("names the link that is broken when the simulated NSM", () => {
    for (const { name, fault } of NSM_FAULTS) {
      test(name, async () => {
        enclave.nsm.injectFault(fault);
        // A module that was silent keeps its next askers waiting: each case has one of its own.
        const nsm: NsmTransport = {
          exchange: (request) => enclave.nsm.exchange(request),
          [Symbol.dispose]: () => {},
        };
        try {
          const findings = await examine(optionsOf(enclave, { client: { nsm }, ...patienceFor(fault.kind) }));
          assertFirst(findings, brokenByNsm(fault));
          if (fault.kind === "debug") assert.equal(stateOf(findings, "nsm"), "warning");
        } finally {
          enclave.nsm.clearFaults();
        }
      });
    }

    test("is not there", async () => {
      assertFirst(await examine(optionsOf(enclave, { client: { nsm: undefined } })), "nsm");
    });

    test("has no socket", async () => {
      using nsm = new NsmSocket(join(folder, "none.sock"));
      assertFirst(await examine(optionsOf(enclave, { client: { nsm } })), "nsm");
    });

    test("has another root", async () => {
      assertFirst(await examine(optionsOf(enclave, { root: undefined })), "nsm");
    });
  });

  describe("names the proxy, or what is behind it, when it", () => {
    for (const [name, serve, expected] of PROXIES) {
      test(name, async () => {
        await using proxy = await listen(serve);
        const change = { client: { endpoint: proxy.endpoint }, timeoutMs: STALLED_MS };
        assertFirst(await examine(optionsOf(enclave, change)), expected);
      });
    }

    test("is not there", async () => {
      const endpoint: Endpoint = { transport: "tcp", host: "127.0.0.1", port: await choosePort() };
      assertFirst(await examine(optionsOf(enclave, { client: { endpoint } })), "proxy");
    });

    test("has no unix socket", async () => {
      const endpoint: Endpoint = { transport: "unix", path: join(folder, "none.sock") };
      assertFirst(await examine(optionsOf(enclave, { client: { endpoint } })), "proxy");
    });
  });

  describe("names the link that is broken by", () => {
    const cases: readonly (readonly [string, () => Change | Promise<Change>, Expected])[] = [
      ["an old Node.js", () => machine({ runtime: { name: "node", version: "22.11.0" } }), "runtime"],
      ["an old Deno", () => machine({ runtime: { name: "deno", version: "2.8.3" } }), "runtime"],
      ["Node's rule against native code", () => machine(nodeWithout("addon")), "permissions"],
      ["Node's rule against the network", () => machine(nodeWithout("net")), "permissions"],
      ["Deno's rule against the network", () => machine(denoWithout("net")), "permissions"],
      ["Deno's rule against variables", () => ({
        ...machine(denoWithout("env")),
        credentials: () => {
          throw new UsageError("--aws-access-key-id must be set");
        },
      }), "permissions"],
      ["Deno's vsock that is switched off", () => ({
        ...machine(DENO),
        client: { endpoint: { transport: "vsock", cid: 3, port: 8000 } },
      }), "permissions"],
      ["a library that is not there", () => ({ client: { library: "/nonexistent.so" } }), "library"],
      ["a library that is none", () => ({ client: { library: join(folder, "not.wasm") } }), "library"],
      ["an engine without its library", () => ({
        client: { engine: "sdk", library: join(folder, "none.so") },
      }), "library"],
      ["another authority", async () => ({
        client: { trustedCertificates: (await TlsAuthority.create("kms.example.com")).trustedCertificates },
      }), "tls"],
      ["another host name", () => ({ client: { hostName: "kms.example.com" } }), "tls"],
      ["another region", () => ({ client: { region: "eu-central-1" } }), "tls"],
      ["a kernel without entropy", () => machine({ readKernel: () => "0" }), "entropy"],
      ["a wrong secret", () => changeCredentials({ secretAccessKey: "x".repeat(40) }), "credentials"],
      [
        "an unknown access key",
        () => changeCredentials({ accessKeyId: "AKIAIOSFODNN7EXAMPLE" }),
        "credentials",
      ],
      [
        "a session token of another",
        () => changeCredentials({ sessionToken: "x".repeat(200) }),
        "credentials",
      ],
      ["a malformed secret", () => changeCredentials({ secretAccessKey: "two words" }), "credentials"],
      ["credentials that expired", () => {
        const expired = enclave.kms.issueCredentials();
        enclave.kms.expireCredentials(expired);
        return { credentials: () => expired };
      }, "credentials"],
      ["credentials that are missing", () => ({
        credentials: () => {
          throw new UsageError("--aws-access-key-id must be set");
        },
      }), "credentials"],
      ["a policy that is malformed", () => ({ policyFile: join(folder, "bad.cedar") }), "policy"],
      ["a policy that does not fit the schema", () => ({ policyFile: join(folder, "odd.cedar") }), "policy"],
      ["a plug-in that is none", () => ({ policyFile: join(folder, "not.wasm") }), "policy"],
      ["a policy that is not there", () => ({ policyFile: join(folder, "none.cedar") }), "policy"],
      ["a good policy, which is none", () => ({ policyFile: join(folder, "good.cedar") }), undefined],
      ["no policy at all, which is fine", () => ({ policyFile: undefined }), undefined],
    ];
    for (const [name, change, expected] of cases) {
      test(name, async () => {
        assertFirst(await examine(optionsOf(enclave, await change())), expected);
      });
    }

    function changeCredentials(change: Partial<Simulator["credentials"]>): Change {
      return { credentials: () => ({ ...enclave.credentials, ...change }) };
    }
  });

  describe("names the clock when it", () => {
    for (
      const [name, skewMs, expected] of [
        ["is ten minutes ahead", -600_000, "clock"],
        ["is ten minutes behind", 600_000, "clock"],
        ["is sixty days ahead, so that KMS's certificate has expired by it", -60 * 86_400_000, "clock"],
        ["is sixty days behind, so that KMS's certificate is not valid yet", 60 * 86_400_000, "clock"],
        ["is two minutes behind, which KMS bears", 120_000, undefined],
      ] as const
    ) {
      test(name, async () => {
        await using skewed = await startSimulator({ now: () => Date.now() + skewMs });
        const findings = await examine(optionsOf(skewed));
        assertFirst(findings, expected);
        if (expected === undefined) assert.equal(stateOf(findings, "clock"), "warning");
      });
    }
  });

  test("blames no clock when nobody that has another one answers", async () => {
    await enclave.kms.injectFault({ kind: "tlsSilence" });
    enclave.nsm.injectFault({ kind: "silent" });
    try {
      const findings = await examine(optionsOf(enclave, { timeoutMs: STALLED_MS }));
      assertFirst(findings, "nsm");
      assert.equal(stateOf(findings, "clock"), "untried");
    } finally {
      enclave.nsm.clearFaults();
      await enclave.kms.clearFaults();
    }
  });

  test("does not vouch for credentials that KMS never saw", async () => {
    await enclave.kms.injectFault({ kind: "truncate", byte: 400 });
    try {
      const findings = await examine(optionsOf(enclave));
      assertFirst(findings, "round-trip");
      assert.equal(stateOf(findings, "credentials"), "untried");
    } finally {
      await enclave.kms.clearFaults();
    }
  });

  describe("of two broken links names the first:", () => {
    test("the proxy before credentials", async () => {
      await enclave.kms.injectFault({ kind: "refuse" });
      try {
        const findings = await examine(optionsOf(enclave, { credentials: () => assert.fail("asked") }));
        assertFirst(findings, "proxy");
        assert.equal(stateOf(findings, "credentials"), "untried");
      } finally {
        await enclave.kms.clearFaults();
      }
    });

    test("the NSM before the policy, which is examined all the same", async () => {
      enclave.nsm.injectFault({ kind: "refuse", errorName: "InternalError" });
      try {
        const findings = await examine(optionsOf(enclave, { policyFile: join(folder, "bad.cedar") }));
        assertFirst(findings, "nsm");
        assert.equal(stateOf(findings, "policy"), "broken");
        assert.match(findingOf(findings, "policy").code ?? "", /ERR_POLICY_LOAD \(line \d+, column \d+/);
      } finally {
        enclave.nsm.clearFaults();
      }
    });
  });

  test("says how to mend what is broken, and nothing of a secret", async () => {
    const secret = "c2VjcmV0IGFjY2VzcyBrZXkgb2YgdGhlIHRlc3Q0";
    for (const fault of [undefined, { kind: "refusal", kmsCode: "InvalidSignatureException" }] as const) {
      if (fault !== undefined) await enclave.kms.injectFault(fault);
      const credentials = () => ({ ...enclave.credentials, secretAccessKey: secret });
      const findings = await examine(optionsOf(enclave, { credentials }));
      await enclave.kms.clearFaults();
      assertFirst(findings, "credentials");
      assert.match(findingOf(findings, "credentials").hint ?? "", /secret access key/);
      assert.ok(!JSON.stringify(findings).includes(secret));
      assert.ok(!JSON.stringify(findings).includes(enclave.credentials.sessionToken));
    }
  });
});

function patienceFor(kind: KmsFault["kind"] | NsmFault["kind"]): Change {
  return ["hang", "tlsSilence", "silent"].includes(kind) ? { timeoutMs: STALLED_MS } : {};
}

/**
 * Doctor hears of a wrong envelope from the client that refused it, in one error whichever it is: a run has
 * each of them on one of the runtimes, SLOW=1 on both. The engines' own tests have them all.
 */
function isOfThisRun({ kind }: KmsFault, index: number): boolean {
  if (kind !== "wrongEnvelope" || process.env["SLOW"] === "1") return true;
  return (index % 2 === 0) === ("Deno" in globalThis);
}

const REFUSALS: readonly (readonly [KmsExceptionName, Expected])[] = [
  ["ExpiredTokenException", "credentials"],
  ["IncompleteSignatureException", "credentials"],
  ["InvalidSignatureException", "credentials"],
  ["MissingAuthenticationTokenException", "credentials"],
  ["UnrecognizedClientException", "credentials"],
  ["AccessDeniedException", undefined],
  ["ValidationException", "round-trip"],
  ["LimitExceededException", "round-trip"],
  ["KMSInternalException", "round-trip"],
  ["UnsupportedOperationException", "round-trip"],
];

/** Peers in place of KMS or a proxy, and their treatment of a connection. */
const PROXIES: readonly (readonly [string, (socket: Socket) => void, Expected])[] = [
  ["accepts and stalls", () => {}, "proxy"],
  ["accepts and resets", (socket) => socket.resetAndDestroy(), "proxy"],
  ["accepts and closes", (socket) => socket.end(), "proxy"],
  ["accepts, reads and resets", (socket) => socket.once("data", () => socket.resetAndDestroy()), "proxy"],
  ["leads to something that speaks first", (socket) => socket.write("SSH-2.0-OpenSSH_9.2\r\n"), "tls"],
  ["leads to HTTP without TLS", (socket) => {
    socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"));
  }, "tls"],
];

function brokenByKms(fault: KmsFault): Expected {
  switch (fault.kind) {
    case "latency":
    case "closeWhenIdle":
    case "wrongKeyId": // random bytes have no key
      return undefined;
    case "refuse":
    case "tlsSilence": // from here it looks like a proxy that stalls
      return "proxy";
    case "certificate":
      return "tls";
    case "resetAtByte":
    case "truncate": // a refusal is short, and the sealed answer long
      return fault.byte < 200 ? "kms" : "round-trip";
    case "hang":
    case "unavailable":
    case "answer":
    case "garbage":
    case "notHttp":
    case "oversized":
      return "kms";
    case "throttled":
    case "internalError":
    case "refusal":
    case "wrongEnvelope":
    case "missingEnvelope":
    case "plaintextInstead":
    case "plaintextBeside":
      return "round-trip";
  }
}

function brokenByNsm(fault: NsmFault): Expected {
  return fault.kind === "latency" || fault.kind === "debug" ? undefined : "nsm";
}

/** This machine, with a kernel that has enough of everything, as not every test machine has. */
function quietMachine(): Machine {
  return { ...thisMachine, readKernel: (path) => path.endsWith("entropy_avail") ? "256" : undefined };
}

function machine(change: Partial<Machine>): Change {
  return { machine: { ...quietMachine(), ...change } };
}

const DENO: Partial<Machine> = {
  runtime: { name: "deno", version: "2.9.5" },
  allows: () => true,
  commandLine: () => "deno\0run\0-A\0cli/main.ts\0doctor",
};

function denoWithout(right: string): Partial<Machine> {
  return { ...DENO, allows: (name) => name !== right };
}

function nodeWithout(right: string): Partial<Machine> {
  return { runtime: { name: "node", version: "24.21.0" }, allows: (name) => name !== right };
}

function assertFirst(findings: readonly Finding[], expected: Expected): void {
  const first = firstBroken(findings);
  const told = findings.map(({ link, state, what }) => `${state} ${link}: ${what}`).join("\n");
  assert.equal(first?.link, expected, told);
  if (first !== undefined) assert.ok(first.hint !== undefined && first.hint.length > 20, told);
}

function findingOf(findings: readonly Finding[], name: LinkName): Finding {
  const finding = findings.find(({ link }) => link === name);
  assert.ok(finding);
  return finding;
}

function stateOf(findings: readonly Finding[], name: LinkName): string {
  return findingOf(findings, name).state;
}

interface Listening extends AsyncDisposable {
  readonly endpoint: Endpoint;
}

async function listen(serve: (socket: Socket) => void): Promise<Listening> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return {
    endpoint: { transport: "tcp", host: "127.0.0.1", port: address.port },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
