// Transparent gRPC proxying: a method that the sidecar does not serve is a call of one app's own service by another. The
// public port sends it to the callee's sidecar (or straight to the own app), the internal port to the app behind it.
// Invariants: 1. on the internal port only the app behind this sidecar is reached, after access control; 2. the path that
// was decided on is the path that is dispatched; 3. every call is ended, whatever fails.
import { MethodError, normalizeMethod } from "../../lib/kit/method-path.ts";
import { ForwardedCall, type Unanswered } from "../../lib/wire/grpc/forward.ts";
import type { UnknownHook } from "../../lib/wire/grpc/server.ts";
import type { ServerCall } from "../../lib/wire/grpc/server-call.ts";
import { GrpcCode } from "../../lib/wire/grpc/types.ts";
import { parseTarget } from "../contract/app-target.ts";
import type { Policy } from "../contract/ports.ts";
import { beginUnder, callUnder, isTruthy } from "./attempts.ts";
import { appIsNotGrpc, invalidMethod, noAppChannel, noTarget, unreachable, wrongCallee } from "./errors.ts";
import { firstOf, fromOwnApp, fromPeer, targetOf } from "./metadata.ts";
import type { ProxyPorts, Remote } from "./ports.ts";

export interface GrpcProxy {
  /** For calls of our own app. */
  readonly outbound: UnknownHook;
  /** For calls of other sidecars. */
  readonly inbound: UnknownHook;
}

/** Looking the callee up anew is worth one more attempt: the kept address or connection may be of a sidecar that is gone. */
const reachesMax = 2;

export function createProxy(ports: ProxyPorts): GrpcProxy {
  const { identity } = ports;
  const ending = (run: (call: ServerCall) => Promise<Unanswered | null>) => (call: ServerCall) => {
    run(call).then(
      (failed) => failed !== null && call.fail(failed.status),
      (error) => call.fail(unreachable(error)),
    );
  };

  return {
    outbound: ending(async (call) => {
      const target = targetOf(call.rawHeaders);
      if (target === undefined) throw noTarget();
      const { appId, namespace } = parseTarget(target, identity.namespace);
      const headers = fromOwnApp(call.rawHeaders, identity, appId);
      if (appId === identity.appId && namespace === identity.namespace) {
        return toApp(ports, new ForwardedCall(call, ports.maxMessageBytes), headers);
      }
      const policy = ports.policies.app(target, call.path);
      if (policy !== null) return toRemoteUnder(policy, ports, call, { appId, namespace }, headers);
      return toRemote(ports, new ForwardedCall(call, ports.maxMessageBytes), { appId, namespace }, headers, call.signal);
    }),
    inbound: ending(async (call) => {
      const target = targetOf(call.rawHeaders);
      if (target === undefined) throw noTarget();
      const { appId, namespace } = parseTarget(target, identity.namespace);
      if (appId !== identity.appId || namespace !== identity.namespace) throw wrongCallee(target, identity.appId);
      checkPath(call.path);
      ports.authorize?.(call, call.path, "NONE");
      return toApp(ports, new ForwardedCall(call, ports.maxMessageBytes), fromPeer(call.rawHeaders, call.peerIdentity));
    }),
  };
}

/** For the reflection that the sidecar itself offers: with a target it is the app's that is asked for. */
export function namesTarget(headers: Readonly<Record<string, unknown>>): boolean {
  return headers["dapr-app-id"] !== undefined || headers["dapr-callee-app-id"] !== undefined;
}

async function toApp({ app, identity }: ProxyPorts, forwarded: ForwardedCall, headers: readonly string[]): Promise<Unanswered | null> {
  if (app.channel === null) throw noAppChannel();
  if (app.channel.grpc === null) throw appIsNotGrpc(identity.appId, app.channel.protocol);
  return app.channel.grpc.forward(forwarded, headers);
}

interface Callee {
  readonly appId: string;
  readonly namespace: string;
}

function toRemoteUnder(
  policy: Policy,
  ports: ProxyPorts,
  call: ServerCall,
  callee: Callee,
  headers: readonly string[],
): Promise<Unanswered | null> {
  const isStream = isTruthy(firstOf(call.rawHeaders, "dapr-stream"));
  const forwarded = new ForwardedCall(call, ports.maxMessageBytes, !isStream);
  const run = isStream ? beginUnder : callUnder;
  return run(policy, forwarded, (signal) => toRemote(ports, forwarded, callee, headers, signal));
}

async function toRemote(
  ports: ProxyPorts,
  forwarded: ForwardedCall,
  callee: Callee,
  headers: readonly string[],
  signal: AbortSignal,
): Promise<Unanswered | null> {
  for (let reach = 1; ; reach++) {
    const remote = await ports.remotes.reach(callee, signal);
    const failed = await through(remote, forwarded, headers);
    if (failed === null || !failed.replayable || reach === reachesMax) return failed;
  }
}

async function through(remote: Remote, forwarded: ForwardedCall, headers: readonly string[]): Promise<Unanswered | null> {
  try {
    const failed = await remote.channel.forward(forwarded, headers);
    const { UNAVAILABLE, UNAUTHENTICATED } = GrpcCode;
    const isOfApp = failed?.deliver !== undefined;
    if (failed !== null && !isOfApp && (failed.status.code === UNAVAILABLE || failed.status.code === UNAUTHENTICATED)) remote.failed();
    return failed;
  } finally {
    remote.done();
  }
}

/** What most methods look like: nothing to clean. */
const plainPath = /^\/\w[\w.-]*\/\w[\w.-]*$/;

/** A gRPC path has one spelling: what cleaning would change is refused, so that policy and app see the same bytes. */
function checkPath(path: string): void {
  if (plainPath.test(path)) return;
  try {
    if (normalizeMethod(path) === path) return;
  } catch (error) {
    if (error instanceof MethodError) throw invalidMethod(error.message);
    throw error;
  }
  throw invalidMethod(`${JSON.stringify(path)} is not in its cleaned form`);
}
