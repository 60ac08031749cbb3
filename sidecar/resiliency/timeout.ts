// One attempt with a time limit: it is over for the caller when the time is, whether or not the operation heeds its signal.
import type { Readable } from "node:stream";
import type { Clock } from "../../lib/kit/clock.ts";
import { TimeoutFailure } from "../contract/failure.ts";
import type { RunOptions } from "../contract/ports.ts";

/** Rejects with TimeoutFailure after `timeoutMs`, with the signal's reason, or as `operation` does. */
export function withTimeout<T>(
  { clock, timeoutMs, onTimeout }: { readonly clock: Clock; readonly timeoutMs: number; readonly onTimeout: () => void },
  operation: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
  options: RunOptions,
): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const attempt = new AbortController();
    let over = false;
    let streaming: Readable | null = null;
    const finish = () => {
      over = true;
      timer.cancel();
      signal.removeEventListener("abort", onAbort);
    };
    const end = (reason: unknown) => {
      finish();
      attempt.abort(reason);
      if (streaming !== null) streaming.destroy(reason instanceof Error ? reason : undefined);
      else reject(reason);
    };
    const onAbort = () => end(signal.reason);
    const timer = clock.after(timeoutMs, () => {
      onTimeout();
      end(new TimeoutFailure());
    });
    signal.addEventListener("abort", onAbort, { once: true });
    const settle = (outcome: unknown, tell: () => void) => {
      if (over) return options.discard?.(outcome);
      const stream = options.stream?.(outcome) ?? null;
      if (stream === null || stream.destroyed) finish();
      else {
        streaming = stream;
        stream.once("close", finish);
      }
      tell();
    };
    // A driver may throw before it promises anything.
    Promise.try(operation, attempt.signal).then(
      (result) => settle(result, () => resolve(result)),
      (failure) => settle(failure, () => reject(failure)),
    );
  });
}
