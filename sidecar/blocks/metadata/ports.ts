// What the metadata block asks of the rest: snapshots, taken at each call.

export interface ComponentInfo {
  readonly name: string;
  readonly type: string;
  readonly version: string;
  readonly capabilities: readonly string[];
}

export interface SubscriptionInfo {
  readonly pubsubName: string;
  readonly topic: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly deadLetterTopic: string;
  readonly rules: readonly { readonly match: string; readonly path: string }[];
  readonly type: "DECLARATIVE" | "PROGRAMMATIC" | "STREAMING";
}

export interface AppConnectionInfo {
  readonly port: number;
  readonly protocol: string;
  readonly channelAddress: string;
  readonly maxConcurrency: number;
  /** Null without app health checks. Durations in Go's form; the path is empty for gRPC apps. */
  readonly health: {
    readonly healthCheckPath: string;
    readonly healthProbeInterval: string;
    readonly healthProbeTimeout: string;
    readonly healthThreshold: number;
  } | null;
}

export interface MetadataPorts {
  readonly appId: string;
  readonly app: AppConnectionInfo;
  readonly enabledFeatures: () => readonly string[];
  readonly components: () => Iterable<ComponentInfo>;
  readonly subscriptions: () => Iterable<SubscriptionInfo>;
  readonly httpEndpoints: () => Iterable<string>;
  readonly resiliencies: () => Iterable<string>;
}
