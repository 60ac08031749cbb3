// What pub/sub needs of the rest of the sidecar.
import type { PubSub } from "../../../components/pubsub/broker.ts";
import type { Clock } from "../../../lib/kit/clock.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { PubSubObserver } from "../../../lib/telemetry/pubsub-metrics.ts";
import type { App, ComponentTable, Identity, Policies, RetryRunner } from "../../contract/ports.ts";

export interface PubSubPorts {
  readonly identity: Pick<Identity, "appId" | "namespace">;
  readonly components: ComponentTable<PubSub>;
  readonly policies: Pick<Policies, "outbound" | "inbound">;
  /** DaprBuiltInInitializationRetries, for the question what the app subscribes to. */
  readonly retries: RetryRunner;
  readonly app: Pick<App, "channel">;
  /** Subscription resources in load order, whatever their scopes. Asked at every start. */
  readonly declared: () => readonly DeclaredSubscription[];
  /** Whether a metadata value of the component was written with `{namespace}`, which keeps the namespaces' topics apart. */
  readonly isNamespaced: (component: string) => boolean;
  /** False with --disable-init-endpoints=subscribe. */
  readonly asksApp: boolean;
  /** Whether requests get spans of our own; without, the caller's trace context goes through untouched, as in Dapr. */
  readonly tracing: boolean;
  /** Bytes of an app's answer that are read; 0: no limit. */
  readonly maxBodyBytes: number;
  /** Told of everything published and delivered; null: nobody counts. */
  readonly observer: PubSubObserver | null;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface RouteRule {
  /** CEL over `event`; empty: always. */
  readonly match: string;
  readonly path: string;
}

/** 0 is the default. */
export interface BulkSettings {
  readonly enabled: boolean;
  readonly maxMessagesCount: number;
  readonly maxAwaitDurationMs: number;
}

/** A Subscription resource, v1alpha1 or v2alpha1: the default route is the last rule, without match. */
export interface DeclaredSubscription {
  readonly name: string;
  readonly pubsubName: string;
  readonly topic: string;
  readonly rules: readonly RouteRule[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Empty: none. */
  readonly deadLetterTopic: string;
  readonly bulkSubscribe: BulkSettings;
  /** App ids; empty: every app. */
  readonly scopes: readonly string[];
}

/** A subscription as the metadata API lists it. */
export interface SubscriptionInfo {
  readonly pubsubName: string;
  readonly topic: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly deadLetterTopic: string;
  readonly rules: readonly RouteRule[];
  readonly type: "DECLARATIVE" | "PROGRAMMATIC" | "STREAMING";
}

export interface Subscriptions {
  /**
   * Asks the app for its subscriptions (once) and starts all of them. For runtime.ts to call each time the app turns healthy. Never rejects:
   * what cannot start is logged and tried again.
   */
  start(): Promise<void>;
  /**
   * Brings what runs up to date with the declared subscriptions and the components: starts what is new, drains what is gone or changed,
   * leaves the rest alone. The app's own wait while they are stopped; streams, which do not follow its health, move to a changed component and
   * end with one that is gone. Never rejects.
   */
  refresh(): Promise<void>;
  /** Drains the app's subscriptions: no new messages, those in flight are finished and acknowledged. For when the app turns unhealthy. */
  stop(): Promise<void>;
  /** Drains everything, streams too, and takes no new ones. First thing at shutdown. */
  stopForever(): Promise<void>;
  list(): readonly SubscriptionInfo[];
}
