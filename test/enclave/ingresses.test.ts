/**
 * gRPC of an application in the enclave through both halves of bridges, in the clear and over attested TLS that ends
 * before its server, which knows nothing of either.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe } from "#test";
import {
  type Enclave,
  enclaveApp,
  type EnclaveOptions,
  type IngressDeclaration,
  startEnclave,
} from "../../enclave/mod.ts";
import { ConfigError } from "../../enclave/settings.ts";
import { createLogger } from "../../enclave/telemetry/log.ts";
import { fetchAttestedCertificate } from "../../lib/channel/node/mod.ts";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import { AttestationError } from "../../lib/core/errors.ts";
import { connect, createFetch, listen, serve } from "../../lib/transport/mod.ts";
import { IngressBridge } from "../../parent/ingress_bridge.ts";
import { type Simulator, SoftwareNsm, startSimulator } from "../../sim/mod.ts";
import { pem } from "../../sim/tls/certificates.ts";
import { codeBlocks, readPage } from "../support/documents.ts";
import { type GrpcCaller, GrpcProcess, type GrpcServer } from "../support/grpc_process.ts";
import type { CallerIdentity } from "../support/grpc_service.ts";
import { until } from "../support/until.ts";
import { makeAuthority, makeClient } from "./channels/tls_serving.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests();

const folder = mkdtempSync(join(tmpdir(), "enclave-kms-ingress-"));
const policyFile = join(folder, "policy.cedar");
const ANY_PORT = { transport: "tcp", host: "127.0.0.1", port: 0 } as const;
const [TLS_PORT, CLEAR_PORT] = [50_051, 50_052];

let peers: GrpcProcess;
let simulator: Simulator;
let authority: Awaited<ReturnType<typeof makeAuthority>>;
let nextCid = 100;

/** An enclave with a server of gRPC, and the parent's halves of its bridges. */
class World implements AsyncDisposable {
  readonly echo: GrpcServer;
  readonly enclave: Enclave;
  readonly tls: IngressBridge;
  readonly clear: IngressBridge;
  readonly lines: readonly string[];

  private constructor(
    { echo, enclave, tls, clear, lines }: Pick<World, "echo" | "enclave" | "tls" | "clear" | "lines">,
  ) {
    this.echo = echo;
    this.enclave = enclave;
    this.tls = tls;
    this.clear = clear;
    this.lines = lines;
  }

  static async open(
    declaration: IngressDeclaration = {},
    environment: Record<string, string> = {},
    options: Partial<EnclaveOptions> = {},
  ): Promise<World> {
    const echo = await peers.serve();
    const simulatedCid = nextCid++;
    const lines: string[] = [];
    const common = { simulationFolder: folder, simulatedCid, targetPort: echo.port };
    const enclave = await start(
      [{ ...common, port: TLS_PORT, tls: true, ...declaration }, { ...common, port: CLEAR_PORT }],
      environment,
      { logger: createLogger("debug", (line) => lines.push(line)), ...options },
    );
    const bridge = (enclavePort: number) =>
      IngressBridge.open({ enclaveCid: simulatedCid, enclavePort, port: 0, simulationFolder: folder });
    const [tls, clear] = [await bridge(TLS_PORT), await bridge(CLEAR_PORT)];
    return new World({ echo, enclave, tls, clear, lines });
  }

  /** Certificate as a caller gets and verifies it. */
  async certificate(pcr0 = simulator.nsm.pcr(0)): Promise<string> {
    const trust = { pcrs: { 0: pcr0 }, root: simulator.nsm.root, timeoutMs: 60_000 };
    return (await fetchAttestedCertificate(this.enclave.endpoint, trust)).pem;
  }

  async caller(identity?: CallerIdentity): Promise<GrpcCaller> {
    return await peers.call(portOf(this.tls), await this.certificate(), identity);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const part of [this.tls, this.clear, this.enclave, this.echo]) await part[Symbol.asyncDispose]();
  }
}

