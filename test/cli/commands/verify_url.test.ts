import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, test } from "#test";
import { ATTESTATION_EXIT } from "../../../cli/exit_codes.ts";
import { certificatePem, makeTlsCertificate } from "../../../enclave/channels/tls_certificate.ts";
import { type Answer, TestEnclave } from "../../lib/channel/node/enclave.ts";
import { TlsAuthority } from "../../../sim/tls/tls_certificates.ts";
import { Laptop, runChild } from "../child.ts";
import { runHere } from "../terminal_double.ts";

/** An HTTP server, in the clear or not, closed with all its connections. */
class ClearServer implements AsyncDisposable {
  readonly #server: Server;
  readonly url: string;

  private constructor(server: Server, protocol: string) {
    this.#server = server;
    this.url = `${protocol}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(listener: RequestListener, tls?: ServerOptions): Promise<ClearServer> {
    const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new ClearServer(server, tls === undefined ? "http" : "https");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

function nonceOf({ url }: { readonly url?: string | undefined }): Uint8Array {
  const { searchParams } = new URL(url ?? "/", "http://x");
  return Uint8Array.from(Buffer.from(searchParams.get("nonce") ?? "", "base64"));
}

describe("verify of a URL", () => {
  let laptop: Laptop;
  let enclave: TestEnclave;
  let root: readonly string[];
  let pcr0: readonly string[];

  beforeAll(async () => {
    laptop = await Laptop.start();
    root = ["--root", `${laptop.folder}/root.der`];
    pcr0 = ["--pcr0", laptop.simulator.nsm.pcr(0)];
    enclave = await TestEnclave.start({ nsm: laptop.simulator.nsm });
  });
  afterAll(async () => {
    await enclave[Symbol.asyncDispose]();
    await laptop[Symbol.asyncDispose]();
  });

  const secure = ({ port }: TestEnclave) => `https://127.0.0.1:${port}`;
  const verify = (url: string, ...more: readonly string[]) => runHere(["verify", url, ...root, ...more]);

  /** Serves what an enclave answers, in the clear, changed or not. */
  function relay(change: (answer: Answer) => unknown = (answer) => answer): Promise<ClearServer> {
    return ClearServer.start(async (request, response) => {
      response.end(JSON.stringify(change(await enclave.attest(nonceOf(request)))));
    });
  }

  const passOn: RequestListener = async (request, response) => {
    response.end(JSON.stringify(await enclave.attest(nonceOf(request))));
  };

  test("asks over TLS with a fresh nonce, and finds that it ends inside the enclave", async () => {
    const { code, stdout, stderr } = await verify(secure(enclave), ...pcr0);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^Document +verified$/m);
    assert.match(stdout, /^Expected +PCR0, nonce, another root than AWS's$/m);
    assert.match(stdout, /^TLS +ends inside the enclave$/m);
    assert.match(stdout, new RegExp(`^Boot +${enclave.bootKeys.bootId}$`, "m"));
    const nonces = await Promise.all([1, 2].map(async () => {
      const { stdout: json } = await verify(secure(enclave), "--json");
      return JSON.parse(json).document.nonce;
    }));
    assert.notEqual(nonces[0], nonces[1]);
    assert.equal(Buffer.from(nonces[0], "base64").length, 32);
  });

  test("says so when no register was expected", async () => {
    const { code, stdout } = await verify(secure(enclave), "--summary");
    assert.equal(code, 0);
    assert.match(stdout, /^expected: .*no PCR, so that any enclave of anyone passes$/m);
  });

  test("--summary has short plain lines", async () => {
    const { code, stdout } = await verify(secure(enclave), ...pcr0, "--summary");
    assert.equal(code, 0);
    assert.match(stdout, /^(?:[a-z0-9 ]+: [\x20-\x7e]+\n)+$/);
    assert.match(stdout, /^attestation: verified\n/);
    assert.match(stdout, new RegExp(`^boot: ${enclave.bootKeys.bootId}$`, "m"));
    assert.match(stdout, new RegExp(`^pcr0: ${laptop.simulator.nsm.pcr(0)}$`, "m"));
    assert.match(stdout, /^debug mode: no$/m);
    const failed = await verify(secure(enclave), "--pcr0", "ab".repeat(48), "--summary");
    assert.equal(failed.code, ATTESTATION_EXIT.PCR);
    assert.match(failed.stdout, /^attestation: NOT verified: PCR\n/);
  });

  test("asks in the clear on this machine, and says that there is no TLS", async () => {
    await using server = await relay();
    for (const url of [server.url, `${server.url}/v1/attestation`]) {
      const { code, stdout, stderr } = await verify(url, ...pcr0);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^TLS +none: http$/m);
    }
  });

