// Subscription, dapr.io/v1alpha1 and v2alpha1, read into one form: rules in order, the default route last.
import type { Parsed } from "./problem.ts";
import type { ObjectReader } from "./reader.ts";
import { openResource, type ResourceMetadata, type ResourceType } from "./resource.ts";
import type { Value } from "./yaml.ts";

export const subscriptionTypes: readonly ResourceType[] = Object.freeze([
  { apiVersion: "dapr.io/v1alpha1", kind: "Subscription" },
  { apiVersion: "dapr.io/v2alpha1", kind: "Subscription" },
]);

export interface RouteRule {
  /** CEL over `event`; empty: matches always. */
  readonly match: string;
  readonly path: string;
}

export interface BulkSubscribe {
  readonly enabled: boolean;
  /** 0: the default. */
  readonly maxMessagesCount: number;
  /** 0: the default. */
  readonly maxAwaitDurationMs: number;
}

export interface Subscription extends ResourceMetadata {
  readonly pubsubName: string;
  readonly topic: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly rules: readonly RouteRule[];
  /** Empty: none. */
  readonly deadLetterTopic: string;
  readonly bulkSubscribe: BulkSubscribe;
}

export function parseSubscription(value: Value, file: string): Parsed<Subscription> {
  const { reader, list, name, namespace, scopes } = openResource(value, file);
  const spec = reader.part("spec");
  const version2 = reader.string("apiVersion") === "dapr.io/v2alpha1";
  const subscription: Subscription = Object.freeze({
    name,
    namespace,
    scopes,
    pubsubName: spec.required("pubsubname", "name the pub/sub component to subscribe with"),
    topic: spec.required("topic", "name the topic to subscribe to"),
    metadata: spec.stringMap("metadata"),
    rules: version2 ? routeRules(spec) : singleRoute(spec),
    deadLetterTopic: spec.string("deadLetterTopic"),
    bulkSubscribe: bulkSubscribe(spec.part("bulkSubscribe")),
  });
  spec.end();
  reader.end();
  return list.result(subscription);
}

function singleRoute(spec: ObjectReader): readonly RouteRule[] {
  const route = spec.string("route");
  if (route === "") warnNoRoute(spec, "route");
  return Object.freeze(route === "" ? [] : [rule("", route)]);
}

function warnNoRoute(spec: ObjectReader, field: string): void {
  spec.list.warning(spec.at(field), "no route is given, so no event will be delivered", "give the path that events are sent to");
}

function routeRules(spec: ObjectReader): readonly RouteRule[] {
  const routes = spec.part("routes");
  const rules = routes.objects("rules").map((reader) => {
    const read = rule(reader.string("match"), reader.required("path", "give the path for events that match"));
    reader.end();
    return read;
  });
  const fallback = routes.string("default");
  if (fallback !== "") rules.push(rule("", fallback));
  if (rules.length === 0) warnNoRoute(spec, "routes");
  routes.end();
  return Object.freeze(rules);
}

function rule(match: string, path: string): RouteRule {
  return Object.freeze({ match, path });
}

function bulkSubscribe(reader: ObjectReader): BulkSubscribe {
  const bulk = {
    enabled: reader.boolean("enabled") ?? false,
    maxMessagesCount: reader.integer("maxMessagesCount") ?? 0,
    maxAwaitDurationMs: reader.integer("maxAwaitDurationMs") ?? 0,
  };
  reader.end();
  return Object.freeze(bulk);
}
