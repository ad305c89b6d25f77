import { type Libcrypto, openLibcrypto } from "../native/libcrypto.ts";
import type { GcmChoice } from "./gcm.ts";
import { NodeGcm } from "./node_gcm.ts";
import { OpensslGcm } from "./openssl_gcm.ts";

let chosen: { readonly libcrypto: Libcrypto | undefined; readonly choice: GcmChoice } | undefined;

/** Chooses OpenSSL's own functions where they can be called, and node:crypto otherwise; once for each library. */
export function chooseGcm(): GcmChoice {
  const libcrypto = openLibcrypto();
  if (chosen === undefined || chosen.libcrypto !== libcrypto) {
    chosen = { libcrypto, choice: opensslChoice() ?? nodeChoice() };
  }
  return chosen.choice;
}

/** Makes the choice of OpenSSL; undefined where it cannot be called. */
export function opensslChoice(): GcmChoice | undefined {
  const libcrypto = openLibcrypto();
  return libcrypto && { gcm: new OpensslGcm(libcrypto), bytesAtOnce: 262_144 };
}

/** Makes the choice of node:crypto. */
export function nodeChoice(): GcmChoice {
  return { gcm: new NodeGcm(), bytesAtOnce: 65_536 };
}
