/** Schemas of OpenAPI documents, as far as they say which fields are encrypted. */
import { GetObjectCommand, ListObjectsV2Command, type S3Client } from "@aws-sdk/client-s3";
import { ContentError } from "./refresh.ts";

/** Source of the schemas: the objects of a bucket below a prefix. */
export interface SchemaSource {
  readonly s3: S3Client;
  readonly bucket: string;
  /** Account that the bucket must belong to. */
  readonly owner: string;
  readonly prefix: string;
}

/** Schema: the parts that matter for the way through a value. */
export interface Schema {
  /** Whether its value is encrypted. */
  isMarked: boolean;
  /** Types that the value may have; empty for any. */
  types: readonly string[];
  /** Schemas of the properties by name. */
  readonly properties: Map<string, Schema>;
  /** Schema of the properties that are not named; undefined when they may be anything. */
  rest: Schema | undefined;
  /** Whether there may be none but the named ones. */
  isClosed: boolean;
  /** Schema of an array's elements. */
  items: Schema | undefined;
  /** Schemas that the value has to fit as well, or one of which it has to fit. */
  readonly also: Schema[];
}

/** Schemas by name; only those that mark something. */
export type Schemas = ReadonlyMap<string, Schema>;

type Json = Readonly<Record<string, unknown>>;

const MARK = "x-encrypt";
const TYPES = ["array", "boolean", "integer", "null", "number", "object", "string"];
const MAX_DOCUMENTS = 256;
const MAX_DOCUMENT_BYTES = 1 << 20;
const REF = /^#\/components\/schemas\/([A-Za-z0-9._-]+)$/;

/**
 * Loads all schemas.
 *
 * @throws {ContentError} When one is malformed, or has a mark where it would not be seen
 */
export async function loadSchemas(source: SchemaSource, abortSignal: AbortSignal): Promise<Schemas> {
  const { s3, bucket: Bucket, owner: ExpectedBucketOwner, prefix: Prefix } = source;
  const common = { Bucket, ExpectedBucketOwner };
  const list = new ListObjectsV2Command({ ...common, Prefix });
  const { Contents = [], IsTruncated } = await s3.send(list, { abortSignal });
  const documents = Contents.filter(({ Key }) => Key?.endsWith(".json"));
  if (IsTruncated === true || documents.length > MAX_DOCUMENTS) {
    throw new ContentError("there are too many documents");
  }
  const schemas = new Map<string, Schema>();
  for (const { Key = "", Size = Infinity } of documents) {
    if (Size > MAX_DOCUMENT_BYTES) throw new ContentError(`${Key}: more than ${MAX_DOCUMENT_BYTES} bytes`);
    const { Body } = await s3.send(new GetObjectCommand({ ...common, Key }), { abortSignal });
    for (const [name, schema] of readDocument(await Body?.transformToString() ?? "", Key)) {
      if (schemas.has(name)) throw new ContentError(`${Key}: schema ${name} is in another document, too`);
      schemas.set(name, schema);
    }
  }
  const marking = new Map([...schemas].filter(([, schema]) => reachesMark(schema)));
  if (marking.size === 0) throw new ContentError("no schema marks anything");
  return marking;
}

/** Reads the schemas of one OpenAPI document. */
export function readDocument(text: string, document: string): Schemas {
  try {
    const { components } = object(JSON.parse(text), "document");
    return new Compiler(object(object(components, "components")["schemas"], "components.schemas")).all();
  } catch (error) {
    if (error instanceof ContentError) throw new ContentError(`${document}: ${error.message}`);
    throw new ContentError(`${document}: no JSON, or nested too deeply`);
  }
}

/** Tells whether there is a mark at a schema or below. */
export function reachesMark(schema: Schema): boolean {
  const known = reaching.get(schema);
  if (known !== undefined) return known;
  const seen = new Set([schema]);
  for (const { properties, rest, items, also } of seen) { // a set goes on with what is added
    for (const next of [...properties.values(), rest ?? [], items ?? [], also].flat()) seen.add(next);
  }
  const reaches = [...seen].some(({ isMarked }) => isMarked);
  reaching.set(schema, reaches);
  return reaches;
}

/** Answers of {@link reachesMark}: schemas do not change once they are loaded. */
const reaching = new WeakMap<Schema, boolean>();

/** Compiles the schemas of a document, which may refer to each other in circles. */
class Compiler {
  readonly #given: Json;
  readonly #named = new Map<string, Schema>();

  constructor(given: Json) {
    this.#given = given;
  }

  all(): Schemas {
    for (const name of Object.keys(this.#given)) this.#find(name);
    return this.#named;
  }

  #find(name: string): Schema {
    const known = this.#named.get(name);
    if (known !== undefined) return known;
    if (!Object.hasOwn(this.#given, name)) throw new ContentError(`there is no schema ${name}`);
    const schema = empty();
    this.#named.set(name, schema);
    return this.#compile(this.#given[name], name, schema);
  }

  #compile(given: unknown, at: string, schema: Schema = empty()): Schema {
    if (typeof given === "boolean") return schema;
    for (const [keyword, value] of Object.entries(object(given, at))) {
      this.#read(schema, keyword, value, `${at}.${keyword}`);
    }
    return schema;
  }

  #read(schema: Schema, keyword: string, value: unknown, at: string): void {
    const compiled = (list: unknown) =>
      array(list, at).map((given, index) => this.#compile(given, `${at}[${index}]`));
    switch (keyword) {
      case MARK:
        if (typeof value !== "boolean") throw new ContentError(`${at} must be true or false`);
        schema.isMarked = value;
        break;
      case "type":
        schema.types = [value].flat().map(String);
        if (!schema.types.every((type) => TYPES.includes(type))) {
          throw new ContentError(`${at}: no such type`);
        }
        break;
      case "properties":
        for (const [name, given] of Object.entries(object(value, at))) {
          schema.properties.set(name, this.#compile(given, `${at}.${name}`));
        }
        break;
      case "additionalProperties":
        schema.isClosed = value === false;
        if (typeof value === "object") schema.rest = this.#compile(value, at);
        break;
      case "items":
        schema.items = this.#compile(value, at);
        break;
      case "allOf":
      case "anyOf":
      case "oneOf":
        schema.also.push(...compiled(value));
        break;
      case "$ref":
        schema.also.push(this.#find(REF.exec(String(value))?.[1] ?? String(value)));
        break;
      default:
        refuseMarks(keyword, value, at);
    }
  }
}

/** Refuses marks, and references to schemas that may have some, where this service would pass them by. */
function refuseMarks(keyword: string, value: unknown, at: string): void {
  if (/^x-?encr/i.test(keyword)) throw new ContentError(`${at}: the mark is called ${MARK}`);
  if (typeof value !== "object" || value === null) return;
  for (const [name, part] of Object.entries(value)) {
    if (name === MARK || name === "$ref") throw new ContentError(`${at}: ${name} is not read there`);
    refuseMarks(name, part, `${at}.${name}`);
  }
}

function empty(): Schema {
  return {
    isMarked: false,
    types: [],
    properties: new Map(),
    rest: undefined,
    isClosed: false,
    items: undefined,
    also: [],
  };
}

function object(value: unknown, at: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw new ContentError(`${at} must be an object`);
}

function array(value: unknown, at: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new ContentError(`${at} must be an array`);
}