async function start(
  ingresses: readonly IngressDeclaration[],
  environment: Record<string, string> = {},
  options: Partial<EnclaveOptions> = {},
): Promise<Enclave> {
  const { endpoint, region, trustedCertificates } = simulator.clientOptions;
  assert.ok(endpoint?.transport === "tcp");
  return await startEnclave(enclaveApp(), {
    name: "grpc",
    // An enclave disposes its NSM when it closes; this one is shared.
    nsm: { exchange: (request) => simulator.nsm.exchange(request), [Symbol.dispose]() {} },
    trustedCertificates,
    signals: false,
    ingresses,
    environment: {
      ENV_SETUP: "SIM",
      ENCLAVE_KMS_REQUEST_TIMEOUT_MS: "50000",
      ENCLAVE_PORT: "0",
      CONTROL_PORT: "0",
      ENCLAVE_KMS_POLICY_FILE: policyFile,
      ENCLAVE_KMS_KMS: `tcp:${endpoint.host}:${endpoint.port}`,
      ENCLAVE_KMS_REGION: String(region),
      ENCLAVE_KMS_LOG_LEVEL: "silent",
      // Callers of gRPC keep their connections.
      ENCLAVE_KMS_SHUTDOWN_GRACE_MS: "2000",
      ...environment,
    },
    ...options,
  });
}

function portOf({ endpoint }: Pick<IngressBridge, "endpoint">): number {
  return (endpoint as TcpEndpoint).port;
}

async function saidCount(server: GrpcServer): Promise<number> {
  return (await server.counts()).saidCount;
}

function hasStatus(code: grpc.status) {
  return (error: unknown) => (error as grpc.ServiceError).code === code;
}

beforeAll(async () => {
  peers = await GrpcProcess.start();
  simulator = await startSimulator();
  authority = await makeAuthority();
  writeFileSync(policyFile, 'permit(principal, action == Action::"GetAttestation", resource);');
  writeFileSync(join(folder, "clients.pem"), pem("CERTIFICATE", authority.certificate));
});
afterAll(async () => {
  await peers[Symbol.asyncDispose]();
  await simulator.close();
  rmSync(folder, { recursive: true });
});

