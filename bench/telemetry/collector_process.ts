/**
 * A collector that takes every export and reads none. Its argument is the path of its unix socket; prints `true` when it
 * listens, then answers each line with the number of exports that it took.
 *
 * @module
 */
import { createServer } from "node:http";
import process from "node:process";
import { createInterface } from "node:readline";

let taken = 0;
const server = createServer((request, response) => {
  request.resume().once("end", () => {
    taken++;
    response.setHeader("content-type", "application/json");
    response.end("{}");
  });
});
server.listen(process.argv[2], () => console.log("true"));
for await (const _line of createInterface({ input: process.stdin })) console.log(taken);
process.exit(0);
