import type { Readable } from "node:stream";

/** Request of an AWS SDK v3 client, as far as it is read. */
export interface SdkRequest {
  /** Method, such as `POST`. */
  readonly method: string;
  /** Protocol: `https:`. */
  readonly protocol: string;
  /** DNS name of the service. */
  readonly hostname: string;
  /** Port of its endpoint. Default: 443. */
  readonly port?: number | undefined;
  /** Path, encoded. */
  readonly path: string;
  /** Query, not encoded. */
  readonly query?: Readonly<Record<string, string | readonly string[] | null>> | undefined;
  /** Headers. */
  readonly headers: Readonly<Record<string, string>>;
  /** Text, bytes, a stream of Node.js or of the web, a Blob, or nothing. */
  readonly body?: unknown;
}

/** Answer, as AWS SDK v3 clients read it. */
export interface SdkResponse {
  /** HTTP status. */
  readonly statusCode: number;
  /** Text beside the status. */
  readonly reason: string;
  /** Headers by their names in lowercase. */
  readonly headers: Record<string, string>;
  /** Body as it comes. */
  readonly body: Readable;
}

/** Options that an AWS SDK v3 client gives with each request. */
export interface SdkCallOptions {
  /** Signal of the caller. */
  readonly abortSignal?: { readonly aborted: boolean } | undefined;
  /** Milliseconds until the head of the answer; 0 for no such limit. */
  readonly requestTimeout?: number | undefined;
}

/** Arguments of a step of a command, after its request was made. */
export interface SdkStepArguments {
  /** Input of the command. */
  readonly input: object;
  /** Request to the service. */
  readonly request: unknown;
}

/** Result of a step of a command. */
export interface SdkStepOutput {
  /** Output of the command. */
  readonly output: object;
  /** Answer of the service. */
  readonly response: unknown;
}

/** Step of a command. */
export type SdkStep = (args: SdkStepArguments) => Promise<SdkStepOutput>;

/** Middleware of AWS SDK v3. */
export type SdkMiddleware = (next: SdkStep, context: object) => SdkStep;

/** Place of a middleware beside another. */
export interface SdkPlace {
  /** Name of the middleware. */
  readonly name: string;
  /** Side. */
  readonly relation: "before" | "after";
  /** Name of the other. */
  readonly toMiddleware: string;
  /** Whether it takes the place of one of its own name. */
  readonly override: boolean;
}

/** Middleware stack of an AWS SDK v3 client, as far as it is used. */
export interface SdkStack {
  /** Adds a middleware beside another. `never` stands for the SDK's own type, which is not imported. */
  addRelativeTo(middleware: never, place: SdkPlace): void;
}

/** Credentials, as AWS SDK v3 clients read them. */
export interface SdkCredentials {
  /** Access key id. */
  readonly accessKeyId: string;
  /** Secret access key. */
  readonly secretAccessKey: string;
  /** Session token of temporary credentials. */
  readonly sessionToken?: string;
  /** Time at which they expire, or at which they are asked for again. */
  readonly expiration?: Date;
}