describe("gRPC through both halves of a bridge", () => {
  for (const isTls of [false, true]) {
    const how = isTls ? "over attested TLS" : "in the clear";

    test(`${how}: a unary call, a stream, 4 MiB, a deadline and a cancelled call`, async () => {
      await using world = await World.open();
      await using caller = isTls ? await world.caller() : await peers.call(portOf(world.clear));
      assert.equal(await caller.say("hello"), "hello");
      assert.deepEqual(await caller.count(1000), Array.from({ length: 1000 }, (_, index) => index));
      assert.ok(await caller.sayLarge(60_000));
      await assert.rejects(caller.hang(200), hasStatus(grpc.status.DEADLINE_EXCEEDED));
      await until(async () => (await world.echo.counts()).cancelledCount === 1);
      const cancelled = caller.hang(600_000);
      void until(async () => (await world.echo.counts()).hangingCount === 2).then(() => caller.cancel());
      await assert.rejects(cancelled, hasStatus(grpc.status.CANCELLED));
      // The server is told, and not only the caller.
      await until(async () => (await world.echo.counts()).cancelledCount === 2);
      assert.equal(world.enclave.ingresses.reduce((sum, { counters }) => sum + counters.acceptedCount, 0), 1);
    });
  }

  test("over attested TLS is nothing that the parent could read, unlike in the clear", async () => {
    await using world = await World.open();
    for (const isTls of [false, true]) {
      const seen: Buffer[] = [];
      const target = {
        transport: "tcp",
        host: "127.0.0.1",
        port: portOf(isTls ? world.tls : world.clear),
      } as const;
      await using spy = await listen(ANY_PORT, {}, async ({ stream }) => {
        const way = await connect(target);
        stream.on("data", (chunk: Buffer) => seen.push(chunk));
        stream.pipe(way).pipe(stream);
      });
      await using caller = await peers.call(portOf(spy), isTls ? await world.certificate() : undefined);
      await caller.say("a very secret message");
      assert.equal(Buffer.concat(seen).includes("a very secret message"), !isTls);
    }
  });

  test("agrees on h2 or http/1.1, and on TLS 1.3 alone", async () => {
    await using world = await World.open();
    const ca = await world.certificate();
    const protocolOf = (options: object) =>
      new Promise<string>((resolve) => {
        const socket = connectTls({
          host: "127.0.0.1",
          port: portOf(world.tls),
          servername: "enclave.internal",
          ca,
          ...options,
        });
        socket.once("secureConnect", () => {
          resolve(`${socket.getProtocol()} ${socket.alpnProtocol}`);
          socket.destroy();
        });
        socket.on("error", () => resolve("refused"));
        socket.once("close", () => resolve("refused"));
      });
    assert.equal(await protocolOf({ ALPNProtocols: ["h2"] }), "TLSv1.3 h2");
    assert.equal(await protocolOf({ ALPNProtocols: ["http/1.1"] }), "TLSv1.3 http/1.1");
    assert.equal(await protocolOf({ ALPNProtocols: ["http/1.1", "h2"] }), "TLSv1.3 h2");
    assert.equal(await protocolOf({ ALPNProtocols: ["smtp"] }), "refused");
    assert.equal(await protocolOf({ ALPNProtocols: ["h2"], maxVersion: "TLSv1.2" }), "refused");
  });

  test("goes on for calls under way when the enclave closes, and is refused afterwards", async () => {
    await using world = await World.open();
    await using caller = await world.caller();
    await caller.say("first");
    const closing = world.enclave.close();
    assert.equal(await caller.say("last"), "last");
    await caller[Symbol.asyncDispose]();
    await closing;
    assert.equal(world.enclave.ingresses[0]?.counters.openCount, 0);
  });
});

/** A Python that has grpc, such as Debian's with the package python3-grpcio. */
const python = ["python3", "/usr/bin/python3"].find((program) => {
  return spawnSync(program, ["-c", "import grpc"], { stdio: "ignore" }).status === 0;
});

describe(`Python's grpc${python === undefined ? " (skipped: python3-grpcio is not installed)" : ""}`, () => {
  /** Runs a program of Python's in the folder of `cert.pem`. */
  async function run(args: readonly string[]): Promise<string> {
    // A proxy of the machine's is none of the test's.
    const env = { PATH: process.env["PATH"], no_proxy: "127.0.0.1" };
    const child = spawn(python ?? "", args, { cwd: folder, env, stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk) => output += String(chunk));
    await once(child, "close");
    return output;
  }

  const CALLER = fileURLToPath(new URL("../support/grpc_caller.py", import.meta.url));
  const ALL_WELL = "say hello\ncount True\nlarge True\nhang DEADLINE_EXCEEDED\nhang CANCELLED\n";

  test.skipIf(python === undefined)(
    "does all of that through both halves, with TLS and without",
    async () => {
      await using world = await World.open();
      assert.equal(await run([CALLER, String(portOf(world.clear))]), ALL_WELL);
      writeFileSync(join(folder, "cert.pem"), await world.certificate());
      assert.equal(await run([CALLER, String(portOf(world.tls)), "cert.pem"]), ALL_WELL);
      await until(async () => (await world.echo.counts()).cancelledCount === 4);
    },
  );

  test.skipIf(python === undefined)("sends nothing to an enclave with another certificate", async () => {
    await using world = await World.open();
    await using impostor = await World.open();
    writeFileSync(join(folder, "cert.pem"), await world.certificate());
    assert.equal(await run([CALLER, String(portOf(impostor.tls)), "cert.pem"]), "say UNAVAILABLE\n");
    assert.equal(await saidCount(impostor.echo), 0);
  });

  test.skipIf(python === undefined)("is pinned by the page's recipe", async () => {
    const [block] = codeBlocks("docs/grpc.md", readPage("docs/grpc.md"), ["python"]);
    await using world = await World.open();
    writeFileSync(join(folder, "cert.pem"), await world.certificate());
    const code = String(block?.code).replace("50051", String(portOf(world.tls)));
    assert.equal(await run(["-c", code.replace("demo.Echo", "enclave.Echo")]), "b'hello'\n");
  });
});

