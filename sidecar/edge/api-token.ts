// The API token (DAPR_API_TOKEN). Checked on the exact route, before the request is routed anywhere (lessons.md, attack 2).
import { createHash, timingSafeEqual } from "node:crypto";
import { GrpcCode } from "../../lib/kit/errors.ts";
import { first, type GrpcCall, GrpcStatusError, type Metadata } from "../../lib/wire/grpc/types.ts";

export const apiTokenHeader = "dapr-api-token";

/** Paths that GET reaches without a token: probes have none. */
const exempt = new Set(["/v1.0/healthz", "/v1.0/healthz/outbound"]);

export function isExempt(method: string, path: string): boolean {
  return method === "GET" && exempt.has(path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path);
}

export type TokenCheck = (presented: string | undefined) => boolean;

/** Compares in constant time; hashing first makes lengths equal. */
export function tokenCheck(token: string): TokenCheck {
  const expected = digest(token);
  return (presented) => presented !== undefined && timingSafeEqual(digest(presented), expected);
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** For gRPC: refuses or strips, so that the token never travels further. */
export function grpcTokenCheck(check: TokenCheck): (call: GrpcCall) => void {
  return (call) => {
    const presented = first(call.metadata, apiTokenHeader);
    if (presented === undefined)
      throw new GrpcStatusError(GrpcCode.UNAUTHENTICATED, "missing metadata in request: send the API token as dapr-api-token");
    if (!check(presented)) throw new GrpcStatusError(GrpcCode.UNAUTHENTICATED, "authentication error: api token mismatch");
    delete (call.metadata as Metadata)[apiTokenHeader];
  };
}
