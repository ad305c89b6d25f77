/** Thing that looks like a secret, in words for a person. Never the secret itself. */
export type SecretKind =
  | "a private key (PEM)"
  | "a private key (DER)"
  | "a private key (JWK)"
  | "a password in a URL"
  | "an age identity"
  | "an AWS secret access key"
  | "a value of high entropy";

/** Most bytes of a text that are searched: configuration and source, not runtimes. */
export const MAX_SEARCHED_BYTES = 16_777_216;

const PEM = /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\s+(?:[A-Za-z-]+: [^\n]*\s+)*[A-Za-z0-9+/]{32}/;
const AGE = /\bAGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{50}/i;
const AWS_KEY_ID = /\b(?:AKIA|ASIA)[A-Z2-7]{16}\b/;
const AWS_SECRET =
  /(?<![A-Za-z0-9+/=])(?=[A-Za-z0-9+/]*[a-z])(?=[A-Za-z0-9+/]*[A-Z])(?=[A-Za-z0-9+/]*\d)[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])/;

/** Names of settings that hold secrets. */
const SECRET_NAME = /secret|passw|token|private_?key|api_?key|credential|entropy|mnemonic|seed/i;

/** Names of settings that hold what everybody may read, however random it is. */
const PUBLIC_NAME =
  /sha_?\d|hash|digest|fingerprint|checksum|pcr|public_?key|publisher|recipient|cipher|encrypted|sealed|certificate/i;

/** ARNs, PEM of what is public, recipients of age, UUIDs, keys of SSH, hashes of subresource integrity, and what KMS has encrypted. */
const PUBLIC_VALUE =
  /^(?:arn:|-----BEGIN |age1(?!pq-secret)|ssh-[a-z0-9]+ |sha\d{3}-|AQ[IE]CA[A-Za-z0-9+/]{60}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$)/i;

const URL_PASSWORD = /\b[a-z][a-z0-9+.-]{0,31}:\/\/[^\s/:@]*:[^\s/@]+@/i;

/** Least length of a token whose setting has an innocent name, in letters and digits. */
const MIN_TOKEN_LENGTH = 24;

/** Characters of one part of a value that are judged, at most: no token is as long. */
const MAX_JUDGED = 4096;

/** Least part of its letters and digits that are of another class than the one before: of random base64, 0.62. */
const MIN_CHANGES = 0.4;

/** Shannon's entropy of random base64 or hex of 20 characters or more, in bits for each character, and less. */
const MIN_ENTROPY = 3.2;
const MIN_LENGTH = 20;

/**
 * Looks for a secret in a file that is to become part of an image: an image is no secret, and everybody who measures it
 * reads it. Programs in ELF are not searched, nor what is no text.
 *
 * Not guaranteed: that there is none. It finds what has a form of its own.
 *
 * @param content Content of the file
 * @returns Kind of the secret; undefined when none was found
 */
export function findSecret(content: Uint8Array): SecretKind | undefined {
  if (content.length > MAX_SEARCHED_BYTES || content.subarray(0, 65_536).includes(0)) return undefined;
  const text = new TextDecoder().decode(content);
  if (PEM.test(text)) return "a private key (PEM)";
  if (AGE.test(text)) return "an age identity";
  if (AWS_KEY_ID.test(text) && AWS_SECRET.test(text)) return "an AWS secret access key";
  return undefined;
}

/**
 * Looks for a secret in a setting. Hashes, public keys and ciphertexts of KMS are none.
 *
 * @param name Name of the setting, such as `API_TOKEN`
 * @param value Its value
 * @returns Kind of the secret; undefined when none was found
 */
export function findSecretSetting(name: string, value: string): SecretKind | undefined {
  const found = findSecret(new TextEncoder().encode(value));
  if (found !== undefined) return found;
  if (/secret_?access_?key/i.test(name) && AWS_SECRET.test(value)) return "an AWS secret access key";
  if (URL_PASSWORD.test(value)) return "a password in a URL";
  const key = derKey(value);
  if (key === "private") return "a private key (DER)";
  if (key === "public" || PUBLIC_NAME.test(name) || PUBLIC_VALUE.test(value)) return undefined;
  const looksRandom = value.length >= MIN_LENGTH && !/[\s:{}]/.test(value) && entropyOf(value) >= MIN_ENTROPY;
  const isSecret = looksRandom && SECRET_NAME.test(name) || looksLikeToken(value);
  return isSecret ? "a value of high entropy" : undefined;
}

/**
 * Tells what kind of key a value in base64 is by its first fields: PKCS #8, PKCS #1 and SEC 1 begin with a version, and a
 * public key (RFC 5280) or a certificate with a sequence.
 */
function derKey(value: string): "private" | "public" | undefined {
  const base64 = value.replace(/\s/g, "");
  if (!/^M[A-Za-z0-9+/]{40,}={0,2}$/.test(base64)) return undefined;
  const head = Array.from(atob(base64.slice(0, 12)), (character) => character.charCodeAt(0));
  // A length of 128 bytes or more takes as many bytes more as its first one says.
  const content = (head[1] ?? 0) < 0x80 ? 2 : 2 + (head[1]! & 0x7f);
  if (head[0] !== 0x30) return undefined;
  if (head[content] === 0x30) return "public";
  return head[content] === 2 && head[content + 1] === 1 && (head[content + 2] ?? 2) <= 1
    ? "private"
    : undefined;
}

/** Tells random base64 from words that are joined by capitals, hyphens or slashes: its classes change all the time. */
function looksLikeToken(value: string): boolean {
  return value.split(/[^A-Za-z0-9+/_=-]+/).some((part) => {
    const text = part.slice(0, MAX_JUDGED).replace(/[^A-Za-z0-9]/g, "");
    if (text.length < MIN_TOKEN_LENGTH || entropyOf(text) < MIN_ENTROPY) return false;
    const classes = [...text].map((one) =>
      /\d/.test(one) ? "digit" : /[a-z]/.test(one) ? "small" : "capital"
    );
    const changes = classes.filter((one, index) => index > 0 && one !== classes[index - 1]).length;
    return new Set(classes).size === 3 && changes >= classes.length * MIN_CHANGES;
  });
}

function entropyOf(text: string): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  return [...counts.values()].reduce((sum, count) => {
    const share = count / text.length;
    return sum - share * Math.log2(share);
  }, 0);
}