describe("a hostile parent", () => {
  test("that ends TLS itself gets no message", async () => {
    await using world = await World.open();
    await using other = await peers.serve();
    // Another enclave's certificate stands for any that the parent can have the key of.
    await using impostor = await World.open({ targetPort: other.port });
    await using caller = await peers.call(portOf(impostor.tls), await world.certificate());
    await assert.rejects(caller.say("secret", 5000), hasStatus(grpc.status.UNAVAILABLE));
    assert.deepEqual([await saidCount(other), await saidCount(world.echo)], [0, 0]);
    // The same message arrives where the certificate is the attested one.
    await using right = await impostor.caller();
    await right.say("secret");
    assert.equal(await saidCount(other), 1);
  });

  test("that swaps the certificate is found out before there is a caller", async () => {
    await using world = await World.open();
    await using impostor = await World.open();
    const swapped = await impostor.certificate();
    // A parent that changes one member of the answer.
    const ask = createFetch(world.enclave.endpoint);
    const swap = async (request: Request) => {
      const { pathname, search } = new URL(request.url);
      const answer = await (await ask(`http://enclave${pathname}${search}`)).json() as object;
      return Response.json({ ...answer, certificate: swapped });
    };
    await using parent = await serve(swap, { endpoint: ANY_PORT });
    const trust = { pcrs: { 0: simulator.nsm.pcr(0) }, root: simulator.nsm.root };
    await assert.rejects(
      fetchAttestedCertificate(parent.endpoint, trust),
      (error: unknown) => error instanceof AttestationError && error.code === "ERR_ATTESTATION_PUBLIC_KEY",
    );
  });

  test("that leads to an enclave of another image is refused with its document", async () => {
    using other = await SoftwareNsm.create({ pcrs: { 0: new Uint8Array(48).fill(7) } });
    await using world = await World.open({}, {}, { nsm: other });
    const trust = { pcrs: { 0: simulator.nsm.pcr(0) }, root: other.root };
    await assert.rejects(
      fetchAttestedCertificate(world.enclave.endpoint, trust),
      (error: unknown) => error instanceof AttestationError && error.code === "ERR_ATTESTATION_PCR",
    );
  });

  test("cannot pass a redeployed enclave off as the one before: callers ask again", async () => {
    const before = await World.open();
    const certificate = await before.certificate();
    const cid = nextCid - 1;
    await using caller = await peers.call(portOf(before.tls), certificate);
    await caller.say("first");
    await before.enclave.close();
    await using echo = await peers.serve();
    const declaration = { simulationFolder: folder, simulatedCid: cid, targetPort: echo.port };
    await using after = await start([{ ...declaration, port: TLS_PORT, tls: true }]);
    await assert.rejects(caller.say("second", 20_000), hasStatus(grpc.status.UNAVAILABLE));
    assert.equal(await saidCount(echo), 0);
    const trust = { pcrs: { 0: simulator.nsm.pcr(0) }, root: simulator.nsm.root };
    const { pem: renewed } = await fetchAttestedCertificate(after.endpoint, trust);
    assert.notEqual(renewed, certificate);
    await using again = await peers.call(portOf(before.tls), renewed);
    assert.equal(await again.say("second"), "second");
    await before[Symbol.asyncDispose]();
  });
});

