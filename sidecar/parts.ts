// The parts that runtime.ts puts together: each function makes one of them from the settings and says how it is closed.
import { randomUUID } from "node:crypto";
import type { NameResolver } from "../components/nameresolution/resolver.ts";
import { findDriver } from "../components/registry.ts";
import { daprVersion } from "../lib/kit/version.ts";
import { type Configuration, enabledFeatures } from "../lib/resources/configuration.ts";
import { createSecurity, type Security } from "../lib/security/security.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import { createMetrics, type Metrics } from "../lib/telemetry/metrics.ts";
import { connectGrpc } from "../lib/wire/grpc/client.ts";
import type { GrpcChannel } from "../lib/wire/grpc/types.ts";
import type { SecureConnect } from "../lib/wire/secure.ts";
import { createAuthorize } from "./access-control/authorize.ts";
import { compileAccessControl, ineffectiveOperations } from "./access-control/compile.ts";
import { createApp, grpcDialTimeoutMs, type RunningApp } from "./app/app.ts";
import { keyPrefixProblem } from "./blocks/state/key-prefix.ts";
import type { Authorize } from "./contract/authorize.ts";
import type { Identity } from "./contract/ports.ts";
import { type InternalServer, reserveInternalServer } from "./edge/grpc-api.ts";
import { stablePort } from "./internal-port.ts";
import { advertisedHost, internalAddress } from "./listen-addresses.ts";
import { LiveEndpoints } from "./live-endpoints.ts";
import { ComponentLoader } from "./loader/component-loader.ts";
import { diskFiles } from "./loader/disk-files.ts";
import { loadConfiguration } from "./loader/load-configuration.ts";
import type { Resources } from "./loader/load-resources.ts";
import { createMesh, type RunningMesh } from "./mesh/mesh.ts";
import { startNameResolver } from "./name-resolution.ts";
import type { Remotes } from "./proxy/ports.ts";
import { createProxy, type GrpcProxy } from "./proxy/proxy.ts";
import { refusals } from "./refusals.ts";
import { createResilience, type Resilience } from "./resiliency/resiliency.ts";
import type { SidecarConfig } from "./sidecar-config.ts";
import type { Surroundings } from "./surroundings.ts";

/** What every part is made in. */
export interface Workshop {
  readonly config: SidecarConfig;
  readonly around: Surroundings;
  /** Our identity and TLS; plain text where mTLS is off. */
  readonly security: Security;
  /** Unique to this run of the sidecar. */
  readonly instanceId: string;
  /** Closers run in reverse order at the end. */
  readonly onClose: (name: string, close: () => Promise<void>) => void;
}

/** How we name ourselves in calls to other sidecars and to gRPC apps. */
const userAgent = `outrigger-daprd/${daprVersion}`;
/** For one connection to another sidecar; retries dial anew. */
const peerDialTimeoutMs = 5_000;
const operatorDialTimeoutMs = 10_000;

/** Throws when an identity is asked for without what it needs. Nothing is contacted before its `start`. */
export function makeSecurity(config: SidecarConfig, { log, clock, userId }: Surroundings, metrics: Pick<Metrics, "certificate">): Security {
  const kubernetes = config.mode === "kubernetes";
  const flag = config.mtls ? "--enable-mtls" : "--mode kubernetes";
  if (kubernetes) refuseRoot(config, userId, log);
  if ((config.mtls || kubernetes) && config.trustAnchorsPem.trim() === "") {
    throw new Error(`${flag} without trust anchors: set DAPR_TRUST_ANCHORS to the root certificates of the mesh, sentry's ca.crt`);
  }
  if ((config.mtls || kubernetes) && config.sentryAddress === "") {
    throw new Error(`${flag} without a sentry: set --sentry-address to its host:port`);
  }
  const security = createSecurity({
    mtls: config.mtls,
    mode: config.mode,
    appId: config.appId,
    namespace: config.namespace,
    sentryAddress: config.sentryAddress,
    controlPlaneTrustDomain: config.controlPlaneTrustDomain,
    controlPlaneNamespace: config.controlPlaneNamespace,
    trustAnchors: { pem: config.trustAnchorsPem },
    tokenFile: config.sentryTokenFile,
    localIdentity: config.sentryLocalIdentity,
    jwtAudiences: config.sentryJwtAudiences,
    log: log.scope("dapr.runtime.security"),
    clock,
    onRenewalFailed: (_cause, reason) => metrics.certificate("failed", reason),
  });
  let outcome: "first" | "renewed" = "first";
  security.onIdentity(() => {
    metrics.certificate(outcome);
    outcome = "renewed";
  });
  return security;
}

