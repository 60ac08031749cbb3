// An invocation under a resiliency policy: an answer that counts as a failure is one for the policy and the answer of the call when the
// policy has done with it. A body that arrives as a stream is kept for another attempt, up to a limit; one of unknown length is not, so
// that it is neither held in memory nor sent twice.
import { Readable } from "node:stream";
import type { StatusCarrier } from "../../contract/failure.ts";
import type { AppRequest, AppResponse, Policy } from "../../contract/ports.ts";
import { ReplayBody } from "../../contract/replay-body.ts";

type Dispatch = (request: AppRequest, signal: AbortSignal) => Promise<AppResponse>;

/** Resolves with the app's last answer, whatever it says; rejects like `Policy.run`. */
export async function invokeUnder(policy: Policy, request: AppRequest, dispatch: Dispatch, signal: AbortSignal): Promise<AppResponse> {
  const source = sourceOf(request, policy);
  const attempt = async (attemptSignal: AbortSignal) => {
    const response = await dispatch(source.request(), attemptSignal);
    if (isFailure(response)) throw new FailedAnswer(response);
    return response;
  };
  try {
    return await policy.run(attempt, signal, { mayRetry: () => source.canRepeat, discard, stream });
  } catch (failure) {
    if (failure instanceof FailedAnswer) return failure.response;
    throw failure;
  }
}

/** Statuses from 200 to 399 are success, of gRPC apps OK alone. */
function isFailure({ grpc, status }: AppResponse): boolean {
  return grpc === null ? status < 200 || status > 399 : grpc.code !== 0;
}

class FailedAnswer extends Error implements StatusCarrier {
  override readonly name = "FailedAnswer";
  readonly response: AppResponse;
  readonly httpStatus: number | null;
  readonly grpcCode: number | null;

  constructor(response: AppResponse) {
    super(`the app answered with status ${response.grpc?.code ?? response.status}`);
    this.response = response;
    this.httpStatus = response.grpc === null ? response.status : null;
    this.grpcCode = response.grpc?.code ?? null;
  }
}

function discard(dropped: unknown): void {
  stream(dropped)?.destroy();
}

/** The body of an answer, failed or not. */
function stream(outcome: unknown): Readable | null {
  const response = outcome instanceof FailedAnswer ? outcome.response : outcome;
  // Whoever aborts may give any reason.
  if (typeof response !== "object" || response === null || response instanceof Error) return null;
  const { body } = response as AppResponse;
  return body instanceof Readable ? body : null;
}

interface Source {
  /** The request for one more attempt. */
  request(): AppRequest;
  readonly canRepeat: boolean;
}

function sourceOf(request: AppRequest, policy: Policy): Source {
  const { body } = request;
  if (!(body instanceof Readable)) return { request: () => request, canRepeat: true };
  if (!policy.retries || request.contentLength === null) return { request: () => request, canRepeat: false };
  const replay = new ReplayBody(body);
  return {
    request: () => ({ ...request, body: Readable.from(replay.read(), { objectMode: false }) }),
    get canRepeat() {
      return replay.canReplay;
    },
  };
}
