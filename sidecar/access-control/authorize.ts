// The decision where calls come in: who the other end is, by its certificate alone (lessons.md, attack 5), and the words
// of a refusal.
import { messageOf } from "../../lib/kit/errors.ts";
import { parseSpiffeId, type SpiffeId } from "../../lib/security/spiffe.ts";
import { type GrpcCall, GrpcCode, GrpcStatusError } from "../../lib/wire/grpc/types.ts";
import type { Authorize } from "../contract/authorize.ts";
import type { Decide, Decision } from "./compile.ts";

/** Told of every decision; for the metrics. */
export type DecisionObserver = (caller: SpiffeId | null, decision: Decision) => void;

export function createAuthorize(decide: Decide, observe: DecisionObserver | null = null): Authorize {
  return (call, operation, verb) => {
    const caller = callerOf(call);
    const decision = decide(caller, operation, verb);
    observe?.(caller, decision);
    if (!decision.allowed) {
      throw denied(`access control policy has denied access to id: ${caller?.uri ?? ""} operation: ${operation} verb: ${verb}`);
    }
  };
}

/** Null without mTLS. A certificate whose id is none of ours proves nothing: refused. */
function callerOf(call: GrpcCall): SpiffeId | null {
  if (call.peerIdentity === null) return null;
  try {
    return parseSpiffeId(call.peerIdentity);
  } catch (error) {
    throw denied(`malformed SPIFFE ID: ${messageOf(error)}`);
  }
}

function denied(message: string): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.PERMISSION_DENIED, message);
}