function refuseRoot(config: SidecarConfig, userId: number, log: Logger): void {
  const security = log.scope("dapr.runtime.security");
  if (config.skipRootCheck) security.warn("Skipping container UID/GID check due to env override.");
  else if (userId !== 0) security.info(`Running in Kubernetes environment as user ${userId}`);
  else {
    throw new Error(
      "current user UID(0) is root. Dapr must be run as a non-root user in Kubernetes environments. " +
        "To override this check, set the environment variable 'DAPR_UNSAFE_SKIP_CONTAINER_UID_GID_CHECK=true'",
    );
  }
}

/** The Configuration of a standalone sidecar. */
export function readConfigurationFiles(config: SidecarConfig, { env, log }: Surroundings, signal: AbortSignal): Promise<Configuration> {
  return loadConfiguration({ paths: config.configPaths, files: diskFiles, env, log }, signal);
}

/** A connection to the operator; mutual TLS in any case. */
export function connectToOperator(workshop: Workshop): GrpcChannel {
  const tls = workshop.security.controlPlaneTls("dapr-operator");
  return connectTo(workshop, workshop.config.controlPlaneAddress, operatorDialTimeoutMs, tls);
}

/** Rejects when a setting asks for a protection that does not exist yet. */
export async function readConfiguration(
  { around }: Pick<Workshop, "around">,
  read: (signal: AbortSignal) => Promise<Configuration>,
  signal: AbortSignal,
): Promise<Configuration> {
  const { log } = around;
  const configuration = await read(signal);
  log.info(`Enabled features: ${enabledFeatures(configuration).join(" ")}`);
  const reasons = refusals(configuration);
  if (reasons.length > 0) throw new Error(reasons.join("; "));
  return configuration;
}

/** Before components, whose outgoing connections could otherwise be given this port (dapr/dapr issue 6023). */
export async function reserveInternalPort({ config, around, security }: Workshop): Promise<{ server: InternalServer; port: number }> {
  const options = { maxBodyBytes: config.maxBodyBytes, maxHeaderBytes: config.readBufferBytes, countError: null, log: around.log };
  const secure = security.serverTls();
  const reserve = (port: number) => reserveInternalServer(options, internalAddress(config, port), secure);
  const stable = stablePort({ ...around, appId: config.appId });
  // Another sidecar may hold the stable port: any other will do then.
  const server = config.internalGrpcPort !== null ? await reserve(config.internalGrpcPort) : await reserve(stable).catch(() => reserve(0));
  const [bound] = server.addresses;
  return { server, port: bound !== undefined && "port" in bound ? bound.port : 0 };
}

export async function startResolver(
  workshop: Workshop,
  configuration: Configuration,
  identity: Identity,
  internalPort: number,
  signal: AbortSignal,
): Promise<NameResolver> {
  const { config, around, instanceId } = workshop;
  const { appId, namespace } = identity;
  const hostAddress = advertisedHost(config, identity.hostAddress);
  const surroundings = { appId, namespace, instanceId, log: around.log, clock: around.clock, hostAddress, internalPort };
  const fallback = config.mode === "kubernetes" ? "kubernetes" : "mdns";
  const resolver = await startNameResolver(configuration.nameResolution, fallback, surroundings, signal);
  workshop.onClose("name resolver", () => resolver.close());
  return resolver;
}

export async function startComponents(
  workshop: Workshop,
  configuration: Configuration,
  resources: Resources,
  signal: AbortSignal,
): Promise<ComponentLoader> {
  const { config, around, instanceId } = workshop;
  const { appId, namespace, podName, envKeys } = config;
  const loader = new ComponentLoader({
    identity: { appId, namespace, podName, instanceId },
    env: around.env,
    envKeys,
    defaultSecretStore: config.mode === "kubernetes" ? "kubernetes" : "",
    inlinedSecretStore: config.mode === "kubernetes" ? "kubernetes" : "",
    findDriver,
    log: around.log,
    clock: around.clock,
    uuid: randomUUID,
    deniedComponents: configuration.deniedComponents,
    actors: false,
    check: (component) => (component.type.startsWith("state.") ? keyPrefixProblem(component.property("keyPrefix")) : null),
  });
  workshop.onClose("components", () => loader.close());
  await loader.load(resources.components, signal);
  return loader;
}

export async function startEndpoints(
  workshop: Workshop,
  loader: ComponentLoader,
  resources: Resources,
  signal: AbortSignal,
): Promise<LiveEndpoints> {
  const { config, around } = workshop;
  const endpoints = new LiveEndpoints({ loader, maxHeaderBytes: config.readBufferBytes, log: around.log });
  workshop.onClose("HTTP endpoints", () => endpoints.close());
  await endpoints.replace(resources.httpEndpoints, signal);
  return endpoints;
}

