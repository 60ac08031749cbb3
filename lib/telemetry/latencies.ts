// A distribution of times, kept as plain numbers until somebody scrapes, and shown as a Prometheus histogram.
import type { Metric, Registry } from "prom-client";

/** Upper bounds of Dapr's buckets, milliseconds. */
export const latencyBucketsMs: readonly number[] = Object.freeze([
  1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 30, 40, 50, 65, 80, 100, 130, 160, 200, 250, 300, 400, 500, 650, 800, 1_000, 2_000, 5_000,
  10_000, 20_000, 50_000, 100_000,
]);

export class Latencies {
  readonly bounds: readonly number[];
  /** One more than bounds: the last is for what is above all. */
  readonly counts: number[];
  sumMs = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  record(ms: number): void {
    let low = 0;
    let high = this.bounds.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ms <= (this.bounds[middle] as number)) high = middle;
      else low = middle + 1;
    }
    this.counts[low] = (this.counts[low] as number) + 1;
    this.sumMs += ms;
  }
}

type Labels = Readonly<Record<string, string>>;

/** prom-client's own histogram cannot be given what was counted without it; the registry asks of a metric no more than this. */
export function registerLatencies(
  registry: Registry,
  name: string,
  help: string,
  series: () => Iterable<readonly [Labels, Latencies]>,
): void {
  const get = async () => ({
    name,
    help,
    type: "histogram",
    aggregator: "sum",
    values: [...series()].flatMap((one) => samples(name, ...one)),
  });
  registry.registerMetric({ name, get } as unknown as Metric);
}

interface Sample {
  readonly metricName: string;
  readonly labels: Labels;
  readonly value: number;
}

function samples(name: string, labels: Labels, { bounds, counts, sumMs }: Latencies): readonly Sample[] {
  const found: Sample[] = [];
  let upTo = 0;
  for (const [index, count] of counts.entries()) {
    upTo += count;
    found.push({ metricName: `${name}_bucket`, labels: { ...labels, le: String(bounds[index] ?? "+Inf") }, value: upTo });
  }
  return [...found, { metricName: `${name}_sum`, labels, value: sumMs }, { metricName: `${name}_count`, labels, value: upTo }];
}
