import { ConnectionError, TimeoutError } from "../../lib/core/errors.ts";
import { HandshakeFailure } from "./kms_probe.ts";
import { broken, ok, unneeded, untried, type Verdict, warning } from "./finding.ts";
import type { Link } from "./link.ts";
import { MAX_SKEW_MS, seconds, skewOf } from "./nsm_link.ts";
import type { Examination } from "./examination.ts";

const PROXY_HINT =
  "On the parent: is vsock-proxy running, with KMS's host name for this region and in its allowlist?";

/** Smallest clock skew that is a warning, in milliseconds. */
const NOTABLE_SKEW_MS = 60_000;

/** vsock of this kernel: tried by listening, which disturbs nobody. */
export const vsockLink: Link = {
  name: "vsock",
  needs: ["permissions"],
  silence: { what: "vsock does not answer", hint: "Is this machine overloaded?" },
  async examine({ options: { client: { endpoint } } }): Promise<Verdict> {
    if (endpoint !== undefined && endpoint.transport !== "vsock") {
      return unneeded(`KMS is reached over ${endpoint.transport}`);
    }
    const { ANY_CID, ANY_VSOCK_PORT, listen } = await import("../../lib/transport/listen.ts");
    const address = { transport: "vsock", cid: ANY_CID, port: ANY_VSOCK_PORT } as const;
    await using _listener = await listen(address, {}, ({ stream }) => stream.destroy());
    return ok("the kernel has vsock");
  },
};

/**
 * Proxy: accepts the connection and passes bytes on. From a proxy that cannot reach KMS no byte comes back.
 */
export const proxyLink: Link = {
  name: "proxy",
  needs: ["vsock"],
  silence: { what: "nothing accepts the connection to KMS", hint: PROXY_HINT },
  async examine(examination): Promise<Verdict> {
    const probe = await examination.probe();
    try {
      await probe.connected;
    } catch (error) {
      if (!(error instanceof ConnectionError) && !(error instanceof TimeoutError)) throw error;
      return broken(error.message, PROXY_HINT, error.code);
    }
    const failure = await failureOf(probe.secured);
    if (failure instanceof HandshakeFailure && !failure.wasAnswered) {
      const how = failure.code === "no answer in time"
        ? "nothing comes back"
        : "it is closed before KMS answers";
      return broken(`the connection is accepted, and ${how}`, PROXY_HINT);
    }
    return ok("the connection is accepted, and something answers");
  },
};

/** TLS handshake, with KMS's name and the trusted certificates. */
export const tlsLink: Link = {
  name: "tls",
  needs: ["proxy"],
  silence: { what: "the TLS handshake does not end", hint: PROXY_HINT },
  async examine(examination): Promise<Verdict> {
    const probe = await examination.probe();
    const failure = await failureOf(probe.secured);
    if (failure === undefined) {
      const protocol = (await probe.secured).getProtocol();
      return ok(`${probe.hostName} is who it says${protocol === null ? "" : `, by ${protocol}`}`);
    }
    if (!(failure instanceof HandshakeFailure)) throw failure;
    if (/ALTNAME|HOSTNAME/.test(failure.code)) {
      return broken(
        `the certificate is not for ${probe.hostName} (${failure.code})`,
        "Check --region and --host-name, and which host the proxy on the parent connects to",
        "ERR_CERTIFICATE",
      );
    }
    if (!CERTIFICATE_CODES.test(failure.code)) {
      return broken(
        `the TLS handshake failed (${failure.code})`,
        "Can the proxy on the parent reach KMS, and does it forward bytes unchanged? TLS must end in the enclave",
        "ERR_CONNECTION",
      );
    }
    return await isClockWrong(examination)
      ? untried("the certificate cannot be judged by this clock")
      : broken(
        `the certificate is not trusted (${failure.code})`,
        "Is its authority in --trusted-certificates, or without them in the image's CA bundle? Has it expired?",
        "ERR_CERTIFICATE",
      );
  },
};

const CERTIFICATE_CODES = /CERT|UNABLE_TO_|SELF_SIGNED|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH/;

/** KMS: answers as KMS does, which refuses a request without a signature, in JSON. */
export const kmsLink: Link = {
  name: "kms",
  needs: ["tls"],
  silence: { what: "KMS does not answer", hint: "Is KMS, or what lies before it, overloaded? Try again" },
  async examine(examination): Promise<Verdict> {
    const { status, kmsCode } = await (await examination.probe()).answer;
    if (status >= 400 && status < 500 && kmsCode !== undefined) return ok("it answers, as KMS does");
    return broken(
      `it answers status ${status}${kmsCode === undefined ? " and not as KMS does" : ` and ${kmsCode}`}`,
      status >= 500
        ? "KMS, or what lies before it, fails on its side: try again"
        : "Does the endpoint lead to KMS?",
      "ERR_PROTOCOL",
    );
  },
};

/** Clock of this machine, compared with KMS's or, without KMS, with the NSM's. */
export const clockLink: Link = {
  name: "clock",
  needs: [],
  // Those that have another clock were silent.
  silence: { state: "untried", what: "needs kms" },
  async examine(examination): Promise<Verdict> {
    const kms = await examination.finding("kms");
    if (kms.state === "ok") {
      const { date, receivedAt } = await (await examination.probe()).answer;
      // The header has whole seconds: on average half a second is cut off.
      if (date !== undefined) return judge(date + 500 - receivedAt, "KMS's");
    }
    if (await isClockWrong(examination)) return judge(skewOf(await examination.document()), "the NSM's");
    return untried("needs kms");
  },
};

function judge(skewMs: number, whose: string): Verdict {
  const what = `${seconds(skewMs)} ${skewMs > 0 ? "behind" : "ahead of"} ${whose} clock`;
  const hint =
    "Set the enclave's clock from KMS's, or from the parent's (chrony with the kernel's PTP device)";
  if (Math.abs(skewMs) > MAX_SKEW_MS) return broken(`it is ${what}`, hint);
  return Math.abs(skewMs) > NOTABLE_SKEW_MS ? warning(`it is ${what}`, hint) : ok(what);
}

/** Compares this clock with the NSM's, which is the hypervisor's; false when the NSM does not answer. */
async function isClockWrong(examination: Examination): Promise<boolean> {
  try {
    return Math.abs(skewOf(await examination.document())) > MAX_SKEW_MS;
  } catch {
    return false;
  }
}

async function failureOf(step: Promise<unknown>): Promise<unknown> {
  try {
    await step;
    return undefined;
  } catch (error) {
    return error;
  }
}
