// The composition of the injector: what it is made of, in the order in which it starts; stopping is the same list reversed.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Server } from "node:http";
import type { Clock } from "../lib/kit/clock.ts";
import { Readiness } from "../lib/kit/readiness.ts";
import { type KubeClient, openKubeClient } from "../lib/kube/client.ts";
import { clusterDomain } from "../lib/kube/cluster-domain.ts";
import { createSecurity, type Security } from "../lib/security/security.ts";
import { spiffeId } from "../lib/security/spiffe.ts";
import { createHealthHttpServer } from "../lib/telemetry/health-server.ts";
import { createInjectorMetrics, type InjectorMetrics } from "../lib/telemetry/injector-metrics.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import { createMetricsHttpServer } from "../lib/telemetry/metrics-server.ts";
import { createListener } from "../lib/wire/listener.ts";
import type { SecureServer } from "../lib/wire/secure.ts";
import { createAdmission } from "./admission.ts";
import { createAdvice } from "./advise.ts";
import { accountMatcher } from "./authorize.ts";
import { CaBundleReconciler } from "./ca-bundle.ts";
import { Cluster } from "./cluster.ts";
import type { Endpoint, InjectorConfig } from "./config.ts";
import { createInjectorServer } from "./server.ts";
import type { SidecarSettings } from "./settings.ts";
import { serviceAddress } from "./sidecar-arguments.ts";
import { type Environment, inDomain } from "./sidecar-settings.ts";

export interface InjectorAround {
  readonly log: Logger;
  readonly clock: Clock;
  readonly env: Environment;
}

const appId = "dapr-injector";
const graceMs = 5_000;
const defaultDomain = "cluster.local";
const tokenFiles = ["/var/run/secrets/dapr.io/sentrytoken/token", "/var/run/secrets/kubernetes.io/serviceaccount/token"];

export class Injector {
  readonly #config: InjectorConfig;
  readonly #around: InjectorAround;
  readonly #readiness = new Readiness();
  readonly #metrics: InjectorMetrics = createInjectorMetrics();
  readonly #stop = new AbortController();
  /** Undone in reverse. */
  readonly #undo: (() => void | Promise<void>)[] = [];

  constructor(config: InjectorConfig, around: InjectorAround) {
    this.#config = config;
    this.#around = around;
  }

  /** Resolves when reviews are answered. Rejects with what is wrong; `stop` cleans up then too. */
  async start(): Promise<void> {
    const { log, clock } = this.#around;
    const signal = this.#stop.signal;
    const { namespace, healthz } = this.#config;
    const accounts = accountMatcher(this.#config.accounts);
    const service = this.#readiness.target("injector-service");
    const webhook = this.#readiness.target("webhook-configuration");
    await this.#open(createHealthHttpServer(this.#readiness), healthz, "--healthz-port");
    log.info(`Healthz server is listening on port ${healthz.port}`);
    await this.#serveMetrics();
    const client = await this.#openKubernetes();
    const settings = await this.#settings();
    const security = this.#security(settings);
    const cluster = new Cluster({ client, controlPlaneNamespace: namespace, log, clock });
    await Promise.all([security.start(signal), cluster.start(signal)]);
    const bundle = security.trustBundle;
    if (bundle === null) throw new Error("no trust anchors");
    const inputs = { settings, cluster, log: log.scope("dapr.injector.service"), trustAnchors: () => bundle.pem };
    const metrics = this.#metrics;
    const admit = createAdmission({ ...inputs, accounts, policy: this.#config.policy, metrics });
    await this.#serveWebhook(createInjectorServer({ admit, advise: createAdvice(inputs), metrics, log }), security);
    service.ready();
    await new CaBundleReconciler({ ...{ client, bundle, log, clock }, onFailure: () => this.#metrics.caBundleFailed() }).start(signal);
    // Ready also after a failure: the bundle may be another's to write, and the reconciler goes on.
    webhook.ready();
  }

  /** Lets reviews in flight end. Safe to call at any time, once. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error("the injector is stopping"));
    for (const undo of this.#undo.reverse()) await undo();
  }

  async #openKubernetes(): Promise<KubeClient> {
    const client = await openKubeClient(this.#config.kubeconfig || null, this.#around.env);
    this.#undo.push(() => client.close());
    return client;
  }

  async #settings(): Promise<SidecarSettings> {
    const { sidecar, trustDomain, namespace } = this.#config;
    const { log, env } = this.#around;
    const domain = sidecar.clusterDomain || (await clusterDomain(defaultDomain, log));
    return Object.freeze({
      ...inDomain(sidecar, domain, env),
      sentryId: spiffeId(trustDomain, namespace, "dapr-sentry").uri,
      // A cluster that gives us none gives none to sidecars.
      tokenVolume: tokenFiles.some((file) => existsSync(file)),
    });
  }

  #security(settings: SidecarSettings): Security {
    const { sentryAddress, trustDomain, namespace, trustAnchorsFile, tokenFile } = this.#config;
    const { log, clock } = this.#around;
    const security = createSecurity({
      ...{ mtls: true, mode: "kubernetes", appId, namespace, tokenFile, log, clock },
      sentryAddress: sentryAddress ?? serviceAddress(settings, "dapr-sentry", 443),
      controlPlaneTrustDomain: trustDomain,
      controlPlaneNamespace: namespace,
      trustAnchors: { file: trustAnchorsFile },
      // API servers of some clouds refuse Ed25519.
      keyKind: "rsa-2048",
    });
    this.#undo.push(() => security.stop());
    return security;
  }

  async #serveMetrics(): Promise<void> {
    const target = this.#readiness.target("metrics-exporter");
    const { metrics } = this.#config;
    if (metrics !== null) {
      await this.#open(createMetricsHttpServer(this.#metrics), metrics, "--metrics-port");
      this.#around.log.info(`metrics server started on ${metrics.host}:${metrics.port}/`);
    }
    target.ready();
  }

  async #serveWebhook(server: Server, security: Security): Promise<void> {
    const { listen, clientCaFile } = this.#config;
    const clientCa = clientCaFile === null ? null : await readFile(clientCaFile, "utf8");
    await this.#open(server, listen, "--port", security.webTls(clientCa));
    this.#around.log.info(`Sidecar injector is listening on ${listen.host}:${listen.port}, patching Dapr-enabled pods`);
  }

  async #open(http1: Server, { host, port }: Endpoint, setting: string, secure: SecureServer | null = null): Promise<void> {
    const listener = await createListener([{ host, port }], { http1, http2: null, secure, log: this.#around.log, setting });
    this.#undo.push(() => listener.close({ graceMs }));
  }
}
