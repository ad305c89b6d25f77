import { encodeBase64 } from "../../lib/core/encoding.ts";
import type { BaseConfig } from "../base_config.ts";
import type { BootKeys } from "../boot_keys.ts";
import { openTls } from "./open_tls.ts";
import { SEAL_KEY_NAME } from "./seal_keys.ts";
import { SealedChannel } from "./sealed.ts";
import type { TlsChannel } from "./tls_channel.ts";

/** Settings of channels. */
export type ChannelSettings = Pick<
  BaseConfig,
  "tls" | "clientAuthoritiesFile" | "sealed" | "sealedKeySeconds"
>;

/** Parts that channels are made of. */
export interface ChannelParts {
  /** Keys of this boot. */
  readonly keys: BootKeys;
  /** Clock by which clients' certificates are valid, milliseconds since 1970; undefined while it is not known. */
  readonly now: () => number | undefined;
  /** Names the variable of a setting, for messages. */
  readonly variableOf: (setting: string) => string;
  /** Whether TLS is needed without an endpoint of its own, too. */
  readonly needsTls: boolean;
}

/** Channels of an application, as its settings have them. */
export class Channels implements Disposable {
  /** Channel of sealed requests; undefined when it is off. */
  readonly sealed: SealedChannel | undefined;

  /** TLS that ends inside the enclave; undefined when it is off. */
  readonly tls: TlsChannel | undefined;

  private constructor(tls: TlsChannel | undefined, sealed: SealedChannel | undefined) {
    this.tls = tls;
    this.sealed = sealed;
  }

  /**
   * Makes the keys of the channels, before a document vouches for those of the boot.
   *
   * @param config Settings of the channels
   * @param parts Keys of this boot, which get theirs; the clock for clients' certificates, and names for messages
   * @returns The channels; the caller disposes them
   * @throws {ConfigError} When the file of clients' authorities cannot be read, or has another kind of certificate
   */
  static async open(
    config: ChannelSettings,
    { keys, now, variableOf, needsTls }: ChannelParts,
  ): Promise<Channels> {
    const tls = openTls(config, { keys, now, needsTls }, variableOf);
    const rotateMs = 1000 * config.sealedKeySeconds;
    const sealed = config.sealed === "on" ? await SealedChannel.create({ keys, rotateMs }) : undefined;
    return new Channels(tls, sealed);
  }

  /**
   * Describes the channels beside a document that vouches for their keys: for just those, and not for later ones.
   *
   * @param keys Public keys by name
   * @returns Members of the answer of `GET /v1/attestation`
   */
  describe(
    { [SEAL_KEY_NAME]: sealKey }: Readonly<Record<string, Uint8Array>>,
  ): Readonly<Record<string, string>> {
    const config = sealKey && this.sealed?.configOf(sealKey);
    return {
      ...(this.tls !== undefined && { certificate: this.tls.certificatePem }),
      ...(config !== undefined && { sealing: encodeBase64(config) }),
    };
  }

  /** Forgets the key of TLS, and stops making keys to seal to. */
  [Symbol.dispose](): void {
    this.tls?.[Symbol.dispose]();
    this.sealed?.[Symbol.dispose]();
  }
}
