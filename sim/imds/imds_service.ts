import { randomBytes } from "node:crypto";
import { encodeBase64 } from "../../lib/core/encoding.ts";
import type { SimulatedCredentials } from "../kms/kms_credentials.ts";
import type { HttpAnswer, HttpRequest } from "../tls/http_message.ts";
import type { ImdsFault, ImdsPath } from "./imds_faults.ts";

/** Longest time to live of a token, in seconds: six hours. */
const MAX_TOKEN_SECONDS = 21_600;

const TOKEN_PATH = "/latest/api/token";
const ROLES_PATH = "/latest/meta-data/iam/security-credentials/";
const TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds";

/** Credentials that the service hands out, and when they were made and end. */
export interface ImdsCredentials {
  readonly credentials: SimulatedCredentials;
  /** Milliseconds since 1970. */
  readonly madeAtMs: number;
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
}

/** Instance that the metadata service tells about. */
export interface Instance {
  /** Name of the role of the instance; undefined when it has none. */
  role: string | undefined;
  /** Region of the instance. */
  readonly region: string;
  /** Whether requests without a token are answered, too: `HttpTokens` is `optional`. */
  readonly isVersionOneAllowed: boolean;
  /** Credentials of the role at present. */
  current: ImdsCredentials;
}

/** Metadata service from request to answer: tokens, the role, its credentials, and the place of the instance. */
export class ImdsService {
  readonly #instance: Instance;
  readonly #now: () => number;
  readonly #tokens = new Map<string, number>();

  /**
   * Starts without tokens.
   *
   * @param instance The instance
   * @param now The clock, milliseconds since 1970
   */
  constructor(instance: Instance, now: () => number) {
    this.#instance = instance;
    this.#now = now;
  }

  /** Forgets all tokens, as a service that was restarted does. */
  forgetTokens(): void {
    this.#tokens.clear();
  }

  /**
   * Answers a request.
   *
   * @param request The request
   * @param fault Fault that changes the answer's content
   */
  answer(request: HttpRequest, fault?: ImdsFault): HttpAnswer {
    if (fault?.kind === "answer") return text(fault.status, fault.body);
    const isVersionOneOnly = fault?.kind === "versionOneOnly";
    if (request.target === TOKEN_PATH) return isVersionOneOnly ? problem(404) : this.#giveToken(request);
    if (request.method !== "GET") return problem(405);
    if (!isVersionOneOnly && !this.#isAuthorized(request)) return problem(401);
    return this.#tell(request.target, fault);
  }

  #giveToken({ method, headers }: HttpRequest): HttpAnswer {
    if (method !== "PUT") return problem(405);
    // The service refuses what a reverse proxy passes on for somebody else.
    if (headers.has("x-forwarded-for")) return problem(403);
    const seconds = headers.get(TTL_HEADER) ?? "";
    if (!/^[1-9]\d{0,4}$/.test(seconds) || Number(seconds) > MAX_TOKEN_SECONDS) return problem(400);
    const token = encodeBase64(randomBytes(42));
    this.#tokens.set(token, this.#now() + Number(seconds) * 1000);
    return text(200, token, { [TTL_HEADER]: seconds });
  }

  #isAuthorized({ headers }: HttpRequest): boolean {
    const token = headers.get("x-aws-ec2-metadata-token");
    if (token === undefined) return this.#instance.isVersionOneAllowed;
    return (this.#tokens.get(token) ?? 0) > this.#now();
  }

  #tell(target: string, fault: ImdsFault | undefined): HttpAnswer {
    const { role, region } = this.#instance;
    switch (target) {
      case ROLES_PATH:
      case ROLES_PATH.slice(0, -1):
        return role === undefined ? problem(404) : text(200, role);
      case "/latest/meta-data/placement/region":
        return text(200, region);
      case "/latest/meta-data/instance-id":
        return text(200, INSTANCE_ID);
      case "/latest/dynamic/instance-identity/document":
        return text(200, identityDocument(region));
      default:
        if (role === undefined || target !== `${ROLES_PATH}${role}`) return problem(404);
        return text(200, credentialsDocument(this.#instance.current, fault));
    }
  }
}

/** Tells which of the requests that faults can be limited to a request is. */
export function pathOf({ target }: HttpRequest): ImdsPath | undefined {
  if (target === TOKEN_PATH) return "token";
  if (target === ROLES_PATH || target === ROLES_PATH.slice(0, -1)) return "roles";
  return target.startsWith(ROLES_PATH) ? "credentials" : undefined;
}

const INSTANCE_ID = "i-0123456789abcdef0";

function credentialsDocument(
  { credentials, madeAtMs, expiresAtMs }: ImdsCredentials,
  fault: ImdsFault | undefined,
): string {
  const LastUpdated = timeOf(madeAtMs);
  if (fault?.kind === "code") {
    const Message = "EC2 cannot assume the role of the instance profile.";
    return JSON.stringify({ Code: fault.code, Message, LastUpdated }, undefined, 2);
  }
  const skewMs = fault?.kind === "clockSkew" ? fault.ms : 0;
  return JSON.stringify(
    {
      Code: "Success",
      LastUpdated,
      Type: "AWS-HMAC",
      AccessKeyId: credentials.accessKeyId,
      SecretAccessKey: credentials.secretAccessKey,
      Token: credentials.sessionToken,
      Expiration: timeOf(expiresAtMs + skewMs),
    },
    undefined,
    2,
  );
}

function identityDocument(region: string): string {
  return JSON.stringify(
    {
      accountId: "123456789012",
      architecture: "x86_64",
      availabilityZone: `${region}a`,
      imageId: "ami-0123456789abcdef0",
      instanceId: INSTANCE_ID,
      instanceType: "m5.xlarge",
      privateIp: "10.0.0.10",
      region,
      version: "2017-09-30",
    },
    undefined,
    2,
  );
}

/** Writes a time as the service does: without fractions of a second. */
function timeOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

function text(status: number, body: string, headers: Readonly<Record<string, string>> = {}): HttpAnswer {
  return {
    status,
    headers: { "content-type": "text/plain", server: "EC2ws", ...headers },
    body: new TextEncoder().encode(body),
  };
}

function problem(status: number): HttpAnswer {
  return text(
    status,
    `<?xml version="1.0" encoding="iso-8859-1"?>\n<html><head><title>${status}</title></head></html>\n`,
  );
}
