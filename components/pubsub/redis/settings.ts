// Component metadata of pubsub.redis, besides the login (shared/redis-settings.ts). Durations may be bare numbers of milliseconds.
//   consumerID          the consumer group, and the consumer's name in it; the app's id by default
//   processingTimeout   how long a handler may take, and how long a message stays with a consumer that has gone; 60s by default
//   redeliverInterval   how often messages to deliver again are looked for; 15s by default. With 0 in one of the two nothing is delivered again.
//   queueDepth          messages fetched ahead per subscription; 100 by default
//   concurrency         messages of the component handled at a time; 10 by default
//   maxLenApprox        entries that a stream keeps, roughly; 0 (all) by default
//   streamTTL           how long a stream keeps entries, roughly; for ever by default. Not together with maxLenApprox, which wins.
import type { Properties } from "../../metadata.ts";
import { pubSubDefaults, type RedisSettings, readRedisSettings, redisDurationMs } from "../../shared/redis-settings.ts";

export interface ConsumerSettings {
  readonly group: string;
  /** 0: handlers may take for ever, and nothing is delivered again. */
  readonly processingTimeoutMs: number;
  /** 0: nothing is delivered again. */
  readonly redeliverIntervalMs: number;
  readonly queueDepth: number;
}

export interface Settings extends ConsumerSettings {
  readonly redis: RedisSettings;
  readonly concurrency: number;
  /** 0: streams are not trimmed by length. */
  readonly maxLenApprox: number;
  /** 0: streams are not trimmed by age. */
  readonly streamTtlMs: number;
}

const queueDepthMax = 100_000;
export const concurrencyMax = 10_000;

/** Throws a MetadataError with every problem. */
export function readSettings(properties: Properties, appId: string): Settings {
  const duration = (name: string, fallbackMs: number) => Math.max(0, redisDurationMs(properties, name, fallbackMs));
  const settings: Settings = {
    redis: readRedisSettings(properties, pubSubDefaults),
    group: properties.string("consumerID", "") || appId,
    processingTimeoutMs: duration("processingTimeout", 60_000),
    redeliverIntervalMs: duration("redeliverInterval", 15_000),
    queueDepth: properties.integer("queueDepth", 100, { min: 1, max: queueDepthMax }),
    concurrency: properties.integer("concurrency", 10, { min: 1, max: concurrencyMax }),
    maxLenApprox: properties.integer("maxLenApprox", 0, { min: 0, max: Number.MAX_SAFE_INTEGER }),
    streamTtlMs: duration("streamTTL", 0),
  };
  properties.check();
  return settings;
}
