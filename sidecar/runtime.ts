// The composition root: what the sidecar is made of, in the order in which it comes up. Shutdown is the same list reversed,
// after inbound delivery has drained. parts.ts makes the parts, building-blocks.ts the blocks.
import { randomUUID } from "node:crypto";
import { sleep } from "../lib/kit/clock.ts";
import { formatDuration } from "../lib/kit/duration.ts";
import { messageOf } from "../lib/kit/errors.ts";
import { Readiness } from "../lib/kit/readiness.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import type { Metrics } from "../lib/telemetry/metrics.ts";
import { followApp } from "./app-subscriber.ts";
import { makeBlocks } from "./building-blocks.ts";
import type { App } from "./contract/ports.ts";
import type { RunningServer } from "./edge/http-api.ts";
import { findHostAddress } from "./host-address.ts";
import { makeReload, openOrigin } from "./live-resources.ts";
import {
  makeApp,
  makeAuthorize,
  makeMesh,
  makeMetrics,
  makeProxy,
  makeResilience,
  makeSecurity,
  readConfiguration,
  reserveInternalPort,
  startComponents,
  startEndpoints,
  startResolver,
  type Workshop,
} from "./parts.ts";
import { serveMetrics, servePublicApis } from "./serve.ts";
import type { SidecarConfig } from "./sidecar-config.ts";
import type { Surroundings } from "./surroundings.ts";

/** The grace period is over and something is still running. */
export class GraceExpiredError extends Error {
  override readonly name = "GraceExpiredError";
}

export interface Runtime {
  /** Brings everything up; resolves when the sidecar is ready, its app included. Rejects with what prevented it. */
  start(signal: AbortSignal): Promise<void>;
  /** Drains and closes in reverse. Rejects with GraceExpiredError when that takes longer than the grace period. */
  stop(): Promise<void>;
  /**
   * Resolves when the shutdown API asks for the end, or a changed resource for a new start. Rejects when the sidecar cannot run on.
   * Either way `stop` is still to be called.
   */
  readonly ended: Promise<End>;
}

export type End = "stop" | "reload";

export function createRuntime(config: SidecarConfig, around: Surroundings): Runtime {
  return new SidecarRuntime(config, around);
}

/** Answers of the shutdown API must leave before the process ends. */
const forceExitDelayMs = 100;

interface Closer {
  readonly name: string;
  close(): Promise<void>;
}

class SidecarRuntime implements Runtime {
  readonly #config: SidecarConfig;
  readonly #around: Surroundings;
  readonly #log: Logger;
  readonly #readiness = new Readiness();
  readonly #outbound = new Readiness();
  readonly #ended = Promise.withResolvers<End>();
  readonly #closers: Closer[] = [];
  readonly #servers: RunningServer[] = [];
  #drainInbound: () => Promise<void> = async () => {};
  #app: App | null = null;

  constructor(config: SidecarConfig, around: Surroundings) {
    this.#config = config;
    this.#around = around;
    this.#log = around.log;
  }

  get ended(): Promise<End> {
    return this.#ended.promise;
  }

