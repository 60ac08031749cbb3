// Service invocation: from a target as the caller writes it (`app`, `app.namespace`, an HTTPEndpoint's name, a URL) to
// the app's answer. The method is normalised here, once, for policy and dispatch alike.
import { MethodError, normalizeMethod } from "../../../lib/kit/method-path.ts";
import type { TraceContext } from "../../../lib/telemetry/trace-context.ts";
import { GrpcCode, GrpcStatusError } from "../../../lib/wire/grpc/types.ts";
import { parseTarget } from "../../contract/app-target.ts";
import type { Block } from "../../contract/block.ts";
import type { HttpRequest, Reply } from "../../contract/http.ts";
import { setTrace } from "../../contract/invoke-headers.ts";
import type { AppRequest, AppResponse } from "../../contract/ports.ts";
import { invokeUnder } from "./attempts.ts";
import { invokeFailed } from "./errors.ts";
import { createGrpcMethods } from "./grpc.ts";
import { createHttpHandler } from "./http.ts";
import type { InvocationPorts } from "./ports.ts";

/** Rejects with ApiError, except for the caller's own abort. */
export type Invoke = (target: string, request: AppRequest, trace: TraceContext, signal: AbortSignal) => Promise<AppResponse>;

export interface InvocationBlock extends Block {
  /** For requests that no route matches: the app id is in a header or in basic auth. */
  readonly fallback: (request: HttpRequest) => Promise<Reply>;
}

export function createInvocationBlock(ports: InvocationPorts): InvocationBlock {
  const invoke = createInvoke(ports);
  const handle = createHttpHandler(invoke);
  return {
    name: "invocation",
    http: [{ methods: [], version: "v1.0", path: "invoke/*rest", group: "invoke", groupVersion: "v1", name: "InvokeService", handle }],
    grpc: createGrpcMethods(invoke, ports),
    fallback: handle,
  };
}

export function createInvoke({ identity, mesh, endpoints, policies }: InvocationPorts): Invoke {
  const dispatch = (target: string, request: AppRequest, trace: TraceContext, signal: AbortSignal): Promise<AppResponse> => {
    const external = isUrl(target) ? endpoints.forUrl(target) : endpoints.named(target);
    if (external) {
      setTrace(request.headers, trace);
      return external.invoke(request, signal);
    }
    const { appId, namespace } = parseTarget(target, identity.namespace);
    return mesh.invoke({ appId, namespace, request, trace }, signal);
  };

  return async (target, request, trace, signal) => {
    try {
      const normal = { ...request, method: normalized(request.method) };
      const policy = policies.app(target, normal.method);
      if (policy === null) return await dispatch(target, normal, trace, signal);
      return await invokeUnder(policy, normal, (sent, attempt) => dispatch(target, sent, trace, attempt), signal);
    } catch (error) {
      throw signal.aborted ? error : invokeFailed(target, error);
    }
  };
}

function normalized(method: string): string {
  try {
    return normalizeMethod(method);
  } catch (error) {
    if (error instanceof MethodError) throw new GrpcStatusError(GrpcCode.INVALID_ARGUMENT, `invalid method: ${error.message}`);
    throw error;
  }
}

export function isUrl(target: string): boolean {
  return target.startsWith("http://") || target.startsWith("https://");
}
