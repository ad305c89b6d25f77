/**
 * The start in an enclave. `/etc/credentials.json` is what the parent handed over, as IMDS writes it; it is read
 * again before the credentials expire.
 */
import { readFile } from "node:fs/promises";
import process from "node:process";
import { KmsClient } from "enclave-kms";
import { decryptSettings } from "./settings.ts";

const { REGION: region = "eu-central-1", SETTINGS: path = "/etc/settings.json" } = process.env;
const credentials = async () => JSON.parse(await readFile("/etc/credentials.json", "utf8"));

await using client = await KmsClient.open({ region, credentials });
const settings = await decryptSettings(client, path);
console.log(`decrypted: ${[...settings.keys()].join(", ")}`);
for (const secret of settings.values()) secret[Symbol.dispose]();