export function makeApp(workshop: Workshop): RunningApp {
  const { config, around } = workshop;
  const settings = {
    port: config.appPort ?? 0,
    protocol: config.appProtocol,
    host: config.appChannelAddress,
    maxConcurrency: config.appMaxConcurrency,
    token: config.appApiToken,
    maxHeaderBytes: config.readBufferBytes,
    maxBodyBytes: config.maxBodyBytes,
    health: config.appHealth && {
      path: config.appHealth.path,
      intervalMs: config.appHealth.probeIntervalMs,
      timeoutMs: config.appHealth.probeTimeoutMs,
      threshold: config.appHealth.threshold,
    },
  };
  const app = createApp(settings, {
    ...around,
    connectGrpc: (address, tls) => connectTo(workshop, address, grpcDialTimeoutMs, tls ? "unverified" : null),
  });
  workshop.onClose("app channel", () => app.stop());
  return app;
}

export function makeMetrics({ config }: Workshop, { metrics }: Configuration): Metrics {
  const { appId, namespace, namespaceGiven } = config;
  const { recordErrorCodes, latencyBuckets } = metrics;
  return createMetrics({ appId, recordErrorCodes, latencyBuckets, namespace: namespaceGiven ? namespace : "" });
}

export function makeResilience({ config, around }: Workshop, { resiliencies }: Resources, metrics: Metrics): Promise<Resilience> {
  const { clock, log } = around;
  const counted = config.metrics.enabled ? metrics.resiliency : null;
  return createResilience(resiliencies, { clock, chance: Math.random, log: log.scope("dapr.runtime"), metrics: counted });
}

export function makeMesh(
  workshop: Workshop,
  parts: {
    identity: Identity;
    app: RunningApp;
    resolver: NameResolver;
    internalPort: number;
    resilience: Resilience;
    authorize: Authorize | null;
  },
): RunningMesh {
  const { config, around } = workshop;
  const { clock, hostName } = around;
  const mesh = createMesh({
    ...parts,
    hostName,
    clock,
    app: parts.app.app,
    connect: ({ address, appId, namespace }) => {
      return connectTo(workshop, address, peerDialTimeoutMs, workshop.security.clientTls({ appId, namespace }));
    },
    retries: parts.resilience.builtIn("DaprBuiltInServiceRetries"),
    hasPolicy: parts.resilience.hasAppTarget,
    maxBodyBytes: config.maxBodyBytes,
  });
  workshop.onClose("mesh", () => mesh.close());
  return mesh;
}

/** Who may call our app; null: everyone. Throws when the Configuration's accessControl is incomplete. */
export function makeAuthorize({ config, around }: Workshop, { accessControl }: Configuration): Authorize | null {
  const log = around.log.scope("dapr.acl");
  const decide = compileAccessControl(accessControl, !config.appProtocol.startsWith("grpc"));
  for (const name of ineffectiveOperations(accessControl)) {
    log.warn(
      `access control: no call can fall under operation ${JSON.stringify(name)}; write it without //, /./, /../, a trailing slash or a lone * in its middle`,
    );
  }
  if (accessControl.policies.length > 0 && !config.mtls) {
    log.warn(
      "access control: without mTLS no caller proves who it is, so that policies are not applied: every call gets the default action",
    );
  }
  return decide && createAuthorize(decide);
}

export function makeProxy(
  { config }: Workshop,
  parts: { identity: Identity; app: RunningApp; remotes: Remotes; resilience: Resilience; authorize: Authorize | null },
): GrpcProxy {
  return createProxy({ ...parts, app: parts.app.app, policies: parts.resilience.policies, maxMessageBytes: messageMaxBytes(config) });
}

/** 0 or less means no limit over HTTP; gRPC frames carry 32 bits of length. */
function messageMaxBytes(config: SidecarConfig): number {
  return config.maxBodyBytes > 0 ? config.maxBodyBytes : 2 ** 31 - 1;
}

/** `address` is `host:port`, IPv6 in brackets. Null: plain text; "unverified" takes any certificate. */
function connectTo(
  { config, around }: Workshop,
  address: string,
  connectTimeoutMs: number,
  tls: SecureConnect | "unverified" | null,
): GrpcChannel {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[|\]$/g, "");
  const maxBytes = messageMaxBytes(config);
  return connectGrpc({
    target: { host, port: Number(address.slice(colon + 1)), ...(tls === null ? {} : { tls }) },
    maxReceiveBytes: maxBytes,
    maxSendBytes: maxBytes,
    userAgent,
    connectTimeoutMs,
    log: around.log,
    clock: around.clock,
  });
}
