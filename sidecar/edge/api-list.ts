// The API allow and deny lists of a Configuration (spec.api): which routes and methods exist at all. Denied is looked at
// first; a filtered HTTP route is not registered, a filtered gRPC method answers Unimplemented.
import { GrpcCode } from "../../lib/kit/errors.ts";
import { type ApiKey, type GrpcCall, type GrpcMethod, GrpcStatusError } from "../../lib/wire/grpc/types.ts";
import type { Route } from "../contract/http.ts";

export interface ApiRule {
  readonly name: string;
  readonly version: string;
  /** Empty: both protocols. */
  readonly protocol: string;
}

export interface ApiLists {
  readonly allowed: readonly ApiRule[];
  readonly denied: readonly ApiRule[];
}

/** Dapr writes versions with and without the minor part. */
const versionAlias: Readonly<Record<string, string>> = {
  "v1.0": "v1",
  "v1.0-alpha1": "v1alpha1",
  "v1.0-alpha2": "v1alpha2",
  "v1.0-beta1": "v1beta1",
};

function keysOf(rules: readonly ApiRule[], protocol: "http" | "grpc"): Set<string> {
  const keys = new Set<string>();
  for (const rule of rules) {
    if (rule.protocol !== "" && rule.protocol.toLowerCase() !== protocol) continue;
    const version = versionAlias[rule.version] ?? rule.version;
    keys.add(`${version}/${rule.name}`);
    keys.add(`${rule.version}/${rule.name}`);
  }
  return keys;
}

/** Whether `route` is registered. Rules also match as a prefix of `<version>/<path>`, Dapr's older form. */
export function routeFilter(lists: ApiLists): (route: Route) => boolean {
  const allowed = keysOf(lists.allowed, "http");
  const denied = keysOf(lists.denied, "http");
  const matches = (route: Route, keys: Set<string>): boolean => {
    if (keys.has(`${route.groupVersion}/${route.group}`)) return true;
    const path = `${route.version}/${route.path}`;
    for (const key of keys) if (path.startsWith(key)) return true;
    return false;
  };
  return (route) => {
    if (route.alwaysAllowed) return true;
    if (denied.size > 0 && matches(route, denied)) return false;
    return allowed.size === 0 || matches(route, allowed);
  };
}

/** The interceptor of the gRPC lists, or null when neither list has a gRPC rule. */
export function grpcFilter(lists: ApiLists): ((call: GrpcCall, method: GrpcMethod | null) => void) | null {
  const allowed = keysOf(lists.allowed, "grpc");
  const denied = keysOf(lists.denied, "grpc");
  if (allowed.size === 0 && denied.size === 0) return null;
  const has = (keys: Set<string>, api: ApiKey) => keys.has(`${api.version}/${api.group}`);
  return (call, method) => {
    // Proxied calls and the task hub are not the Dapr API.
    if (!call.path.startsWith("/dapr.proto.runtime.")) return;
    const api = method?.api ?? null;
    const refused = (api !== null && has(denied, api)) || (allowed.size > 0 && (api === null || !has(allowed, api)));
    if (refused) throw new GrpcStatusError(GrpcCode.UNIMPLEMENTED, "requested endpoint is not available");
  };
}
