import { ProtocolError } from "../lib/core/errors.ts";
import { type AllowedHost, AllowList } from "./allow_list.ts";

/** Largest file, in characters: AWS's own has 3000. */
const MAX_LENGTH = 262_144;

/** One host: `- {address: kms.eu-central-1.amazonaws.com, port: 443}`, with the keys in any order. */
const ENTRY =
  /^( *)- *\{ *(address|port): +("?)([^\s"',{}#]+)\3 *, *(address|port): +("?)([^\s"',{}#]+)\6 *,? *\}$/;

/** First line of a host in block form: `- address: kms.eu-central-1.amazonaws.com`. */
const FIRST_LINE = /^( *)- +(address|port): +("?)([^\s"',{}#]+)\3$/;

/** Second line of it. */
const SECOND_LINE = /^( +)(address|port): +("?)([^\s"',{}#]+)\3$/;

/**
 * Reads the allow-list of vsock-proxy: YAML of exactly the form that its documentation shows, a list `allowlist` of
 * `{address: name, port: number}`, each on one line or on two. Comments and empty lines may stand in between. Every other
 * thing that YAML knows (anchors, tags, several documents, other keys) is refused with the number of its line.
 *
 * @param text Content of the file, at most 262144 characters
 * @returns At least one host
 * @throws {ProtocolError} When the file has another form
 * @throws {TypeError} When a name is malformed
 * @example
 * ```ts
 * import { readVsockProxyAllowList } from "enclave-kms/parent";
 *
 * const [kms] = readVsockProxyAllowList("allowlist:\n- {address: kms.eu-central-1.amazonaws.com, port: 443}\n");
 * kms?.port; // 443
 * ```
 */
export function readVsockProxyAllowList(text: string): readonly AllowedHost[] {
  if (text.length > MAX_LENGTH) throw refusal(`it has more than ${MAX_LENGTH} characters`);
  const lines = text.split(/\r?\n/).map((line, index) => ({ number: index + 1, text: withoutComment(line) }))
    .filter((line) => line.text !== "");
  if (lines[0]?.text === "---") lines.shift();
  const [head, ...rest] = lines;
  if (head?.text !== "allowlist:") throw refusal(`line ${head?.number ?? 1} must be "allowlist:"`);
  const hosts = readHosts(rest);
  // Names and ports are checked where they are used, too.
  new AllowList(hosts);
  return hosts;
}

interface Line {
  readonly number: number;
  readonly text: string;
}

function readHosts(lines: readonly Line[]): AllowedHost[] {
  const hosts: AllowedHost[] = [];
  let indent: string | undefined;
  for (let place = 0; place < lines.length; place++) {
    const line = lines[place] as Line;
    const [, flow, ...pair] = ENTRY.exec(line.text) ?? [];
    const [, block, key = "", , value = ""] = FIRST_LINE.exec(line.text) ?? [];
    const found = flow ?? block;
    if (found === undefined || found !== (indent ??= found)) throw wrongLine(line);
    if (flow !== undefined) {
      hosts.push(makeHost(line, [[pair[0] ?? "", pair[2] ?? ""], [pair[3] ?? "", pair[5] ?? ""]]));
      continue;
    }
    const next = lines[++place];
    const [, deeper = "", nextKey = "", , nextValue = ""] = SECOND_LINE.exec(next?.text ?? "") ?? [];
    // The keys of one map stand below each other.
    if (next === undefined || deeper.length !== line.text.indexOf(key)) throw wrongLine(next ?? line);
    hosts.push(makeHost(line, [[key, value], [nextKey, nextValue]]));
  }
  if (hosts.length === 0) throw refusal("the list is empty");
  return hosts;
}

function makeHost(line: Line, pairs: readonly (readonly [key: string, value: string])[]): AllowedHost {
  const { address, port } = Object.fromEntries(pairs) as Record<string, string | undefined>;
  if (address === undefined || port === undefined || !/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535) {
    throw wrongLine(line);
  }
  return { name: address, port: Number(port) };
}

/** Cuts a comment off, which begins the line or follows a space, and spaces at the end. */
function withoutComment(line: string): string {
  const text = line.replace(/(?:^|(?<= ))#.*$/, "");
  let end = text.length;
  // No expression: it would look at each of many spaces within the line anew.
  while (text[end - 1] === " ") end--;
  return text.slice(0, end);
}

function wrongLine({ number }: Line): ProtocolError {
  return refusal(`line ${number} is not of the form "- {address: NAME, port: NUMBER}"`);
}

function refusal(reason: string): ProtocolError {
  return new ProtocolError(`Cannot read the allow-list of vsock-proxy: ${reason}`, {
    hint: "Only the form of AWS's own vsock-proxy.yaml is understood, and nothing else of YAML",
  });
}
