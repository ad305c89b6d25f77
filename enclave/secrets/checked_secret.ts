import type { PublisherKey } from "../../lib/wire/signed_secret.ts";
import type { SecretSource, SharesSource } from "./declarations.ts";

/** Declaration after every check. */
export interface CheckedSecret {
  readonly name: string;
  readonly source: CheckedSource;
  /** Vsock port, or the name of the setting that has it; undefined for a secret that comes over a channel. */
  readonly port: number | RecipePort | undefined;
  readonly isOptional: boolean;
  readonly maxBytes: number;
  readonly publisher: PublisherPin | undefined;
  /** SHA-256 of the sealed bytes. */
  readonly sha256: Uint8Array | undefined;
  readonly isChosenByParent: boolean;
  /** Recipient that the secret must be the identity of; `null` for any, and undefined when it is no identity. */
  readonly identityOf: string | null | undefined;
}

/** Source after every check, whose pinned hash is bytes. */
export type CheckedSource =
  | Exclude<SecretSource, SharesSource>
  | (Omit<SharesSource, "sha256"> & { readonly sha256: Uint8Array });

/** Publisher's key, and the least version that is taken. */
export interface PublisherPin {
  readonly key: PublisherKey;
  readonly minVersion: number;
}

/** Settings that have the ports of the default recipe. */
export type RecipePort = "ageKeyPort" | "keySharesPort";
