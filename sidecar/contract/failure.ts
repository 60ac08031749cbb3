// What resiliency makes of failures, and what it reads from them.

/** A policy's timeout ended the attempt. The words are Go's, which Dapr's users grep for. */
export class TimeoutFailure extends Error {
  override readonly name = "TimeoutFailure";

  constructor() {
    super("context deadline exceeded");
  }
}

/** A circuit breaker let nothing through. The words are Dapr's. */
export class BreakerRefusal extends Error {
  override readonly name = "BreakerRefusal";

  constructor(reason: "open" | "too-many") {
    super(reason === "open" ? "circuit breaker is open" : "too many requests");
  }
}

/** A failure that says which status stands for it, for the `matching` of retry policies; both null: every policy tries again. */
export interface StatusCarrier {
  readonly httpStatus: number | null;
  readonly grpcCode: number | null;
}

/** The status that `failure` carries; null: none. */
export function statusOf(failure: unknown): number | null {
  if (!(failure instanceof Error) || !("httpStatus" in failure)) return null;
  const { httpStatus, grpcCode } = failure as Error & StatusCarrier;
  return httpStatus ?? grpcCode;
}
