// The composition of the operator: what it is made of, in the order in which it starts; stopping is the same list reversed.
// The API for sidecars runs on every replica; what changes the cluster runs on the one that leads, each part on its own: a
// part that fails tries again and neither stops another nor the API.
import type { Server } from "node:http";
import type { Clock } from "../lib/kit/clock.ts";
import { Readiness, type ReadinessTarget } from "../lib/kit/readiness.ts";
import { type KubeClient, openKubeClient } from "../lib/kube/client.ts";
import { createEventRecorder, type EventRecorder } from "../lib/kube/recorder.ts";
import { createSecurity, type Security } from "../lib/security/security.ts";
import { createHealthHttpServer } from "../lib/telemetry/health-server.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import { createMetricsHttpServer } from "../lib/telemetry/metrics-server.ts";
import { createOperatorMetrics, type OperatorMetrics } from "../lib/telemetry/operator-metrics.ts";
import { createListener } from "../lib/wire/listener.ts";
import type { SecureServer } from "../lib/wire/secure.ts";
import { Catalogue, kindOf, kinds } from "./api/catalogue.ts";
import { createOperatorMethods } from "./api/methods.ts";
import { Renderer } from "./api/render.ts";
import type { SecretReference } from "./api/secret-references.ts";
import { serveApi } from "./api/server.ts";
import { UnresolvedResources } from "./api/unresolved.ts";
import type { Endpoint, Environment, OperatorConfig } from "./config.ts";
import { type ControlPlaneSettings, loadControlPlaneSettings } from "./control-plane-settings.ts";
import { runLeaderParts } from "./leader-parts.ts";
import { Pods } from "./pods.ts";
import { createWebhookServer } from "./webhook/server.ts";

export interface OperatorAround {
  readonly log: Logger;
  readonly clock: Clock;
  readonly env: Environment;
}

const graceMs = 5_000;
const operatorAppId = "dapr-operator";

export class Operator {
  readonly #config: OperatorConfig;
  readonly #around: OperatorAround;
  readonly #readiness = new Readiness();
  readonly #metrics: OperatorMetrics = createOperatorMetrics();
  readonly #stop = new AbortController();
  /** Undone in reverse. */
  readonly #undo: (() => void | Promise<void>)[] = [];

  constructor(config: OperatorConfig, around: OperatorAround) {
    this.#config = config;
    this.#around = around;
  }

