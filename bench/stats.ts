// The arithmetic of the bench: medians over runs, percentiles over latencies, and when a subject is warm.

/** The middle value, or the mean of the two middle ones; NaN of nothing. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** The smallest value that `share` (0 to 1) of the values do not exceed (nearest rank); NaN of nothing. */
export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
}

/** A slice of the warm-up that costs this share less than the one before says that the next may cost less still. */
const steadyShare = 0.1;

/** Runs `slice`, which answers what a request cost in it, until the cost no longer falls by a tenth; at least once, at most `max` times. */
export async function untilSteady(slice: () => Promise<number>, max: number): Promise<void> {
  let before = await slice();
  for (let count = 1; count < max; count++) {
    const cost = await slice();
    if (cost >= before * (1 - steadyShare)) return;
    before = cost;
  }
}
