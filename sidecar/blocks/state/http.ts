// The HTTP form of the state API (inventory §2.2).
import type {
  BulkGetItem,
  DeleteRequest,
  GetRequest,
  RequestMetadata,
  SetRequest,
  TransactionOperation,
} from "../../../components/state/store.ts";
import { apiError, type ErrorRow, messageOf } from "../../../lib/kit/errors.ts";
import {
  type HttpRequest,
  metadataHeaders,
  noContent,
  queryMetadata,
  type Reply,
  type ReplyHeaders,
  type Route,
} from "../../contract/http.ts";
import { stateErrors } from "./errors.ts";
import {
  concurrencyOf,
  consistencyOf,
  FormatError,
  OperationError,
  OptionError,
  parseBulkGetBody,
  parseSaveBody,
  parseTransactionBody,
} from "./json-body.ts";
import type { OpenStore, StateVerbs } from "./state.ts";

const noMetadata: RequestMetadata = Object.freeze(Object.create(null));

export function stateRoutes(verbs: StateVerbs): Route[] {
  const stable = { version: "v1.0", group: "state", groupVersion: "v1" } as const;
  const write = ["POST", "PUT"];
  return [
    { ...stable, methods: ["GET"], path: "state/:storeName/:key", name: "GetState", handle: (request) => get(verbs, request) },
    { ...stable, methods: write, path: "state/:storeName", name: "SaveState", handle: (request) => save(verbs, request) },
    { ...stable, methods: ["DELETE"], path: "state/:storeName/:key", name: "DeleteState", handle: (request) => remove(verbs, request) },
    { ...stable, methods: write, path: "state/:storeName/bulk", name: "GetBulkState", handle: (request) => bulkGet(verbs, request) },
    {
      ...stable,
      methods: write,
      path: "state/:storeName/transaction",
      name: "ExecuteStateTransaction",
      handle: (request) => transact(verbs, request),
    },
    {
      ...stable,
      version: "v1.0-alpha1",
      groupVersion: "v1alpha1",
      methods: write,
      path: "state/:storeName/query",
      name: "QueryStateAlpha1",
      // The alpha API's errors carry no app id.
      handle: (request) => verbs.query(verbs.find(request.params["storeName"] as string, null)),
    },
  ];
}

async function get(verbs: StateVerbs, request: HttpRequest): Promise<Reply> {
  const store = storeOf(verbs, request);
  // A consistency that does not exist is none: stores read what they have.
  const consistency = request.rawQuery === "" ? "" : (request.query.get("consistency") ?? "");
  const stored: GetRequest = {
    key: request.params["key"] as string,
    consistency: consistency === "strong" || consistency === "eventual" ? consistency : "",
    metadata: metadataOf(request),
  };
  const item = await verbs.get(store, stored, request.signal);
  if (item === null || item.data.length === 0) return noContent;
  const headers: ReplyHeaders = item.etag === null ? {} : { etag: item.etag };
  return { status: 200, headers: metadataHeaders(item.metadata, headers), body: item.data };
}

async function save(verbs: StateVerbs, request: HttpRequest): Promise<Reply> {
  const store = storeOf(verbs, request);
  const text = (await request.body()).toString();
  let items: readonly SetRequest[];
  try {
    items = parseSaveBody(text, metadataOf(request));
  } catch (error) {
    throw parseFailure(error, stateErrors.malformedItems, stateErrors.save, [store.name]);
  }
  await verbs.save(store, items, request.signal);
  return noContent;
}

async function remove(verbs: StateVerbs, request: HttpRequest): Promise<Reply> {
  const store = storeOf(verbs, request);
  const key = request.params["key"] as string;
  await verbs.delete(store, deleteRequest(request, key), request.signal);
  return noContent;
}

function deleteRequest(request: HttpRequest, key: string): DeleteRequest {
  const plain = request.rawQuery === "";
  try {
    return {
      key,
      etag: request.headers["if-match"] ?? null,
      concurrency: plain ? "" : concurrencyOf(request.query.get("concurrency")),
      consistency: plain ? "" : consistencyOf(request.query.get("consistency")),
      metadata: metadataOf(request),
    };
  } catch (error) {
    throw parseFailure(error, stateErrors.malformedItems, stateErrors.delete, [key]);
  }
}

async function bulkGet(verbs: StateVerbs, request: HttpRequest): Promise<Reply> {
  const store = storeOf(verbs, request);
  const text = (await request.body()).toString();
  const { keys, parallelism, metadata } = parseBody(() => parseBulkGetBody(text, metadataOf(request)));
  const items = await verbs.bulkGet(store, keys, parallelism, metadata, request.signal);
  return { status: 200, body: `[${items.map(bulkItem).join(",")}]` };
}

async function transact(verbs: StateVerbs, request: HttpRequest): Promise<Reply> {
  const store = storeOf(verbs, request);
  verbs.requireTransactions(store);
  const text = (await request.body()).toString();
  const query = metadataOf(request);
  const { operations, metadata } = parseBody(() => parseTransactionBody(text, query));
  await verbs.transact(store, operations as readonly TransactionOperation[], metadata, request.signal);
  return noContent;
}

function storeOf(verbs: StateVerbs, request: HttpRequest): OpenStore {
  return verbs.find(request.params["storeName"] as string, verbs.appId);
}

function metadataOf(request: HttpRequest): RequestMetadata {
  return request.rawQuery === "" ? noMetadata : queryMetadata(request.query);
}

function parseBody<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof OperationError) throw apiError(stateErrors.operationNotSupported, [error.message]);
    throw parseFailure(error, stateErrors.malformedBody, stateErrors.transaction, []);
  }
}

/** An option that does not exist is reported as `failed`, as Dapr does; anything else wrong with the body as `malformed`. */
function parseFailure(error: unknown, malformed: ErrorRow, failed: ErrorRow, values: readonly unknown[]): unknown {
  if (error instanceof OptionError) return apiError(failed, [...values, error.message]);
  return error instanceof FormatError ? apiError(malformed, [messageOf(error)]) : error;
}

/** `{key, data, etag, metadata, error}` without what is empty; the data goes in as the JSON it is. */
function bulkItem({ key, item, error }: BulkGetItem): string {
  let text = `{"key":${JSON.stringify(key)}`;
  if (error !== null) return `${text},"error":${JSON.stringify(error)}}`;
  if (item === null) return `${text}}`;
  if (item.data.length > 0) text += `,"data":${dataText(item.data)}`;
  if (item.etag !== null) text += `,"etag":${JSON.stringify(item.etag)}`;
  const metadata = JSON.stringify(item.metadata);
  return metadata === "{}" ? `${text}}` : `${text},"metadata":${metadata}}`;
}

/** JSON as it is stored; bytes that are no JSON, which only gRPC can have saved, as base64 in a string. */
function dataText(data: Uint8Array): string {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const text = bytes.toString();
  try {
    JSON.parse(text);
    return text;
  } catch {
    return JSON.stringify(bytes.toString("base64"));
  }
}
