import { ok, type Verdict, warning } from "./finding.ts";
import type { Link } from "./link.ts";

/** Library that does the cryptography of this process. */
export const cryptoLink: Link = {
  name: "crypto",
  needs: ["permissions"],
  silence: { what: "OpenSSL does not load", hint: "Is this machine overloaded?" },
  async examine(): Promise<Verdict> {
    const { describeCrypto, runtimeCrypto } = await import("../../lib/kms/runtime_crypto.ts");
    const { hint } = runtimeCrypto();
    return hint === undefined ? ok(describeCrypto()) : warning(describeCrypto(), hint);
  },
};
