// Component metadata of pubsub.sqlite.
//   connectionString, timeout, busyTimeout, disableWAL   as state.sqlite
//   consumerID            the consumer group; the app's id by default
//   concurrency           messages of one subscription handled at a time; 10 by default
//   concurrencyMode       `single` is concurrency 1; `parallel` by default
//   leaseDuration         how long a message may be with a consumer that has gone silent before another gets it; 10s by default
//   redeliverDelay        pause before the first redelivery of a refused message, doubled each time; 1s by default
//   maxRedeliverDelay     the longest pause; 1m by default
//   retention             how long unacknowledged messages and unseen groups are kept; 168h by default
//   cleanupInterval       how often they are looked for; 5m by default

import type { Properties } from "../../metadata.ts";
import { readSqliteSettings, type SqliteSettings } from "../../shared/sqlite-settings.ts";

export interface ConsumerSettings {
  readonly concurrency: number;
  readonly leaseMs: number;
  readonly redeliverMs: number;
  readonly redeliverMaxMs: number;
}

export interface Settings extends ConsumerSettings {
  readonly sqlite: SqliteSettings;
  readonly consumerGroup: string;
  readonly retentionMs: number;
  readonly cleanupMs: number;
}

export const concurrencyMax = 1000;

/** Throws a MetadataError with every problem. */
export function readSettings(properties: Properties, appId: string): Settings {
  const positive = (name: string, fallbackMs: number) => {
    const ms = properties.durationMs(name, fallbackMs);
    if (ms <= 0) properties.problem(`invalid value for '${name}': use a duration above zero, such as 10s`);
    return ms;
  };
  const mode = properties.string("concurrencyMode", "parallel");
  if (mode !== "single" && mode !== "parallel") properties.problem(`invalid concurrencyMode ${mode}: use single or parallel`);
  const concurrency = properties.integer("concurrency", 10, { min: 1, max: concurrencyMax });
  const settings: Settings = {
    sqlite: readSqliteSettings(properties),
    consumerGroup: properties.string("consumerID", "").trim() || appId,
    concurrency: mode === "single" ? 1 : concurrency,
    leaseMs: positive("leaseDuration", 10_000),
    redeliverMs: positive("redeliverDelay", 1000),
    redeliverMaxMs: positive("maxRedeliverDelay", 60_000),
    retentionMs: positive("retention", 168 * 3_600_000),
    cleanupMs: positive("cleanupInterval", 300_000),
  };
  properties.check();
  return settings;
}
