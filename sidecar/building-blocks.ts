// The building blocks of this sidecar: a new one is a folder and a line here.
import { formatDuration } from "../lib/kit/duration.ts";
import type { Readiness } from "../lib/kit/readiness.ts";
import { type Configuration, enabledFeatures } from "../lib/resources/configuration.ts";
import type { Metrics } from "../lib/telemetry/metrics.ts";
import type { RunningApp } from "./app/app.ts";
import { createHealthBlock } from "./blocks/health/health.ts";
import { createInvocationBlock } from "./blocks/invocation/invocation.ts";
import { createMetadataBlock } from "./blocks/metadata/block.ts";
import type { AppConnectionInfo } from "./blocks/metadata/ports.ts";
import { createPubSubBlock } from "./blocks/pubsub/block.ts";
import { createSecretsBlock, warnUnknownScopes } from "./blocks/secrets/block.ts";
import { createShutdownBlock, type ShutdownPorts } from "./blocks/shutdown/shutdown.ts";
import { createStateBlock } from "./blocks/state/block.ts";
import { capabilitiesOf } from "./capabilities.ts";
import type { Identity, Mesh } from "./contract/ports.ts";
import type { LiveEndpoints } from "./live-endpoints.ts";
import type { ComponentLoader } from "./loader/component-loader.ts";
import type { Resources } from "./loader/load-resources.ts";
import type { Workshop } from "./parts.ts";
import type { Resilience } from "./resiliency/resiliency.ts";
import type { SidecarConfig } from "./sidecar-config.ts";

export interface BlockParts {
  readonly configuration: Configuration;
  readonly metrics: Pick<Metrics, "pubsub">;
  readonly resources: Resources;
  /** The declared subscriptions as they are now. */
  readonly declared: () => Resources["subscriptions"];
  readonly loader: ComponentLoader;
  readonly app: RunningApp;
  readonly identity: Identity;
  readonly mesh: Mesh;
  readonly resilience: Resilience;
  readonly endpoints: LiveEndpoints;
  readonly readiness: Readiness;
  readonly outbound: Readiness;
  readonly shutdown: ShutdownPorts;
}

export function makeBlocks({ config, around }: Workshop, parts: BlockParts) {
  const { configuration, resources, loader, app, identity } = parts;
  const { appId, namespace, namespaceGiven, maxBodyBytes } = config;
  const { clock, log } = around;
  const { policies } = parts.resilience;
  const pubsub = createPubSubBlock({
    identity,
    components: loader.table("pubsub"),
    policies,
    retries: parts.resilience.builtIn("DaprBuiltInInitializationRetries"),
    app: app.app,
    declared: parts.declared,
    isNamespaced: (component) => loader.isNamespaced(component),
    asksApp: !config.disabledInitEndpoints.includes("subscribe"),
    tracing: samplingRate(configuration) > 0,
    maxBodyBytes,
    observer: config.metrics.enabled ? parts.metrics.pubsub : null,
    clock,
    log,
  });
  const invocation = createInvocationBlock({ identity, mesh: parts.mesh, endpoints: parts.endpoints, policies, maxBodyBytes, log });
  const secrets = { stores: loader.table("secretstores"), scopes: configuration.secretScopes, policies, log };
  warnUnknownScopes(secrets);
  const blocks = [
    createHealthBlock({ appId, runtime: parts.readiness, outbound: parts.outbound }),
    createMetadataBlock({
      appId,
      app: appConnection(config),
      enabledFeatures: () => enabledFeatures(configuration),
      components: () =>
        loader.running().map(({ name, type, version, driver }) => ({ name, type, version, capabilities: capabilitiesOf(type, driver) })),
      subscriptions: () => pubsub.subscriptions.list(),
      httpEndpoints: () => parts.endpoints.names(),
      resiliencies: () => resources.resiliencies.map(({ name }) => name),
    }),
    createShutdownBlock(parts.shutdown),
    createStateBlock({ stores: loader.table("state"), policies, appId, keyNamespace: namespaceGiven ? namespace : "" }),
    createSecretsBlock(secrets),
    pubsub,
    invocation,
  ];
  return { blocks, subscriptions: pubsub.subscriptions, fallback: invocation.fallback };
}

/** From 0 to 1; 0 when tracing is off or the text is no number. */
export function samplingRate({ tracing }: Configuration): number {
  const rate = Number(tracing.samplingRate);
  return Number.isFinite(rate) ? Math.min(Math.max(rate, 0), 1) : 0;
}

function appConnection(config: SidecarConfig): AppConnectionInfo {
  const { appHealth } = config;
  return {
    port: config.appPort ?? 0,
    protocol: config.appProtocol,
    channelAddress: config.appChannelAddress,
    maxConcurrency: config.appMaxConcurrency,
    health: appHealth && {
      healthCheckPath: config.appProtocol.startsWith("grpc") ? "" : appHealth.path,
      healthProbeInterval: formatDuration(appHealth.probeIntervalMs),
      healthProbeTimeout: formatDuration(appHealth.probeTimeoutMs),
      healthThreshold: appHealth.threshold,
    },
  };
}
