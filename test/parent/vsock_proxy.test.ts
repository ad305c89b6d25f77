import assert from "node:assert/strict";
import { describe, test } from "#test";
import { ProtocolError } from "../../lib/core/errors.ts";
import { parseVsockProxyArguments, VSOCK_PROXY_CONFIG, vsockProxyOptions } from "../../parent/vsock_proxy.ts";
import { readVsockProxyAllowList } from "../../parent/vsock_proxy_allow_list.ts";

const KMS = "kms.eu-central-1.amazonaws.com";

describe("parseVsockProxyArguments()", () => {
  const expected = {
    configFile: VSOCK_PROXY_CONFIG,
    family: "any",
    workers: undefined,
    localPort: 8000,
    remoteHost: KMS,
    remotePort: 443,
  };

  test("reads what vsock-proxy's own service file and documentation have", () => {
    assert.deepEqual(parseVsockProxyArguments(["8000", KMS, "443"]), expected);
    const withConfig = ["8000", KMS, "443", "--config", "/etc/x.yaml"];
    assert.deepEqual(parseVsockProxyArguments(withConfig), { ...expected, configFile: "/etc/x.yaml" });
  });

  test("reads flags anywhere, and their values after them or after an equals sign", () => {
    const flags: readonly (readonly [readonly string[], object])[] = [
      [["-4"], { family: "ipv4" }],
      [["--ipv4"], { family: "ipv4" }],
      [["-6"], { family: "ipv6" }],
      [["--ipv6"], { family: "ipv6" }],
      [["-w", "20"], { workers: 20 }],
      [["--num_workers=20"], { workers: 20 }],
      [["--config=/a=b"], { configFile: "/a=b" }],
    ];
    for (const [words, change] of flags) {
      for (const args of [[...words, "8000", KMS, "443"], ["8000", ...words, KMS, "443"]]) {
        assert.deepEqual(parseVsockProxyArguments(args), { ...expected, ...change }, args.join(" "));
      }
    }
  });

  test("refuses everything else by name", () => {
    const refused = (args: string, message: RegExp) =>
      assert.throws(() => parseVsockProxyArguments(args.split(" ")), { message }, args);
    refused(`8000 ${KMS}`, /^vsock-proxy takes three arguments/);
    refused(`8000 ${KMS} 443 444`, /^vsock-proxy takes three arguments/);
    refused(`-4 -6 8000 ${KMS} 443`, /^-4 and -6 exclude each other$/);
    refused(`-4 --ipv4 8000 ${KMS} 443`, /^--ipv4 is given twice$/);
    refused(
      `--num-workers 4 8000 ${KMS} 443`,
      /^vsock-proxy has no flag "--num-workers": is it --num_workers\?$/,
    );
    refused(`-x 8000 ${KMS} 443`, /^vsock-proxy has no flag "-x"/);
    refused(`8000 ${KMS} 443 --config`, /^--config needs a value$/);
    refused(`--ipv4=1 8000 ${KMS} 443`, /^--ipv4 takes no value$/);
    refused(`-w 0 8000 ${KMS} 443`, /^num_workers must be a port/);
    refused(`80a ${KMS} 443`, /^local_port must be a port: digits only$/);
    refused(`4294967295 ${KMS} 443`, /^local_port must be a port from 1 to 4294967294$/);
    refused(`8000 ${KMS} 65536`, /^remote_port must be a port from 1 to 65535$/);
  });

  test("becomes options of a proxy without a limit of four", () => {
    const allow = [{ name: KMS, port: 443 }];
    assert.deepEqual(vsockProxyOptions(parseVsockProxyArguments(["-6", "8000", KMS, "443"]), allow), {
      host: KMS,
      port: 443,
      ports: [8000],
      family: "ipv6",
      maxConnections: undefined,
      allow,
    });
    assert.equal(
      vsockProxyOptions(parseVsockProxyArguments(["-w", "9", "8000", KMS, "443"]), allow).maxConnections,
      9,
    );
  });
});