  test("--allow-relay takes TLS that ends before the enclave, checked as browsers do, and says so", async () => {
    const authority = await TlsAuthority.create("localhost");
    const { cert, key } = await authority.certificate("valid");
    const ca = laptop.file("relay-ca.pem", authority.trustedCertificates);
    await using server = await ClearServer.start(passOn, { key, cert });
    const url = server.url.replace("127.0.0.1", "localhost");
    const env = { NODE_EXTRA_CA_CERTS: ca, DENO_CERT: ca };
    const relayed = await runChild(["verify", url, ...root, ...pcr0, "--allow-relay"], { env });
    assert.equal(relayed.code, 0, relayed.stderr);
    assert.match(relayed.stdout, /^TLS +not checked: it may end before the enclave$/m);
    // Without the flag an authority of browsers counts for nothing.
    const strict = await runChild(["verify", url, ...root, ...pcr0], { env });
    assert.equal(strict.code, 2, strict.stdout);
    assert.match(strict.stderr, /code: ERR_CERTIFICATE/);
  });

  describe("refuses", () => {
    const changes: Readonly<Record<string, readonly [change: (answer: Answer) => unknown, code: number]>> = {
      "keys that the document does not vouch for": [
        (answer) => ({ ...answer, keys: { ...answer.keys, sign: answer.keys["tls"] } }),
        ATTESTATION_EXIT.USER_DATA,
      ],
      "another boot id": [(answer) => ({ ...answer, bootId: "0".repeat(32) }), ATTESTATION_EXIT.USER_DATA],
      "a member that is not known": [(answer) => ({ ...answer, more: 1 }), ATTESTATION_EXIT.FIELD],
      "a document alone": [({ document }) => ({ document }), ATTESTATION_EXIT.FIELD_MISSING],
      "an answer of gigabytes": [() => ({ document: "A".repeat(600_000) }), 2],
    };
    for (const [what, [change, expected]] of Object.entries(changes)) {
      test(what, async () => {
        await using server = await relay(change);
        const { code, stderr } = await verify(server.url, ...pcr0);
        assert.equal(code, expected, stderr);
      });
    }

    test("a document of an earlier question", async () => {
      const old = await enclave.attest(new Uint8Array(32));
      await using server = await relay(() => old);
      assert.equal((await verify(server.url, ...pcr0)).code, ATTESTATION_EXIT.NONCE);
    });

    test("TLS that ends before the enclave, however true the answer that is passed on", async () => {
      const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const cert = certificatePem(makeTlsCertificate(keys, "00112233445566778899aabbccddeeff"));
      const key = keys.privateKey.export({ type: "pkcs8", format: "pem" });
      await using server = await ClearServer.start(passOn, { key, cert, minVersion: "TLSv1.3" });
      const { code, stdout, stderr } = await verify(server.url, ...pcr0, "--json");
      assert.equal(code, 2, stderr);
      const { verified, code: reason, tls, document } = JSON.parse(stdout);
      assert.deepEqual([verified, reason, tls], [false, "ERR_CERTIFICATE", undefined]);
      assert.equal(document.pcrs["0"], laptop.simulator.nsm.pcr(0));
      // Browsers would not take its certificate either.
      const relayed = await verify(server.url, ...pcr0, "--allow-relay");
      assert.equal(relayed.code, 2);
      assert.match(relayed.stderr, /code: ERR_CONNECTION/);
    });

    test("a redirect, a page that is no JSON, and a server that is not there", async () => {
      await using elsewhere = await ClearServer.start((_request, response) => {
        response.writeHead(302, { location: "http://127.0.0.1:1/" }).end();
      });
      const redirected = await verify(elsewhere.url);
      assert.equal(redirected.code, 2);
      assert.match(redirected.stderr, /it answers with status 302/);
      await using page = await ClearServer.start((_request, response) => response.end("<html>"));
      const html = await verify(page.url);
      assert.equal(html.code, 2);
      assert.match(html.stderr, /its answer is no JSON/);
      const gone = await relay();
      await gone[Symbol.asyncDispose]();
      const { code, stderr } = await verify(gone.url);
      assert.equal(code, 2);
      assert.match(stderr, /code: ERR_CONNECTION/);
    });

    test("a server that does not answer in time", async () => {
      await using silent = await ClearServer.start(() => {});
      const { code, stderr } = await verify(silent.url, "--timeout-ms", "200");
      assert.equal(code, 2);
      assert.match(stderr, /code: ERR_TIMEOUT/);
    });
  });

