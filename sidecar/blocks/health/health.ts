// Health of the sidecar: `healthz` (everything, the app included) and `healthz/outbound` (the API an app needs to start).
import { apiError } from "../../../lib/kit/errors.ts";
import type { Block } from "../../contract/block.ts";
import { type HttpRequest, noContent, type Reply, type Route } from "../../contract/http.ts";
import { healthErrors } from "./errors.ts";

export interface HealthPorts {
  readonly appId: string;
  readonly runtime: { readonly isReady: boolean; readonly unready: readonly string[] };
  readonly outbound: { readonly isReady: boolean };
}

export function createHealthBlock({ appId, runtime, outbound }: HealthPorts): Block {
  const healthz = (request: HttpRequest): Reply => {
    if (!runtime.isReady) throw apiError(healthErrors.notReady, [runtime.unready.join(" ")]);
    const wanted = request.rawQuery === "" ? null : request.query.get("appid");
    if (wanted !== null && wanted !== appId) throw apiError(healthErrors.appIdMismatch);
    return noContent;
  };
  const outboundHealthz = (): Reply => {
    if (!outbound.isReady) throw apiError(healthErrors.outboundNotReady);
    return noContent;
  };
  return {
    name: "health",
    grpc: [],
    http: [route("healthz", "Healthz", healthz), route("healthz/outbound", "HealthzOutbound", outboundHealthz)],
  };
}

function route(path: string, name: string, handle: Route["handle"]): Route {
  return {
    methods: ["GET"],
    version: "v1.0",
    path,
    group: "healthz",
    groupVersion: "v1",
    name,
    handle,
    alwaysAllowed: true,
    public: true,
    healthCheck: true,
  };
}