  /** Resolves when sidecars are answered. Rejects with what is wrong; `stop` cleans up then too. */
  async start(): Promise<void> {
    const { log, clock, env } = this.#around;
    const { configName: name, namespace, kubeconfig } = this.#config;
    const signal = this.#stop.signal;
    const targets = this.#targets();
    await this.#serveHealthAndMetrics();
    targets.healthz.ready();
    const client = await openKubeClient(kubeconfig, env);
    this.#undo.push(() => client.close());
    const settings = await loadControlPlaneSettings({ client, namespace, name, clock, log }, signal);
    const security = this.#openSecurity(settings);
    await security.start(signal);
    targets.security.ready();
    const recorder = createEventRecorder({ client, component: operatorAppId, instance: this.#config.instance, log, signal, clock });
    const { catalogue, pods } = this.#follow(client);
    await this.#serveSidecars(client, security, catalogue, pods, recorder);
    targets.api.ready();
    await this.#serveWebhook(security);
    targets.webhook.ready();
    const parts = { config: this.#config, client, bundle: security.trustBundle, pods, recorder, metrics: this.#metrics, clock, log };
    this.#background(runLeaderParts(parts, signal));
    await Promise.all([catalogue.synced(), pods.synced()]);
    targets.cache.ready();
    log.info("Dapr Operator started");
  }

  /** Lets calls in flight end. Safe to call at any time, once. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error("the operator is stopping"));
    for (const undo of this.#undo.reverse()) await undo();
  }

  #targets(): Readonly<Record<"healthz" | "security" | "api" | "webhook" | "cache", ReadinessTarget>> {
    const target = (name: string) => this.#readiness.target(name);
    return {
      healthz: target("healthz-server"),
      security: target("operator-security"),
      api: target("operator-api-server"),
      webhook: target("operator-webhook"),
      cache: target("operator-cache"),
    };
  }

  #openSecurity({ trustDomain, sentryAddress }: ControlPlaneSettings): Security {
    const { namespace, trustAnchorsFile, tokenFile } = this.#config;
    const { log, clock } = this.#around;
    const security = createSecurity({
      mtls: true,
      mode: "kubernetes",
      appId: operatorAppId,
      namespace,
      sentryAddress,
      controlPlaneTrustDomain: trustDomain,
      controlPlaneNamespace: namespace,
      trustAnchors: { file: trustAnchorsFile },
      tokenFile,
      // The API server is a client of ours, and not every one takes Ed25519.
      keyKind: "rsa-2048",
      log,
      clock,
    });
    this.#undo.push(() => security.stop());
    return security;
  }

  #follow(client: KubeClient): { catalogue: Catalogue; pods: Pods } {
    const { watchNamespace: namespace, relistMs } = this.#config;
    const { log, clock } = this.#around;
    const catalogue = new Catalogue({ client, namespace, relistMs, clock, log });
    const pods = new Pods({ client, namespace, relistMs, clock, log });
    const kindNames = Object.keys(kinds) as (keyof typeof kinds)[];
    this.#metrics.followers(() => new Map(kindNames.map((kind) => [kinds[kind].resource.plural, catalogue.followers(kind)])));
    this.#background(catalogue.run(this.#stop.signal));
    this.#background(pods.run(this.#stop.signal));
    return { catalogue, pods };
  }

  async #serveSidecars(client: KubeClient, security: Security, catalogue: Catalogue, pods: Pods, recorder: EventRecorder): Promise<void> {
    const log = this.#around.log.scope("dapr.operator.api");
    const stop = this.#stop.signal;
    const waiting = new UnresolvedResources();
    const report = this.#unresolved(recorder, log);
    const unresolved: typeof report = (object, reference, cause) => {
      waiting.add(object);
      report(object, reference, cause);
    };
    const { clock } = this.#around;
    const renderer = new Renderer({ client, unresolved, stop, clock });
    this.#background(waiting.run({ catalogue, renderer, clock, log }, stop));
    const methods = createOperatorMethods({ catalogue, renderer, pods: () => pods.values(), log, stop });
    const { listen } = this.#config;
    const server = await serveApi(methods, security.serverTls() as SecureServer, listen, log);
    this.#undo.push(() => {
      catalogue.close();
      return server.close();
    });
    log.info(`Starting gRPC server on ${listen.host}:${listen.port}`);
  }

  /** For the API server, which converts Subscriptions by it. */
  async #serveWebhook(security: Security): Promise<void> {
    const { webhook } = this.#config;
    if (webhook === null) return;
    const log = this.#around.log.scope("dapr.operator.webhook");
    await this.#open(createWebhookServer(log), webhook, "--webhook-server-port", security.webTls(null));
    log.info(`Conversion webhook is listening on port ${webhook.port}`);
  }

  #unresolved(recorder: EventRecorder, log: Logger) {
    return (object: Parameters<EventRecorder["record"]>[1], reference: SecretReference, cause: string): void => {
      this.#metrics.secretUnresolved();
      const { namespace = "", name = "" } = object.metadata;
      log.warn(`${object.kind ?? "resource"} ${namespace}/${name}: ${reference.what} has no value: ${cause}`);
      const kind = kindOf(object);
      if (kind !== null) recorder.record(kinds[kind].resource, object, "Warning", "SecretUnresolved", `${reference.what}: ${cause}`);
    };
  }

  async #serveHealthAndMetrics(): Promise<void> {
    const { healthz, metrics } = this.#config;
    const { log } = this.#around;
    const exporter = this.#readiness.target("metrics-exporter");
    await this.#open(createHealthHttpServer(this.#readiness), healthz, "--healthz-port");
    log.info(`Healthz server is listening on port ${healthz.port}`);
    if (metrics !== null) {
      await this.#open(createMetricsHttpServer(this.#metrics), metrics, "--metrics-port");
      log.info(`metrics server started on ${metrics.host}:${metrics.port}/`);
    }
    exporter.ready();
  }

  async #open(http1: Server, { host, port }: Endpoint, setting: string, secure: SecureServer | null = null): Promise<void> {
    const listener = await createListener([{ host, port }], { http1, http2: null, secure, log: this.#around.log, setting });
    this.#undo.push(() => listener.close({ graceMs }));
  }

  /** Ends with the signal; is waited for when stopping. */
  #background(work: Promise<void>): void {
    const done = work.catch((error: unknown) => {
      if (!this.#stop.signal.aborted) this.#around.log.error(`a part of the operator has ended (a bug): ${String(error)}`);
    });
    this.#undo.push(() => done);
  }
}
