// The composition of sentry: what it is made of, in the order in which it starts; stopping is the same list reversed.
// Everything that reaches outside (time, files, sockets) is made here or passed in.

import type { Server } from "node:http";
import { dirname, resolve } from "node:path";
import type { Clock } from "../lib/kit/clock.ts";
import { Readiness } from "../lib/kit/readiness.ts";
import { clusterDomain } from "../lib/kube/cluster-domain.ts";
import { ServerTls } from "../lib/security/server-tls.ts";
import { type SpiffeId, spiffeId } from "../lib/security/spiffe.ts";
import { HeldTrustBundle } from "../lib/security/trust-bundle.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import { createMetricsHttpServer } from "../lib/telemetry/metrics-server.ts";
import { createSentryMetrics, type SentryMetrics } from "../lib/telemetry/sentry-metrics.ts";
import { createGrpcDispatcher } from "../lib/wire/grpc/server.ts";
import { createH2cServer, keepaliveDefaults } from "../lib/wire/http2-server.ts";
import { createListener, type Listener } from "../lib/wire/listener.ts";
import type { SecureServer } from "../lib/wire/secure.ts";
import { Authority, pollStore } from "./authority.ts";
import type { Endpoint, Environment, SentryConfig } from "./config.ts";
import { createHealthServer } from "./health-server.ts";
import { createKubernetesClient, type KubernetesClient } from "./kubernetes/client.ts";
import { clusterAccess } from "./kubernetes/kubeconfig.ts";
import { makeValidators } from "./make-validators.ts";
import type { MtlsConfig } from "./mtls-settings.ts";
import { addressProblem, createOidcHandler, normalPrefix } from "./oidc/discovery.ts";
import { createOidcServer, type OidcServer } from "./oidc/server.ts";
import { settingsProblem } from "./rotate.ts";
import { createServerIdentity } from "./server-identity.ts";
import { loadMtls } from "./settings-source.ts";
import { createSignCertificate } from "./sign-certificate.ts";
import { createDiskStore, credentialPaths, type FilePaths } from "./store/disk.ts";
import { createKubernetesStore } from "./store/kubernetes.ts";
import { makeIssuer, sentryAppId } from "./template.ts";
import { watchDirectories } from "./watch-files.ts";

export interface SentryAround {
  readonly log: Logger;
  readonly clock: Clock;
  readonly env: Environment;
  readonly home: string;
}

const pollMs = 30_000;
const graceMs = 5_000;
const messageMaxBytes = 4 * 1024 * 1024;
const headerListMaxBytes = 64 * 1024;
/** A CSR takes less than a millisecond; what a caller cannot use at once is not let in. */
const streamsMax = 1000;

export class Sentry {
  readonly #config: SentryConfig;
  readonly #around: SentryAround;
  readonly #readiness = new Readiness();
  readonly #metrics: SentryMetrics = createSentryMetrics();
  readonly #stop = new AbortController();
  /** Undone in reverse. */
  readonly #undo: (() => void | Promise<void>)[] = [];

  constructor(config: SentryConfig, around: SentryAround) {
    this.#config = config;
    this.#around = around;
  }