describe("readVsockProxyAllowList()", () => {
  test("reads AWS's own form, and the same in blocks, with comments", () => {
    const both = [{ name: KMS, port: 443 }, { name: "127.0.0.1", port: 9000 }];
    const forms = [
      `allowlist:\n- {address: ${KMS}, port: 443}\n- {address: 127.0.0.1, port: 9000}\n`,
      `---\nallowlist:\n  - {port: 443, address: ${KMS}}\n  - { address: "127.0.0.1", port: 9000 }`,
      `# ours\nallowlist: # hosts\r\n\r\n- address: ${KMS} # KMS\r\n  port: 443\r\n- port: 9000\r\n  address: "127.0.0.1"\r\n`,
    ];
    for (const text of forms) assert.deepEqual(readVsockProxyAllowList(text), both, text);
  });

  test("is not held up by many spaces within a line, whose number it tells", () => {
    const text = `allowlist:\n- {address: a.example, port: 443}${" ".repeat(200_000)}x`;
    assert.throws(() => readVsockProxyAllowList(text), { message: /: line 2 is not of the form/ });
  });

  test("refuses whatever else YAML may be, with its line", () => {
    const entry = `- {address: ${KMS}, port: 443}`;
    const refused: readonly (readonly [string, RegExp])[] = [
      ["", /line 1 must be "allowlist:"$/],
      ["allowlist:\n", /the list is empty$/],
      ["allowlist: []\n", /line 1 must be "allowlist:"$/],
      ["allowlist: &all\n", /line 1 must be/],
      [`allow_list:\n${entry}`, /line 1 must be/],
      [`allowlist:\n${entry}\nother: 1`, /line 3 is not of the form/],
      [`allowlist:\n${entry}\n---\nallowlist:\n${entry}`, /line 3 is not/],
      [`allowlist:\n${entry}\n  ${entry}`, /line 3 is not/],
      [`allowlist:\n\t${entry}`, /line 2 is not/],
      ["allowlist:\n- *all", /line 2 is not/],
      ["allowlist:\n- !!map {address: a.example, port: 443}", /line 2 is not/],
      ["allowlist:\n- {address: a.example, port: 443, port: 444}", /line 2 is not/],
      ["allowlist:\n- {address: a.example, address: b.example}", /line 2 is not/],
      ["allowlist:\n- {address: a.example}", /line 2 is not/],
      ["allowlist:\n- {address: a.example, port: 0x1bb}", /line 2 is not/],
      ["allowlist:\n- {address: a.example, port: 0443}", /line 2 is not/],
      ["allowlist:\n- {address: a.example, port: 65536}", /line 2 is not/],
      ["allowlist:\n- {address: a.example, port: -1}", /line 2 is not/],
      ["allowlist:\n- {address: 'a.example', port: 443}", /line 2 is not/],
      ['allowlist:\n- {address: "a.example, port: 443}', /line 2 is not/],
      ["allowlist:\n- address: a.example\n   port: 443", /line 3 is not/],
      ["allowlist:\n- address: a.example\n- port: 443", /line 3 is not/],
      ["allowlist:\n- address: a.example", /line 2 is not/],
      ["x".repeat(262_145), /more than 262144 characters$/],
    ];
    for (const [text, message] of refused) {
      assert.throws(() => readVsockProxyAllowList(text), (error) => {
        assert.ok(error instanceof ProtocolError, text);
        assert.match(error.message, message, text);
        return true;
      });
    }
    assert.throws(
      () => readVsockProxyAllowList("allowlist:\n- {address: a_b!, port: 443}"),
      /is no DNS name/,
    );
    assert.throws(
      () => readVsockProxyAllowList("allowlist:\n- {address: *.example, port: 443}"),
      /a star stands for/,
    );
  });
});
