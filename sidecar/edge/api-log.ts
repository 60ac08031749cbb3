// API logging: one line per call under Dapr's scopes and messages, so that existing dashboards and greps find it.
import type { Logger } from "../../lib/telemetry/log.ts";
import type { Route } from "../contract/http.ts";
import type { EdgeRequest } from "./http-request.ts";

export interface ApiLogSettings {
  readonly obfuscateUrls: boolean;
  readonly omitHealthChecks: boolean;
}

export type HttpApiLog = (request: EdgeRequest, route: Route | null, status: number, size: number, startedMs: number) => void;

export function createHttpApiLog(log: Logger, settings: ApiLogSettings): HttpApiLog {
  const info = log.scope("dapr.runtime.http-info");
  return (request, route, status, size, startedMs) => {
    if (route === null || (route.healthCheck && settings.omitHealthChecks)) return;
    const path = decoded(request.path);
    const method = settings.obfuscateUrls ? obfuscated(route.name, path) : `${request.method} ${path}`;
    const agent = request.headers["user-agent"];
    info.info("HTTP API Called", {
      code: status,
      duration: Math.round(performance.now() - startedMs),
      method,
      size: Math.max(size, 0),
      ...(agent ? { useragent: agent } : {}),
    });
  };
}

/** What was called, without what it was called with; an invocation names the app as well. */
function obfuscated(name: string, path: string): string {
  const appId = name === "InvokeService" ? /^\/v1\.0\/invoke\/(.+?)\/method\//.exec(path)?.[1] : undefined;
  return appId === undefined ? name : `${name}/${appId}`;
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

export type GrpcApiLog = (path: string, durationMs: number, code: number, agent: string | undefined) => void;

export function createGrpcApiLog(log: Logger): GrpcApiLog {
  const info = log.scope("dapr.runtime.grpc.api-info");
  return (path, durationMs, code, agent) => {
    const fields = { code, duration: Math.round(durationMs), method: path };
    info.info("gRPC API Called", agent === undefined ? fields : { ...fields, useragent: agent });
  };
}
