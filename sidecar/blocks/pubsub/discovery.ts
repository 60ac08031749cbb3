// What the app says it subscribes to: GET /dapr/subscribe over HTTP, AppCallback.ListTopicSubscriptions over gRPC. Both are read
// into the one form that subscriptions have. Rules stay text here: an invalid one costs its own subscription only.
import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { GrpcCode, messageOf } from "../../../lib/kit/errors.ts";
import type { TopicSubscription } from "../../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { AppCallback } from "../../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import { GrpcStatusError } from "../../../lib/wire/grpc/types.ts";
import { newHeaders } from "../../contract/invoke-headers.ts";
import type { AppChannel } from "../../contract/ports.ts";
import { readBody } from "../../contract/read-body.ts";
import type { BulkSettings, RouteRule } from "./ports.ts";
import { bulkOf, type Subscription } from "./subscription.ts";

/** Rejects when the app cannot be reached or its answer cannot be read; no answer to the question is the answer "none". */
export async function askApp(
  channel: AppChannel,
  appId: string,
  log: Logger,
  maxBodyBytes: number,
  signal: AbortSignal,
): Promise<readonly Subscription[]> {
  const found = channel.grpc === null ? await askHttp(channel, appId, log, maxBodyBytes, signal) : await askGrpc(channel.grpc, log, signal);
  if (found.length === 0) log.debug("user app did not subscribe to any topic");
  return found;
}

async function askHttp(
  channel: AppChannel,
  appId: string,
  log: Logger,
  maxBodyBytes: number,
  signal: AbortSignal,
): Promise<readonly Subscription[]> {
  const headers = Object.assign(newHeaders(), { "dapr-app-id": [appId] });
  const request = {
    verb: "GET",
    method: "dapr/subscribe",
    query: "",
    headers,
    contentType: "application/json",
    body: null,
    contentLength: null,
  };
  const response = await channel.invoke(request, signal);
  const body = await readBody(response.body, maxBodyBytes);
  if (response.status === 200) return parseSubscriptions(Buffer.from(body).toString(), log);
  if (response.status !== 404) log.error(`app returned http status code ${response.status} from subscription endpoint`);
  return [];
}

/** Throws when `text` is no list; entries without a usable route are left out with a warning. */
export function parseSubscriptions(text: string, log: Logger): readonly Subscription[] {
  if (text.trim() === "") return [];
  const list: unknown = JSON.parse(text);
  if (list === null) return [];
  if (!Array.isArray(list)) throw new Error("the answer of /dapr/subscribe is not a JSON array");
  const subscriptions: Subscription[] = [];
  for (const item of list) {
    const entry = members(item);
    const subscription = httpSubscription(entry);
    if (subscription.rules.length > 0) subscriptions.push(subscription);
    else log.warn(`topic ${subscription.topic} has an empty routes. removing from subscriptions list`);
  }
  return subscriptions;
}

function httpSubscription(entry: Members): Subscription {
  const routes = members(entry.get("routes"));
  const list = entry.has("routes") ? routes.get("rules") : undefined;
  const rules: RouteRule[] = [];
  for (const rule of Array.isArray(list) ? list : []) {
    const fields = members(rule);
    rules.push({ match: string(fields, "match"), path: string(fields, "path") });
  }
  const fallback = string(routes, "default") || string(entry, "route");
  if (fallback !== "") rules.push({ match: "", path: fallback });
  return {
    type: "PROGRAMMATIC",
    pubsubName: string(entry, "pubsubname"),
    topic: string(entry, "topic"),
    metadata: stringMap(entry.get("metadata")),
    deadLetterTopic: string(entry, "deadlettertopic"),
    rules,
    bulk: bulkOf(httpBulk(members(entry.get("bulksubscribe")))),
  };
}

function httpBulk(entry: Members): BulkSettings {
  const number = (name: string) => {
    const value = entry.get(name) ?? 0;
    if (!Number.isInteger(value)) throw new Error(`'${name}' in the answer of /dapr/subscribe is not a whole number`);
    return value as number;
  };
  return {
    enabled: entry.get("enabled") === true,
    maxMessagesCount: number("maxmessagescount"),
    maxAwaitDurationMs: number("maxawaitdurationms"),
  };
}

/** Members of a JSON object by lower-case name, since apps' names differ in case from Dapr's. */
type Members = ReadonlyMap<string, unknown>;

function members(value: unknown): Members {
  if (value === undefined || value === null) return new Map();
  if (typeof value !== "object" || Array.isArray(value))
    throw new Error("an entry of /dapr/subscribe is not a JSON object where one is due");
  return new Map(Object.entries(value).map(([name, member]) => [name.toLowerCase(), member]));
}

function string(entry: Members, name: string): string {
  const value = entry.get(name) ?? "";
  if (typeof value !== "string") throw new Error(`'${name}' in the answer of /dapr/subscribe is not a string`);
  return value;
}

function stringMap(value: unknown): Readonly<Record<string, string>> {
  const map: Record<string, string> = Object.create(null);
  if (value === undefined || value === null) return map;
  for (const [name, member] of Object.entries(value)) {
    if (typeof member !== "string") throw new Error(`metadata '${name}' in the answer of /dapr/subscribe is not a string`);
    map[name] = member;
  }
  return map;
}

async function askGrpc(app: NonNullable<AppChannel["grpc"]>, log: Logger, signal: AbortSignal): Promise<readonly Subscription[]> {
  try {
    const { message } = await app.call(AppCallback.method.listTopicSubscriptions, create(EmptySchema), { signal });
    return message.subscriptions.map(grpcSubscription);
  } catch (error) {
    if (!(error instanceof GrpcStatusError) || error.code !== GrpcCode.UNIMPLEMENTED) throw error;
    log.info("pubsub subscriptions: gRPC app does not implement ListTopicSubscriptions");
    return [];
  }
}

/** Without any route a gRPC app gets everything under the empty path. */
function grpcSubscription(item: TopicSubscription): Subscription {
  const rules: RouteRule[] = (item.routes?.rules ?? []).map(({ match, path }) => ({ match, path }));
  const fallback = item.routes?.default ?? "";
  if (fallback !== "" || rules.length === 0) rules.push({ match: "", path: fallback });
  return {
    type: "PROGRAMMATIC",
    pubsubName: item.pubsubName,
    topic: item.topic,
    metadata: item.metadata,
    deadLetterTopic: item.deadLetterTopic,
    rules,
    bulk: item.bulkSubscribe === undefined ? null : bulkOf(item.bulkSubscribe),
  };
}

/** The log line for a question that stayed without a readable answer. */
export function describeFailure(protocol: AppChannel["protocol"], error: unknown): string {
  return `error getting ${protocol.startsWith("grpc") ? "topic list" : "topics"} from app: ${messageOf(error)}`;
}
