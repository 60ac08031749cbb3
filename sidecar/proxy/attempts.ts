// A proxied call under a resiliency policy. A call is whole for the policy: it may be timed out and made again until something of an answer
// has gone to the caller. With `dapr-stream` only its begin is, since streams may last for days: until the callee's sidecar has the call.
import type { ForwardedCall, Unanswered } from "../../lib/wire/grpc/forward.ts";
import { GrpcCode, GrpcStatusError } from "../../lib/wire/grpc/types.ts";
import { type StatusCarrier, TimeoutFailure } from "../contract/failure.ts";
import type { Policy } from "../contract/ports.ts";

/** One attempt: resolves when the call is over, with why it has no answer yet. */
type Forward = (signal: AbortSignal) => Promise<Unanswered | null>;

/** The call was not answered, or with a failure. */
class ProxyFailure extends Error implements StatusCarrier {
  override readonly name = "ProxyFailure";
  readonly httpStatus = null;
  readonly grpcCode: number;
  readonly unanswered: Unanswered;

  constructor(unanswered: Unanswered) {
    super(unanswered.status.message);
    this.grpcCode = unanswered.status.code;
    this.unanswered = unanswered;
  }
}

/** As `Forward`. Rejects with BreakerRefusal, with DEADLINE_EXCEEDED for a timeout, and with what kept the callee from being found. */
export async function callUnder(policy: Policy, forwarded: ForwardedCall, forward: Forward): Promise<Unanswered | null> {
  let previous: Promise<unknown> = Promise.resolve();
  const attempt = async (signal: AbortSignal): Promise<null> => {
    // A timed-out attempt may still wait for a connection: two at a time would mix their bytes.
    await previous;
    const running = abandonable(forwarded, forward, signal);
    previous = running.catch(ignore);
    const unanswered = await running;
    if (unanswered !== null) throw new ProxyFailure(unanswered);
    return null;
  };
  return settled(policy.run(attempt, forwarded.call.signal, { mayRetry: () => forwarded.repeatable }));
}

/** As `callUnder`, for a call of which only the begin is the policy's. */
export async function beginUnder(policy: Policy, forwarded: ForwardedCall, forward: Forward): Promise<Unanswered | null> {
  let previous: Promise<unknown> = Promise.resolve();
  let over: Promise<Unanswered | null> = Promise.resolve(null);
  let canRepeat = true;
  const attempt = async (signal: AbortSignal): Promise<void> => {
    await previous;
    const begun = Promise.withResolvers<null>();
    forwarded.onOpened = () => begun.resolve(null);
    over = abandonable(forwarded, forward, signal);
    previous = over.catch(ignore);
    const unanswered = await Promise.race([begun.promise, over]);
    if (unanswered === null) return;
    canRepeat = unanswered.replayable;
    throw new ProxyFailure(unanswered);
  };
  const failed = await settled(policy.run(attempt, forwarded.call.signal, { mayRetry: () => canRepeat && forwarded.repeatable }));
  return failed ?? over;
}

async function abandonable(forwarded: ForwardedCall, forward: Forward, signal: AbortSignal): Promise<Unanswered | null> {
  forwarded.revive();
  const onAbort = () => forwarded.abandon(new GrpcStatusError(GrpcCode.DEADLINE_EXCEEDED, "context deadline exceeded"));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await forward(signal);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function settled(run: Promise<unknown>): Promise<Unanswered | null> {
  try {
    await run;
    return null;
  } catch (failure) {
    if (failure instanceof TimeoutFailure) throw new GrpcStatusError(GrpcCode.DEADLINE_EXCEEDED, failure.message);
    if (!(failure instanceof ProxyFailure)) throw failure;
    const { deliver } = failure.unanswered;
    if (deliver === undefined) return failure.unanswered;
    deliver();
    return null;
  }
}

const truthy: ReadonlySet<string> = new Set(["y", "yes", "true", "t", "on", "1"]);

/** Whether the caller says that the call is a stream. */
export function isTruthy(text: string | undefined): boolean {
  return text !== undefined && truthy.has(text.trim().toLowerCase());
}

function ignore(): void {}
