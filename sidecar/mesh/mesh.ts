// The way to other apps: the own app without leaving the process, any other through its sidecar. Tries again as Dapr
// does where the other side certainly did not work on the request, each time resolving anew.
import type { TraceContext } from "../../lib/telemetry/trace-context.ts";
import { GrpcCode, type GrpcMethod, GrpcStatusError, newMetadata } from "../../lib/wire/grpc/types.ts";
import type { Authorize } from "../contract/authorize.ts";
import { setTrace, traceIntoMetadata } from "../contract/invoke-headers.ts";
import type { App, AppRequest, AppResponse, Identity, InvokeRequest, Mesh, RetryRunner } from "../contract/ports.ts";
import { ReplayBody } from "../contract/replay-body.ts";
import { errorText } from "./errors.ts";
import { compileAdded } from "./forwarded.ts";
import { callRemote, type RemoteCall } from "./remote-call.ts";
import { type RemotePorts, Remotes } from "./remotes.ts";
import { createInternalMethods } from "./server.ts";

export interface MeshPorts extends RemotePorts {
  readonly identity: Identity;
  readonly hostName: string;
  readonly app: App;
  /** Asked before each call of another sidecar reaches the app; null: everyone may call everything. */
  readonly authorize: Authorize | null;
  /** DaprBuiltInServiceRetries. */
  readonly retries: RetryRunner;
  /** Whether a Resiliency resource names this app; then ours stays out of the way. */
  readonly hasPolicy: (appId: string) => boolean;
  /** --max-body-size; 0 or less: no limit. For calls that carry a body whole. */
  readonly maxBodyBytes: number;
}

export interface RunningMesh {
  readonly mesh: Mesh;
  /** The same connections for calls that are only passed on. */
  readonly remotes: Remotes;
  /** Served on the internal port: CallLocal and CallLocalStream. */
  readonly methods: readonly GrpcMethod[];
  close(): Promise<void>;
}

export function createMesh(ports: MeshPorts): RunningMesh {
  const { identity, app } = ports;
  const remotes = new Remotes(ports);
  const added = compileAdded(identity, { hostAddress: identity.hostAddress, hostName: ports.hostName });

  const attempt = async (call: InvokeRequest, remote: RemoteCall, signal: AbortSignal): Promise<AppResponse> => {
    const { channel, done, failed } = await remotes.reach(call, signal);
    try {
      return await callRemote(channel, remote, done, signal);
    } catch (error) {
      if (isConnectionFailure(error)) failed();
      throw error;
    }
  };

  const invokeRemote = async (call: InvokeRequest, signal: AbortSignal): Promise<AppResponse> => {
    const { request } = call;
    const streaming = request.contentLength === null;
    const body = replayable(request, streaming);
    const metadata = newMetadata();
    traceIntoMetadata(metadata, call.trace);
    const remote: RemoteCall = { request, body, added: added(request.headers, call.appId), metadata };
    const once = () => attempt(call, remote, signal);
    const isStream = body instanceof ReplayBody;
    if ((streaming && isStream) || ports.hasPolicy(call.appId)) return once();
    let attempts = 0;
    const mayRetry = (error: unknown, tries: number) => {
      attempts = tries;
      return isConnectionFailure(error) && (!isStream || body.canReplay);
    };
    try {
      return await ports.retries(once, mayRetry, signal);
    } catch (error) {
      throw isConnectionFailure(error) ? gaveUp(call.appId, attempts, error) : error;
    }
  };

  return {
    mesh: {
      async invoke(call, signal) {
        if (call.appId !== identity.appId || call.namespace !== identity.namespace) return invokeRemote(call, signal);
        if (app.channel === null) throw new Error("cannot invoke local endpoint: app channel not initialized");
        return app.channel.invoke(withTrace(call.request, call.trace), signal);
      },
    },
    remotes,
    methods: createInternalMethods({ app, maxBodyBytes: ports.maxBodyBytes, authorize: ports.authorize }),
    close: () => remotes.close(),
  };
}

function withTrace(request: AppRequest, trace: TraceContext): AppRequest {
  setTrace(request.headers, trace);
  return request;
}

function replayable(request: AppRequest, streaming: boolean): RemoteCall["body"] {
  const { body } = request;
  if (body === null || body instanceof Uint8Array) return body;
  return streaming ? new ReplayBody(body, 0) : new ReplayBody(body);
}

/** The other side did not work on the request: it was not reached, or did not know us. */
function isConnectionFailure(error: unknown): error is GrpcStatusError {
  return error instanceof GrpcStatusError && (error.code === GrpcCode.UNAVAILABLE || error.code === GrpcCode.UNAUTHENTICATED);
}

function gaveUp(appId: string, attempts: number, cause: GrpcStatusError): Error {
  return new Error(`failed to invoke target ${appId} after ${attempts - 1} retries. Error: ${errorText(cause)}`, { cause });
}
