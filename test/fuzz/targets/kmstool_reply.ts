import { Buffer } from "node:buffer";
import { readBase64 } from "../../../lib/core/secret_json.ts";
import { MAX_MESSAGE_BYTES, readReply } from "../../../lib/wire/kmstool_messages.ts";
import { dictionary, expect, expectSame, type FuzzTarget, oracle, utf8 } from "../target.ts";

/** Reply of an enclave that speaks the kmstool protocol, or of what answers in its place. */
export const kmstoolReply: FuzzTarget = {
  name: "kmstool_reply",
  maxLength: MAX_MESSAGE_BYTES,
  covers: ["lib/core/secret_json.ts", "lib/core/secret_json_reader.ts", "lib/wire/kmstool_messages.ts"],
  dictionary: dictionary(
    ...['{ "Status": "Ok" }', '"Status"', '"Message"', '"Ok"', '"Error"', '"More"', "null", "true", "1e3"],
    ...["\\/", "\\u0041", "\\u001b", "\\\\", '\\"', "AQID", "AQ==", "AR==", "{", "}", "[", "]", ":", ","],
  ),
  seeds: () => Promise.resolve(SEEDS.map(utf8)),
  run(input) {
    const json = new TextDecoder().decode(input);
    const reply = readReply(input);
    if (reply === undefined) return "none";
    const theirs = oracle("JSON.parse", () => JSON.parse(json)) as { Status: string; Message?: string };
    expectSame(Object.keys(theirs).every((name) => name === "Status" || name === "Message"), true, "members");
    expectSame(reply.isOk, theirs.Status === "Ok", "the status");
    const { message } = reply;
    expectSame(message && new TextDecoder().decode(message), theirs.Message, "the message");
    if (message === undefined) return `${reply.isOk}`;
    const plaintext = readBase64(message);
    const isCanonical = Buffer.from(theirs.Message ?? "", "base64").toString("base64") === theirs.Message;
    expectSame(plaintext !== undefined, isCanonical, "whether it is base64");
    if (plaintext === undefined) return `${reply.isOk} text`;
    expect(Buffer.from(plaintext).toString("base64") === theirs.Message, "the plaintext is another one");
    return `${reply.isOk} base64 ${plaintext.length % 3}`;
  },
};

const SEEDS: readonly string[] = [
  '{ "Status": "Ok" }',
  '{"Status":"Ok"}',
  '{ "Status": "Ok", "Message": "\\/+8=" }',
  '{"Message":"AQID","Status":"Ok"}',
  '{ "Status": "Error" }',
  '{ "Status": "Error", "Message": "Could not decrypt ciphertext" }',
  '{"Status":"Error","Message":"\\u001b[31m"}',
];
