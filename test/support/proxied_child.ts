/**
 * Asks a service of AWS for an object while the environment has variables for proxies, and then somebody else by `fetch`,
 * which goes by them.
 *
 * @module
 */
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { CREDENTIALS, REGION, startServices } from "../aws_sdk/fake_services.ts";

await using services = await startServices((_, response) => void response.end("hello"));
const common = { region: REGION, credentials: CREDENTIALS, requestHandler: services.handler() };
const s3 = new S3Client({ ...common, forcePathStyle: true });
const { Body } = await s3.send(new GetObjectCommand({ Bucket: "b", Key: "k" }));
console.log(await Body?.transformToString());
s3.destroy();
await fetch("http://proxied.invalid/", { signal: AbortSignal.timeout(60_000) }).catch(() => {});
