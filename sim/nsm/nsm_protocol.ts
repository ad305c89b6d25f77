import { decode } from "cbor2";
import { BARE_COMMANDS, COMMANDS, type NsmCommand, NsmRefusal, type NsmState } from "./nsm_commands.ts";
import { cbor, errorAnswer } from "./nsm_document.ts";

/** The longest request that a module takes, in bytes. */
const MAX_REQUEST_LENGTH = 0x1000;

/**
 * Answers one request as a Nitro Secure Module does, with an error where it would refuse.
 *
 * @param state State of the module
 * @param request CBOR
 * @returns CBOR
 */
export async function answerRequest(state: NsmState, request: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return cbor(await runCommand(state, request));
  } catch (error) {
    return errorAnswer(error instanceof NsmRefusal ? error.errorName : "InternalError");
  }
}

async function runCommand(state: NsmState, request: Uint8Array): Promise<unknown> {
  if (request.length > MAX_REQUEST_LENGTH) throw new NsmRefusal("InputTooLarge");
  const message = readRequest(request);
  if (typeof message === "string") return await run(BARE_COMMANDS, message, state, new Map());
  if (!(message instanceof Map) || message.size !== 1) throw new NsmRefusal("InvalidOperation");
  const name: unknown = message.keys().next().value;
  const args: unknown = message.get(name);
  if (typeof name !== "string" || !(args instanceof Map)) throw new NsmRefusal("InvalidOperation");
  return await run(COMMANDS, name, state, args);
}

async function run(
  commands: Readonly<Record<string, NsmCommand>>,
  name: string,
  state: NsmState,
  args: ReadonlyMap<unknown, unknown>,
): Promise<unknown> {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) throw new NsmRefusal("InvalidOperation");
  const value = await command(state, args);
  return value === undefined ? name : { [name]: value };
}

function readRequest(request: Uint8Array): unknown {
  try {
    return decode(new Uint8Array(request), { preferMap: true, rejectDuplicateKeys: true, maxDepth: 4 });
  } catch {
    throw new NsmRefusal("InvalidOperation");
  }
}
