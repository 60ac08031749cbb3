// What became of one delivery to the app. A retry is an error, so that resiliency can see it and the broker, in the end, takes it back.

/** `drop`: the app will never take it; to the dead letter topic if there is one. */
export type Outcome = "success" | "drop";

export class RetryError extends Error {
  override readonly name = "RetryError";
  /** Of the app's answer, for the `matching` of retry policies; null when there was none. */
  readonly httpStatus: number | null;
  readonly grpcCode: number | null;

  constructor(message: string, status: { readonly http?: number; readonly grpc?: number } = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.httpStatus = status.http ?? null;
    this.grpcCode = status.grpc ?? null;
  }
}