  /** Resolves when requests are answered. Rejects with what is wrong, in Dapr's words; `stop` cleans up then too. */
  async start(): Promise<void> {
    const { mode, namespace, trustDomain, rotation } = this.#config;
    const { log, env } = this.#around;
    const signal = this.#stop.signal;
    const api = mode === "kubernetes" ? await this.#openKubernetes() : null;
    const mtls = await loadMtls(this.#config, env, api, signal);
    const id = spiffeId(trustDomain, namespace, sentryAppId);
    const problem = rotation.policy === "off" ? null : settingsProblem({ ...mtls, ...rotation });
    if (problem !== null) log.warn(`Root rotation: ${problem}`);
    const validators = makeValidators({ settings: mtls.validators, id, api, readiness: this.#readiness, clock: this.#around.clock, log });
    const { authority, directories } = await this.#openAuthority(mtls, api);
    const health = this.#readiness.target("healthz-server");
    await this.#open(
      createHealthServer(this.#readiness, () => authority.status()),
      this.#config.healthz,
      "--healthz-port",
    );
    log.info(`Healthz server is listening on port ${this.#config.healthz.port}`);
    health.ready();
    await this.#serveMetrics();
    const oidc = await this.#serveOidc(authority);
    const domain = api === null ? trustDomain : await clusterDomain(trustDomain, log);
    const { byKind, fallback } = validators;
    const common = { authority, mtls, id, clock: this.#around.clock, log: log.scope("dapr.sentry.server"), metrics: this.#metrics };
    await this.#serveCertificates(createSignCertificate({ ...common, validators: byKind, fallback, clusterDomain: domain }), common);
    validators.start(signal);
    authority.serving();
    this.#follow(authority, oidc, directories);
  }

  /** Lets calls in flight end. Safe to call at any time, once. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error("sentry is stopping"));
    for (const undo of this.#undo.reverse()) await undo();
  }

  async #openKubernetes(): Promise<KubernetesClient> {
    const { env, home } = this.#around;
    const client = createKubernetesClient(await clusterAccess({ kubeconfig: this.#config.kubeconfig, home, env }));
    this.#undo.push(() => client.close());
    return client;
  }

  async #openAuthority(mtls: MtlsConfig, api: KubernetesClient | null): Promise<{ authority: Authority; directories: readonly string[] }> {
    const { credentialsDirectory: directory, credentials, namespace, trustDomain, rotation, jwt } = this.#config;
    const { clock } = this.#around;
    const log = this.#around.log.scope("dapr.sentry.ca");
    const names: FilePaths = { ...credentials, rotation: "rotation.json" };
    const paths = credentialPaths(directory, names);
    log.info(`Using ${api === null ? "local file system" : "kubernetes secret store"} for trust bundle storage`);
    const store = api === null ? createDiskStore(directory, paths) : createKubernetesStore(api, namespace, names);
    const template = { trustDomain, namespace, ttlMs: rotation.rootTtlMs, clockSkewMs: mtls.clockSkewMs };
    const make = (now: number) => makeIssuer(template, now);
    const authority = new Authority({ store, mtls, jwt, rotation, make, clock, log, metrics: this.#metrics });
    this.#undo.push(() => authority.close());
    try {
      await authority.load();
    } catch (error) {
      throw new Error(`error creating CA: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
    this.#around.log.info("CA certificate key pair ready");
    return { authority, directories: Object.values(paths).map((path) => dirname(path)) };
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

  async #serveOidc(authority: Authority): Promise<OidcServer | null> {
    const { oidc, jwt } = this.#config;
    if (oidc === null || jwt === null) {
      this.#around.log.info("OIDC HTTP server is disabled");
      return null;
    }
    const log = this.#around.log.scope("dapr.sentry.server.oidc.http");
    const target = this.#readiness.target("oidc-server");
    const { jwksUri, allowedHosts, tls, listen } = oidc;
    const problem = jwksUri !== null ? addressProblem("JWKS", jwksUri) : jwt.issuer ? addressProblem("JWT issuer", jwt.issuer) : null;
    if (problem !== null) throw new Error(`error creating OIDC server: ${problem}`);
    const { algorithm = jwt.algorithm } = authority.signing.tokens ?? {};
    const pathPrefix = normalPrefix(oidc.pathPrefix);
    const scheme = tls === null ? "http" : "https";
    const handler = createOidcHandler({ issuer: jwt.issuer || null, jwksUri, pathPrefix, allowedHosts, scheme, algorithm });
    const server = await createOidcServer({ handler, keySet: () => authority.signing.keySet, tls, log });
    await this.#open(server.server, listen, "--oidc-server-listen-port", server.secure);
    log.info(`Starting OIDC HTTP server${tls === null ? " (insecure)" : ""} on ${listen.host}:${listen.port}`);
    target.ready();
    return server;
  }

  async #serveCertificates(
    method: ReturnType<typeof createSignCertificate>,
    common: { authority: Authority; mtls: MtlsConfig; id: SpiffeId; clock: Clock; log: Logger; metrics: SentryMetrics },
  ): Promise<void> {
    const { log } = common;
    const target = this.#readiness.target("sentry-server");
    const identity = await createServerIdentity(common);
    this.#undo.push(() => identity.close());
    // Nobody is asked for a certificate here: this is where they come from.
    const tls = new ServerTls({ source: identity.source, bundle: new HeldTrustBundle(), accept: null, log });
    this.#undo.push(() => tls.close());
    const limits = { maxReceiveBytes: messageMaxBytes, maxSendBytes: messageMaxBytes };
    const dispatcher = createGrpcDispatcher({ methods: [method], ...limits, log });
    const http2 = createH2cServer({ maxHeaderListBytes: headerListMaxBytes, maxConcurrentStreams: streamsMax, ...keepaliveDefaults });
    dispatcher.attach(http2);
    const { host, port } = this.#config.listen;
    const listener = await createListener([{ host, port }], { http1: null, http2, secure: tls, log, setting: "--port" });
    this.#undo.push(async () => {
      target.notReady();
      log.info("Shutting down gRPC server");
      await Promise.all([dispatcher.drain(), listener.close({ graceMs })]);
    });
    log.info(`Running gRPC server on port ${port}`);
    target.ready();
  }

  /** Changes of files and of the Secret. */
  #follow(authority: Authority, oidc: OidcServer | null, credentialDirectories: readonly string[]): void {
    const { clock, log } = this.#around;
    const tls = this.#config.oidc?.tls;
    const directories = [...credentialDirectories, ...(tls ? [dirname(resolve(tls.certFile)), dirname(resolve(tls.keyFile))] : [])];
    log.info(`Starting watch on filesystem directories: [${[...new Set(directories)].join(" ")}]`);
    const watch = watchDirectories(directories, clock, () => {
      void authority.reload();
      void oidc?.reload();
    });
    this.#undo.push(() => watch.close());
    void pollStore(authority, clock, pollMs, this.#stop.signal);
  }

  async #open(http1: Server, { host, port }: Endpoint, setting: string, secure: SecureServer | null = null): Promise<void> {
    const { log } = this.#around;
    const listener: Listener = await createListener([{ host, port }], { http1, http2: null, secure, log, setting });
    this.#undo.push(() => listener.close({ graceMs }));
  }
}
