/** One part of the credentials: text, or its UTF-8 bytes. */
export type CredentialPart = string | Uint8Array;

/** AWS credentials, as STS or the parent hands them out. */
export interface Credentials {
  /** Access key id. */
  readonly accessKeyId: CredentialPart;
  /** Secret access key. */
  readonly secretAccessKey: CredentialPart;
  /** Session token of temporary credentials. */
  readonly sessionToken?: CredentialPart | undefined;
}

/** Credentials, or a function that returns them and is asked before every request. */
export type CredentialsProvider = Credentials | (() => Credentials | Promise<Credentials>);
