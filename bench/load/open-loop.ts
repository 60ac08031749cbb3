// Open-loop load: requests are due at fixed times whether or not earlier ones have been answered, and latency counts from the time a
// request was due. A subject that stalls for 100 ms thus shows it in every request that was due meanwhile (no coordinated omission).

/** Sends one request; resolves when its answer is complete, rejects when it is not the right one. */
export type Send = () => Promise<void>;

export interface Timing {
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Resolves at or soon after the time `at`. */
  readonly until: (at: number) => Promise<void>;
}

/** Latencies in milliseconds of `rate` requests a second for `seconds`. Rejects with the first wrong answer. */
export async function openLoop(send: Send, rate: number, seconds: number, timing: Timing): Promise<number[]> {
  const total = Math.round(rate * seconds);
  const gapMs = 1000 / rate;
  const latencies: number[] = [];
  const answers: Promise<void>[] = [];
  const failures: unknown[] = [];
  const start = timing.now() + gapMs;
  for (let sent = 0; sent < total; ) {
    await timing.until(start + sent * gapMs);
    // A timer that came late releases all that have become due; each keeps its own due time.
    for (const now = timing.now(); sent < total && start + sent * gapMs <= now; sent++) {
      const due = start + sent * gapMs;
      answers.push(
        send().then(
          () => void latencies.push(timing.now() - due),
          (error: unknown) => void failures.push(error),
        ),
      );
    }
    if (failures.length > 0) break;
  }
  await Promise.all(answers);
  if (failures.length > 0) throw failures[0];
  return latencies;
}
