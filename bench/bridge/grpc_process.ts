/**
 * Server of gRPC in a process of its own: echoes bytes in the clear on a free port of 127.0.0.1, which it prints.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import * as grpc from "@grpc/grpc-js";

const same = (bytes: Buffer) => bytes;

/** Method that echoes bytes, without a schema. */
export const ECHO: grpc.MethodDefinition<Buffer, Buffer> = {
  path: "/bench.Echo/Say",
  requestStream: false,
  responseStream: false,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};

if (import.meta.main) {
  const server = new grpc.Server();
  server.addService({ Say: ECHO }, {
    Say: ({ request }: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) =>
      done(null, request),
  });
  const credentials = grpc.ServerCredentials.createInsecure();
  server.bindAsync("127.0.0.1:0", credentials, (_, port) => console.log(port));
}
