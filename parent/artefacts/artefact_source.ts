import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import { checkWellFormed } from "../../lib/core/checks.ts";

/** Place of an artefact. */
export type ArtefactSource =
  /** An object of S3. The key is as S3 has it, and not encoded. */
  | { readonly kind: "s3"; readonly bucket: string; readonly key: string }
  /** A file of this machine. */
  | { readonly kind: "file"; readonly path: string };

/** Longest path of a file, in characters. */
const MAX_PATH_LENGTH = 4095;

/** Longest key of S3, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1024;

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

/** Forms of names that no bucket has: IP addresses, dots beside dots and hyphens, and S3's own affixes. */
const NO_BUCKET = /^\d+\.\d+\.\d+\.\d+$|\.\.|\.-|-\.|^xn--|^sthree-|-s3alias$|--ol-s3$|--x-s3$/;

/**
 * Reads the place of an artefact. What follows the bucket is the key as it stands: `%20` is three characters of it, and
 * `?` and `#` belong to it.
 *
 * @param source `s3://bucket/key`, an absolute path, or a `file:` URL
 * @returns The place
 * @throws {TypeError} When it has another form, the bucket's name is none, or the key has a part `.` or `..`, which no
 *   URL can name
 */
export function parseArtefactSource(source: string | URL): ArtefactSource {
  if (source instanceof URL) return fromUrl(source);
  if (typeof source !== "string") throw new TypeError("source must be a string or a URL");
  checkWellFormed("source", source);
  if (source.startsWith("s3://")) return fromS3Uri(source.slice("s3://".length));
  if (source.startsWith("file:")) return fromUrl(new URL(source));
  if (isAbsolute(source) && source.length <= MAX_PATH_LENGTH) return { kind: "file", path: source };
  throw new TypeError("source must be s3://bucket/key, an absolute path of a file, or a file: URL");
}

/**
 * Names a place in messages, with nothing in it that could move a cursor.
 *
 * @param source The place
 */
export function nameSource(source: ArtefactSource): string {
  return source.kind === "s3"
    ? `s3://${source.bucket}/${encodeKey(source.key)}`
    : JSON.stringify(source.path);
}

/**
 * Encodes a key for a URL's path as RFC 3986 has it, which is what is signed.
 *
 * @param key Key of S3
 */
export function encodeKey(key: string): string {
  return key.split("/").map((part) => encodeURIComponent(part).replaceAll(/[!'()*]/g, escapeCharacter)).join(
    "/",
  );
}

function escapeCharacter(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}

function fromS3Uri(rest: string): ArtefactSource {
  const slash = rest.indexOf("/");
  const bucket = slash < 0 ? rest : rest.slice(0, slash);
  const key = slash < 0 ? "" : rest.slice(slash + 1);
  if (!BUCKET.test(bucket) || NO_BUCKET.test(bucket)) {
    throw new TypeError("source must be s3://bucket/key with the name of a general purpose bucket");
  }
  const length = new TextEncoder().encode(key).length;
  if (length === 0 || length > MAX_KEY_BYTES) {
    throw new TypeError(`source must have a key of 1 to ${MAX_KEY_BYTES} bytes after the bucket`);
  }
  if (key.split("/").some((part) => part === "." || part === "..")) {
    throw new TypeError("source must have no part . or .. in its key: no URL can name such an object");
  }
  return { kind: "s3", bucket, key };
}

function fromUrl(url: URL): ArtefactSource {
  if (url.protocol !== "file:" || url.host !== "" || url.search !== "" || url.hash !== "") {
    throw new TypeError(
      "source must be a file: URL without a host, query or fragment, or s3://bucket/key as text",
    );
  }
  return { kind: "file", path: fileURLToPath(url) };
}