  async start(signal: AbortSignal): Promise<void> {
    const config = this.#config;
    const around = this.#around;
    const startedMs = around.clock.monotonic();
    const ready = { runtime: this.#readiness.target("runtime"), outbound: this.#outbound.target("app") };
    this.#log.info(`${config.mode} mode configured`);
    this.#log.info(`app id: ${config.appId}`);
    const onClose = (name: string, close: () => Promise<void>) => this.#closers.push({ name, close });
    const certificates = new CertificateCount();
    const security = makeSecurity(config, around, certificates);
    onClose("security", async () => security.stop());
    const workshop: Workshop = { config, around, security, instanceId: randomUUID(), onClose };
    const origin = openOrigin(workshop);
    // The operator tells the Configuration, and only to those who can prove who they are.
    if (config.mode === "kubernetes") await security.start(signal);
    const configuration = await readConfiguration(workshop, origin.configuration, signal);
    const metrics = makeMetrics(workshop, configuration);
    certificates.continueWith(metrics);

    const authorize = makeAuthorize(workshop, configuration);
    const metricsServer = await serveMetrics(workshop, metrics);
    if (metricsServer) this.#servers.push(metricsServer);
    // Without an identity nothing of ours may be reachable.
    if (config.mode !== "kubernetes") await security.start(signal);
    const internal = await reserveInternalPort(workshop);
    this.#servers.push(internal.server);
    const { appId, namespace } = config;
    const identity = { appId, namespace, hostAddress: await findHostAddress(config.hostIp) };
    const resolver = await startResolver(workshop, configuration, identity, internal.port, signal);
    const resources = await origin.load(signal);
    const loader = await startComponents(workshop, configuration, resources, signal);
    const endpoints = await startEndpoints(workshop, loader, resources, signal);
    const resilience = await makeResilience(workshop, resources, metrics);
    const app = makeApp(workshop);
    this.#app = app.app;
    const { mesh, methods, remotes } = makeMesh(workshop, { identity, app, resolver, internalPort: internal.port, resilience, authorize });
    const proxy = makeProxy(workshop, { identity, app, remotes, resilience, authorize });
    const shutdown = { graceful: () => this.#requestShutdown(), force: () => this.#forceShutdown() };
    const { readiness, outbound } = { readiness: this.#readiness, outbound: this.#outbound };
    const reload = await makeReload(workshop, {
      configuration,
      origin,
      resources,
      loader,
      endpoints,
      refreshSubscriptions: () => sidecar.subscriptions.refresh(),
      checkRestart: () => readConfiguration(workshop, origin.configuration, signal),
      restart: () => this.#ended.resolve("reload"),
      failed: (error) => this.#ended.reject(error),
    });
    const declared = () => reload.reloader.subscriptions();
    const parts = { configuration, resources, declared, loader, app, identity, mesh, resilience, endpoints, readiness, outbound, shutdown };
    const sidecar = makeBlocks(workshop, { ...parts, metrics });

    await servePublicApis(workshop, configuration, metrics, sidecar, proxy, (server) => this.#servers.push(server));
    internal.server.serve(methods, proxy.inbound);
    this.#log.info(`Internal gRPC server is running on ${config.internalGrpcListenAddress}:${internal.port}`);
    ready.outbound.ready();
    await reload.start(signal);

    const asksConfig = !config.disabledInitEndpoints.includes("config");
    const subscriber = followApp({ app: app.app, appId, asksConfig, inbound: sidecar.subscriptions, log: this.#log, signal });
    this.#drainInbound = () => subscriber.stopForever();
    app.start();
    await untilAborted(app.discovered, signal);
    // Health checks decide when inbound delivery begins; without them the sidecar is ready once it has begun.
    if (config.appHealth === null) await untilAborted(subscriber.started, signal);
    this.#log.info(`dapr initialized. Status: Running. Init Elapsed ${Math.round(around.clock.monotonic() - startedMs)}ms`);
    ready.runtime.ready();
  }

  async stop(): Promise<void> {
    const { gracefulShutdownMs, blockShutdownMs } = this.#config;
    const { clock } = this.#around;
    const drained = this.#drainInbound();
    if (blockShutdownMs !== null) await this.#block(blockShutdownMs);
    this.#log.info("Dapr is shutting down");
    const grace = Promise.withResolvers<void>();
    const timer =
      gracefulShutdownMs > 0 ? clock.after(gracefulShutdownMs, () => grace.reject(new GraceExpiredError("grace period expired"))) : null;
    try {
      await Promise.race([this.#close(drained), grace.promise]);
    } finally {
      timer?.cancel();
    }
    this.#log.info("Dapr runtime stopped");
  }

  async #close(drained: Promise<void>): Promise<void> {
    // Outbound APIs stay up while what is in flight finishes: its handlers may still need them.
    await drained;
    const graceMs = this.#config.gracefulShutdownMs > 0 ? this.#config.gracefulShutdownMs : Number.MAX_SAFE_INTEGER;
    await Promise.all(this.#servers.map((server) => server.close(Math.min(graceMs, 2 ** 31 - 1))));
    for (let closer = this.#closers.pop(); closer !== undefined; closer = this.#closers.pop()) {
      try {
        await closer.close();
      } catch (error) {
        this.#log.warn(`error closing ${closer.name}: ${messageOf(error)}`);
      }
    }
  }

  /** Keeps the outbound APIs up for the time, or until the app says it has ended by turning unhealthy. */
  async #block(durationMs: number): Promise<void> {
    this.#log.info(`Blocking graceful shutdown for ${formatDuration(durationMs)} or until app reports unhealthy...`);
    const over = new AbortController();
    const unhealthy = Promise.withResolvers<string>();
    const app = this.#app;
    const unfollow = app?.onHealth((healthy) => healthy || unhealthy.resolve("App reported unhealthy, entering shutdown..."));
    if (app !== null && !app.healthy) unhealthy.resolve("App reported unhealthy, entering shutdown...");
    const elapsed = sleep(this.#around.clock, durationMs, over.signal).then(
      () => "Block shutdown period expired, entering shutdown...",
      () => "",
    );
    this.#log.info(await Promise.race([elapsed, unhealthy.promise]));
    over.abort();
    unfollow?.();
  }

  #requestShutdown(): void {
    this.#log.info("Shutdown requested via API");
    // The answer leaves first: the servers close after what they are answering.
    this.#ended.resolve("stop");
  }

  #forceShutdown(): void {
    this.#log.warn("Force shutdown requested, exiting immediately without graceful shutdown");
    this.#around.clock.after(forceExitDelayMs, this.#around.forceExit);
  }
}

/** Certificates may come before the settings of the metrics do. */
class CertificateCount implements Pick<Metrics, "certificate"> {
  readonly #early: Parameters<Metrics["certificate"]>[0][] = [];
  #count: Metrics["certificate"] = (outcome) => this.#early.push(outcome);

  readonly certificate: Metrics["certificate"] = (outcome) => this.#count(outcome);

  continueWith(metrics: Pick<Metrics, "certificate">): void {
    this.#count = metrics.certificate;
    for (const outcome of this.#early.splice(0)) this.#count(outcome);
  }
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason);
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  return Promise.race([promise, aborted.promise]).finally(() => signal.removeEventListener("abort", onAbort));
}