  test("takes no flag that has no meaning there, and a file none of a URL's", async () => {
    const file = laptop.file("document", await laptop.simulator.nsm.attest());
    const cases: readonly (readonly [words: readonly string[], message: RegExp])[] = [
      [[secure(enclave), "--nonce", "00"], /--nonce is not for a URL/],
      [[secure(enclave), "--user-data", "00"], /--user-data is not for a URL/],
      [[secure(enclave), "--at", "document"], /--at is not for a URL/],
      [[secure(enclave), "--times", "2"], /--times is for --watch only/],
      [[secure(enclave), "--watch", "0"], /--watch must be a whole number from 1/],
      [[secure(enclave), "--watch", "1", "--summary"], /--watch and --summary exclude/],
      [[secure(enclave), "--json", "--summary"], /--json and --summary exclude/],
      [["http://enclave.example"], /--allow-relay allows any/],
      [[file, "--watch", "1"], /--watch is for a URL only/],
      [[file, "--allow-relay"], /--allow-relay is for a URL only/],
    ];
    for (const [words, message] of cases) {
      const { code, stdout, stderr } = await runHere(["verify", ...words]);
      assert.deepEqual([code, stdout], [1, ""], stderr);
      assert.match(stderr, message);
    }
  });

  test("--watch prints what changes, and ends with the last verdict", async () => {
    let boot = 0;
    await using other = await TestEnclave.start({ nsm: laptop.simulator.nsm });
    await using server = await ClearServer.start(async (request, response) => {
      const nonce = nonceOf(request);
      boot++;
      // The same boot twice, then a failure, then another boot.
      if (boot === 3) response.writeHead(503).end();
      else response.end(JSON.stringify(await (boot < 3 ? enclave : other).attest(nonce)));
    });
    const { code, stdout, stderr } = await verify(server.url, ...pcr0, "--watch", "1", "--times", "4");
    assert.equal(code, 0, stderr);
    const lines = stdout.trimEnd().split("\n").map((line) => line.replace(/^\S+ /, ""));
    const [verified, first, module, tls] = lines;
    assert.deepEqual([verified, first, tls], [
      "verified",
      `boot ${enclave.bootKeys.bootId}`,
      "TLS none: http",
    ]);
    assert.match(module ?? "", /^module /);
    assert.deepEqual(lines.slice(-3), [
      "NOT verified: ERR_PROTOCOL",
      "verified",
      `boot ${other.bootKeys.bootId}, was ${enclave.bootKeys.bootId}`,
    ]);
    assert.equal(lines.filter((line) => line.startsWith("PCR0 ")).length, 1);
  });

  test("--watch --json prints an object a line, and the code of a failure", async () => {
    await using server = await ClearServer.start((_request, response) => response.writeHead(503).end());
    const { code, stdout } = await verify(server.url, "--watch", "1", "--times", "1", "--json");
    assert.equal(code, 2);
    const { at, ...rest } = JSON.parse(stdout);
    assert.deepEqual(rest, { verdict: "NOT verified: ERR_PROTOCOL", change: "NOT verified: ERR_PROTOCOL" });
    assert.ok(!Number.isNaN(Date.parse(at)));
  });

  test("a server's answer is read from a file, too, and its keys are checked", async () => {
    const answer = await enclave.attest(new Uint8Array([1, 2]));
    const good = laptop.file("answer.json", JSON.stringify(answer));
    const checked = await runHere(["verify", good, ...root, ...pcr0, "--nonce", "0102"]);
    assert.equal(checked.code, 0, checked.stderr);
    assert.match(checked.stdout, /^Read as +JSON of a server$/m);
    const swapped = laptop.file(
      "swapped.json",
      JSON.stringify({ ...answer, keys: { sign: answer.keys["tls"] } }),
    );
    assert.equal((await runHere(["verify", swapped, ...root])).code, ATTESTATION_EXIT.USER_DATA);
    const odd = laptop.file("odd.json", JSON.stringify({ ...answer, bootId: "x" }));
    const { code, stdout } = await runHere(["verify", odd, ...root, "--json"]);
    assert.equal(code, ATTESTATION_EXIT.FIELD);
    assert.equal(JSON.parse(stdout).verified, false);
    const both = await runHere(["verify", good, ...root, "--user-data", "00"]);
    assert.deepEqual([both.code, both.stdout], [1, ""]);
    assert.match(both.stderr, /--user-data is not for a server's answer/);
  });
});
