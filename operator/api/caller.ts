// Who is asking: the app of the caller's verified certificate, and nothing that the request says. What a caller may see are
// resources of its own namespace that name no scope or have it in their scopes. Words and codes are those of Dapr's operator.
import { GrpcCode } from "../../lib/kit/errors.ts";
import { arrayOf, type KubeObject } from "../../lib/kube/object.ts";
import { parseSpiffeId, type SpiffeId } from "../../lib/security/spiffe.ts";
import { type GrpcCall, GrpcStatusError } from "../../lib/wire/grpc/types.ts";

export type Caller = Pick<SpiffeId, "namespace" | "appId">;

/** Throws PERMISSION_DENIED unless the caller's certificate is of `namespace`. */
export function callerIn(namespace: string, call: Pick<GrpcCall, "peerIdentity">): Caller {
  const caller = identityOf(call);
  if (namespace !== "" && caller.namespace === namespace) return caller;
  const asked = namespace.slice(0, 64);
  const message = `identity does not match requested namespace exp=${asked} got=${caller.namespace}`;
  throw new GrpcStatusError(GrpcCode.PERMISSION_DENIED, message);
}

function identityOf({ peerIdentity }: Pick<GrpcCall, "peerIdentity">): Caller {
  try {
    if (peerIdentity !== null) return parseSpiffeId(peerIdentity);
  } catch {
    // A certificate of the mesh whose id is no workload's.
  }
  throw new GrpcStatusError(GrpcCode.PERMISSION_DENIED, "failed to determine identity");
}

export function isVisible(object: KubeObject, { namespace, appId }: Caller): boolean {
  if (object.metadata.namespace !== namespace) return false;
  const scopes = arrayOf(object["scopes"]);
  return scopes.length === 0 || scopes.includes(appId);
}
