import type { HttpRequest } from "../tls/http_message.ts";
import { S3Refusal } from "./s3_errors.ts";

/** Object that a request asks for, and the parts of its address that are signed. */
export interface ObjectTarget {
  /** Name of the bucket. */
  readonly bucket: string;
  /** Key of the object, decoded; empty when the request is about the bucket. */
  readonly key: string;
  /** Version that is asked for. */
  readonly versionId: string | undefined;
  /** Path as it is signed. */
  readonly canonicalPath: string;
  /** Query as it is signed. */
  readonly canonicalQuery: string;
}

/**
 * Reads the address of a request: the bucket is in the host name (virtual-host style) or first in the path.
 *
 * @param request With its `host`
 * @returns The object, and what is signed
 * @throws {S3Refusal} `InvalidURI` when an escape is malformed
 */
export function readTarget({ target, headers }: Pick<HttpRequest, "target" | "headers">): ObjectTarget {
  const [rawPath = "", ...rest] = target.split("?");
  const path = decode(rawPath.replaceAll("+", " "));
  const query = rest.join("?").split("&").filter((pair) => pair !== "").map((pair) => {
    const [name = "", ...value] = pair.split("=");
    return [decode(name), decode(value.join("="))] as const;
  });
  const pairs = query.map(([name, value]) => `${encode(name)}=${encode(value)}`).sort();
  const hostBucket = bucketOfHost(headers.get("host") ?? "");
  const [, first = "", others = ""] = /^\/([^/]*)\/?([^]*)$/.exec(path) ?? [];
  return {
    bucket: hostBucket ?? first,
    key: hostBucket === undefined ? others : path.slice(1),
    versionId: query.find(([name]) => name === "versionId")?.[1],
    canonicalPath: encode(path).replaceAll("%2F", "/"),
    canonicalQuery: pairs.join("&"),
  };
}

/** Finds the bucket in a host name such as `bucket.s3.eu-central-1.amazonaws.com` or `bucket.localhost:8000`. */
function bucketOfHost(host: string): string | undefined {
  const name = host.replace(/:\d+$/, "");
  return /^(.+)\.(?:s3[.-][a-z0-9-]+\.amazonaws\.com|s3\.amazonaws\.com|localhost)$/.exec(name)?.[1];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new S3Refusal("InvalidURI", "Couldn't parse the specified URI.");
  }
}

/** Encodes as RFC 3986 has it, which is what SigV4 signs. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
