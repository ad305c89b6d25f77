import { isIP } from "node:net";
import { s3HostName } from "../../lib/aws/region.ts";
import { encodeKey } from "./artefact_source.ts";

/** Object, and the version of it that is asked for. */
export interface ObjectName {
  /** Name of the bucket. */
  readonly bucket: string;
  /** Key, not encoded. */
  readonly key: string;
  /** Version; undefined for the newest. */
  readonly versionId: string | undefined;
}

/**
 * Makes the URL of an object: with the bucket in the host name, as AWS wants it, or in the path, for an endpoint that is
 * given and for a bucket with a dot in its name, which no certificate of S3's covers as a host.
 *
 * @param object The object
 * @param region Region of the bucket
 * @param endpoint Endpoint in place of the region's, as {@link checkS3Endpoint} returns it
 */
export function objectUrl(object: ObjectName, region: string, endpoint: string | undefined): URL {
  const { bucket, key, versionId } = object;
  const query = versionId === undefined ? "" : `?versionId=${encodeURIComponent(versionId)}`;
  const host = s3HostName(region);
  if (endpoint === undefined && !bucket.includes(".")) {
    return new URL(`https://${bucket}.${host}/${encodeKey(key)}${query}`);
  }
  return new URL(`${endpoint ?? `https://${host}`}/${bucket}/${encodeKey(key)}${query}`);
}

/**
 * Checks an endpoint in place of the region's.
 *
 * @param endpoint URL with `https:`, or with `http:` to a loopback address, without a path
 * @returns Scheme, host and port
 * @throws {TypeError} When it is anything else
 */
export function checkS3Endpoint(endpoint: unknown): string | undefined {
  if (endpoint === undefined) return undefined;
  const url = typeof endpoint === "string" ? URL.parse(endpoint) : endpoint instanceof URL ? endpoint : null;
  const isPlain = url !== null && url.username === "" && url.password === "" && url.pathname === "/" &&
    url.search === "" && url.hash === "";
  if (!isPlain) throw new TypeError("endpoint must be a URL of a host, without a path");
  if (url.protocol === "https:" || (url.protocol === "http:" && isLoopback(url.hostname))) return url.origin;
  throw new TypeError("endpoint must begin with https://, or with http:// on a loopback address");
}

/**
 * Tells whether a host in a URL is this machine itself.
 *
 * @param hostname Value of `URL.hostname`
 */
export function isLoopback(hostname: string): boolean {
  if (hostname === "localhost" || hostname === "[::1]") return true;
  return isIP(hostname) === 4 && hostname.startsWith("127.");
}
