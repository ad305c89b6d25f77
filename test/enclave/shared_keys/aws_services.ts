import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** Answer of the fake. */
interface Answer {
  readonly status: number;
  readonly body: string | Uint8Array;
}

/** S3 and DynamoDB over HTTP, as far as the clients of AWS's SDK ask them for a store of shared keys. */
export class AwsServices implements AsyncDisposable {
  /** Objects by path, and items by key. */
  readonly stored = new Map<string, Uint8Array>();
  /** Answers in the place of the service. */
  refusal: Answer | undefined;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const content = new Uint8Array(await buffer(request));
      const isDynamo = request.headers["x-amz-target"] !== undefined;
      const { status, body } = this.refusal ??
        (isDynamo ? this.#dynamo(request, content) : this.#s3(request, content));
      const type = isDynamo ? "application/x-amz-json-1.0" : "application/xml";
      response.writeHead(status, { "content-type": type }).end(body);
    });
  }

  static async start(): Promise<AwsServices> {
    const services = new AwsServices();
    services.#server.listen(0, "127.0.0.1");
    await once(services.#server, "listening");
    return services;
  }

  /** Options of clients. */
  get client(): {
    readonly endpoint: string;
    readonly region: string;
    readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
    readonly maxAttempts: number;
  } {
    const { port } = this.#server.address() as AddressInfo;
    return {
      endpoint: `http://127.0.0.1:${port}`,
      region: "eu-central-1",
      credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "none" },
      maxAttempts: 1,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  #s3({ method, url = "", headers }: IncomingMessage, content: Uint8Array): Answer {
    const path = url.replace(/\?.*/, "");
    const stored = this.stored.get(path);
    if (method === "GET") {
      return stored === undefined ? s3Error(404, "NoSuchKey") : { status: 200, body: stored };
    }
    if (stored !== undefined && headers["if-none-match"] === "*") return s3Error(412, "PreconditionFailed");
    this.stored.set(path, content);
    return { status: 200, body: "" };
  }

  #dynamo({ headers }: IncomingMessage, content: Uint8Array): Answer {
    const asked = JSON.parse(new TextDecoder().decode(content));
    if (headers["x-amz-target"] === "DynamoDB_20120810.GetItem") {
      const stored = this.stored.get(asked.ConsistentRead && asked.Key.name.S);
      return { status: 200, body: stored === undefined ? "{}" : new TextDecoder().decode(stored) };
    }
    const isConditional = asked.ConditionExpression === "attribute_not_exists(#key)" &&
      asked.ExpressionAttributeNames["#key"] === "name";
    if (isConditional && this.stored.has(asked.Item.name.S)) {
      return { status: 400, body: JSON.stringify({ __type: "x#ConditionalCheckFailedException" }) };
    }
    this.stored.set(asked.Item.name.S, new TextEncoder().encode(JSON.stringify({ Item: asked.Item })));
    return { status: 200, body: "{}" };
  }
}

/** Error of S3. */
export function s3Error(status: number, code: string): Answer {
  return { status, body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>` };
}
