import { checkFields, checkText } from "../../lib/core/checks.ts";
import { failureOf } from "./sdk_answer.ts";
import type { SharedKeyStore } from "./store.ts";

/** `DynamoDB` of `@aws-sdk/client-dynamodb`, as far as it is used: the client with a method for each operation. */
export interface DynamoLike {
  /** Reads an item. */
  getItem(
    input: {
      readonly TableName: string;
      readonly Key: Record<string, { readonly S: string }>;
      readonly ConsistentRead: boolean;
    },
    options: { readonly abortSignal: AbortSignal },
  ): Promise<{ readonly Item?: Readonly<Record<string, { readonly B?: unknown }>> | undefined }>;
  /** Writes an item. */
  putItem(
    input: {
      readonly TableName: string;
      readonly Item: Record<string, { readonly S: string } | { readonly B: Uint8Array }>;
      readonly ConditionExpression: string;
      readonly ExpressionAttributeNames: Record<string, string>;
    },
    options: { readonly abortSignal: AbortSignal },
  ): Promise<unknown>;
}

/** Place of the records in DynamoDB. */
export interface DynamoKeyStoreOptions {
  /** Name of the table. */
  readonly table: string;
  /** Name of its partition key, of type string; the table has no sort key. Default: `name`. */
  readonly partitionKey?: string | undefined;
}

/** Attribute that holds the record. */
const RECORD = "record";

/**
 * Makes a store of a table of DynamoDB, by conditional writes (`attribute_not_exists`) and consistent reads. The role
 * needs `dynamodb:GetItem` and `dynamodb:PutItem`. A global table does not do: two regions may both write.
 *
 * @param dynamo Client `DynamoDB` of `@aws-sdk/client-dynamodb`; not owned
 * @param options Table, and the name of its key
 * @returns The store
 * @throws {TypeError} When the client has not these methods, or an option is unknown or of a wrong type
 * @throws {RangeError} When an option is empty or too long
 * @example
 * ```ts
 * import { DynamoDB } from "@aws-sdk/client-dynamodb";
 * import { dynamoKeyStore } from "enclave-kms/enclave";
 *
 * // In an enclave with credentialsFromParent() and vsockRequestHandler() of "enclave-kms/aws".
 * const store = dynamoKeyStore(new DynamoDB({ region: "eu-central-1" }), { table: "orders-keys" });
 * typeof store.create; // "function"
 * ```
 */
export function dynamoKeyStore(dynamo: DynamoLike, options: DynamoKeyStoreOptions): SharedKeyStore {
  const given = checkFields("options of dynamoKeyStore", options, ["table", "partitionKey"]);
  const TableName = checkText("table", given.table, 1024);
  const key = given.partitionKey === undefined ? "name" : checkText("partitionKey", given.partitionKey, 255);
  if (key === RECORD) throw new TypeError(`partitionKey must not be ${RECORD}, which holds the record`);
  if (typeof dynamo?.getItem !== "function" || typeof dynamo.putItem !== "function") {
    throw new TypeError("dynamo must be the client DynamoDB of @aws-sdk/client-dynamodb");
  }
  return {
    async read(name, { signal }) {
      const Key = { [key]: { S: name } };
      const { Item } = await dynamo.getItem({ TableName, Key, ConsistentRead: true }, {
        abortSignal: signal,
      });
      if (Item === undefined) return undefined;
      // One without bytes is no record of ours, which the caller says.
      const bytes = Item[RECORD]?.B;
      return bytes instanceof Uint8Array ? bytes : new Uint8Array(0);
    },
    async create(name, bytes, { signal }) {
      const Item = { [key]: { S: name }, [RECORD]: { B: bytes } };
      const condition = {
        ConditionExpression: "attribute_not_exists(#key)",
        ExpressionAttributeNames: { "#key": key },
      };
      try {
        await dynamo.putItem({ TableName, Item, ...condition }, { abortSignal: signal });
        return true;
      } catch (error) {
        if (failureOf(error) === "ConditionalCheckFailedException") return false;
        throw error;
      }
    },
  };
}