describe("clients of an ingress with authorities", () => {
  const settings = { ENCLAVE_KMS_CLIENT_AUTHORITIES_FILE: join(folder, "clients.pem") };

  /** KMS tells the time, by which certificates are judged, with its first answer. */
  async function learnTime({ enclave }: World): Promise<void> {
    await until(async () => {
      await enclave.kms.generateRandom({ numberOfBytes: 8 }).catch(() => {});
      const answer = await fetch(`http://127.0.0.1:${(enclave.endpoint as TcpEndpoint).port}/readyz`);
      return (await answer.json() as { clock?: boolean }).clock === true;
    });
  }

  test("are let in with a certificate only, unless those without are welcome, too", async () => {
    await using world = await World.open({}, settings);
    await learnTime(world);
    const [client, stranger] = [await makeClient(authority), await makeClient(undefined)];
    await using known = await world.caller(client);
    assert.equal(await known.say("hello"), "hello");
    for (const identity of [undefined, stranger]) {
      await using refused = await world.caller(identity);
      await assert.rejects(refused.say("hello", 5000), hasStatus(grpc.status.UNAVAILABLE));
    }
    assert.equal(await saidCount(world.echo), 1);
    assert.ok(world.lines.some((line) => line.includes('"certificate-missing"')));
    await using open = await World.open({ clientCertificates: "optional" }, settings);
    await using anybody = await open.caller();
    assert.equal(await anybody.say("hello"), "hello");
  });

  test("are turned away while the time is not known", async () => {
    await using world = await World.open({}, { ...settings, ENCLAVE_KMS_KMS: "tcp:127.0.0.1:1" });
    await using known = await world.caller(await makeClient(authority));
    await assert.rejects(known.say("hello", 5000), hasStatus(grpc.status.UNAVAILABLE));
    assert.equal(await saidCount(world.echo), 0);
    assert.ok(world.lines.some((line) => line.includes('"certificate-unjudged"')));
  });
});

describe("declarations of ingresses", () => {
  test("are refused when they are mistaken", async () => {
    const cases: readonly (readonly [unknown, RegExp])[] = [
      [{}, /ingresses must be a list/],
      [[{ prot: 1 }], /no field `prot`/],
      [[{ controlPort: 1 }], /no field `controlPort`/],
      [[{ tls: 1 }], /ingresses\[0\]\.tls must be a boolean/],
      [[{ clientCertificates: "required" }], /is for TLS, which is off/],
      [[{ tls: true, clientCertificates: "some" }], /must be "required" or "optional"/],
      [Array.from({ length: 65 }, () => ({})), /at most 64/],
      [[{ port: 7099 }], /must not be 7099/],
      [[{ port: 7101 }], /takes its secrets/],
      [[{ port: 50_051, targetPort: 6000 }], /must not be 6000/],
    ];
    for (const [ingresses, message] of cases) {
      await assert.rejects(
        start(ingresses as readonly IngressDeclaration[], {
          CONTROL_PORT: "6000",
          ENCLAVE_KMS_CONTROL_SOCKET: join(folder, "control.sock"),
        }),
        message,
        String(message),
      );
    }
  });

  test("that require certificates need authorities, which need TLS", async () => {
    const one = { simulationFolder: folder, targetPort: 1, simulatedCid: 99 };
    for (const clientCertificates of ["required", "optional"] as const) {
      await assert.rejects(start([{ ...one, tls: true, clientCertificates }]), ConfigError);
    }
    const settings = { ENCLAVE_KMS_CLIENT_AUTHORITIES_FILE: join(folder, "clients.pem") };
    await assert.rejects(start([one], settings), /for clients of tls, which is off/);
  });

  test("without TLS leave the boot without a key for it", async () => {
    await using enclave = await start([{ simulationFolder: folder, targetPort: 1, simulatedCid: 98 }]);
    const trust = { pcrs: { 0: simulator.nsm.pcr(0) }, root: simulator.nsm.root };
    await assert.rejects(
      fetchAttestedCertificate(enclave.endpoint, trust),
      (error: unknown) => error instanceof AttestationError && error.code === "ERR_ATTESTATION_FIELD_MISSING",
    );
  });
});
