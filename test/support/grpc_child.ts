/**
 * Program of `GrpcProcess`: servers and callers of gRPC on Node. Reads one command a line, and answers each with one
 * line. It ends with its standard input.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import process from "node:process";
import { createInterface } from "node:readline";
import type { ClientUnaryCall, ServiceError } from "@grpc/grpc-js";
import type { GrpcAnswer, GrpcCommand } from "./grpc_commands.ts";
import { EchoClient, EchoServer } from "./grpc_service.ts";

const LARGE = Buffer.alloc(4 << 20, "0123456789abcdef");
LARGE.write("end", LARGE.length - 3);

const servers = new Map<number, EchoServer>();
const callers = new Map<number, EchoClient>();
const hanging = new Map<number, ClientUnaryCall>();

for await (const line of createInterface({ input: process.stdin })) {
  const { id, command } = JSON.parse(line) as { readonly id: number; readonly command: GrpcCommand };
  // The next command may be what ends this one.
  void answer(command).then((answer) => console.log(JSON.stringify({ id, answer })));
}
process.exit();

async function answer(command: GrpcCommand): Promise<GrpcAnswer> {
  try {
    return { value: await obey(command) };
  } catch (error) {
    const { code, message } = error as ServiceError;
    return { error: { code, message } };
  }
}

async function obey(command: GrpcCommand): Promise<unknown> {
  switch (command.do) {
    case "serve": {
      const server = await EchoServer.start();
      servers.set(server.port, server);
      return server.port;
    }
    case "counts": {
      const { said, hangingCount, cancelledCount } = serverAt(command.port);
      return { saidCount: said.length, hangingCount, cancelledCount };
    }
    case "shut":
      await serverAt(command.port)[Symbol.asyncDispose]();
      return null;
    case "call":
      callers.set(command.caller, new EchoClient(command.port, command.pem, command.identity));
      return null;
    case "say":
      return String(await callerOf(command.caller).say(Buffer.from(command.text), command.timeoutMs));
    case "say-large":
      return (await callerOf(command.caller).say(LARGE, command.timeoutMs)).equals(LARGE);
    case "count":
      return await callerOf(command.caller).count(command.to);
    case "hang":
      await callerOf(command.caller).hang(command.timeoutMs, (call) => hanging.set(command.caller, call));
      return null;
    case "cancel":
      hanging.get(command.caller)?.cancel();
      return null;
    case "close":
      callerOf(command.caller)[Symbol.dispose]();
      return null;
  }
}

function serverAt(port: number): EchoServer {
  const server = servers.get(port);
  if (server === undefined) throw new Error(`There is no server at ${port}`);
  return server;
}

function callerOf(id: number): EchoClient {
  const caller = callers.get(id);
  if (caller === undefined) throw new Error(`There is no caller ${id}`);
  return caller;
}
