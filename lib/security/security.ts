// Identity and TLS of one service in one object: trust anchors, certificate, TLS for its servers and its clients. Where
// mTLS is off, the same object says so by nulls, which listeners and channels take as plain text.
import type { Clock } from "../kit/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import type { CertificateFailure } from "../telemetry/metrics.ts";
import type { SecureConnect, SecureServer } from "../wire/secure.ts";
import { CertificateSource } from "./certificate-source.ts";
import type { Unsubscribe } from "./changes.ts";
import { ClientTls, type ExpectedPeer } from "./client-tls.ts";
import type { JwtSvid } from "./jwt-svid.ts";
import { SentryClient } from "./sentry-client.ts";
import { ServerTls, type ServerTlsOptions } from "./server-tls.ts";
import { type SpiffeId, spiffeId } from "./spiffe.ts";
import { FileTrustBundle, HeldTrustBundle, readTrustAnchors, type TrustBundle } from "./trust-bundle.ts";
import type { KeyKind } from "./x509/keys.ts";

export interface SecurityOptions {
  readonly mtls: boolean;
  /** In Kubernetes the control plane is spoken to over mTLS even where `mtls` is off. */
  readonly mode: "standalone" | "kubernetes";
  readonly appId: string;
  readonly namespace: string;
  /** `host:port`. */
  readonly sentryAddress: string;
  readonly controlPlaneTrustDomain: string;
  readonly controlPlaneNamespace: string;
  readonly trustAnchors: { readonly file: string } | { readonly pem: string };
  /** DAPR_SENTRY_TOKEN_FILE; null when not set. */
  readonly tokenFile?: string | null;
  /** SENTRY_LOCAL_IDENTITY. */
  readonly localIdentity?: string | null;
  readonly jwtAudiences?: readonly string[];
  /** Ed25519 by default, as Dapr has it; RSA where the Kubernetes API server is the client. */
  readonly keyKind?: KeyKind;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Counts failures to get a certificate, and refusals of peers by reason. */
  readonly onRenewalFailed?: (cause: string, reason: CertificateFailure) => void;
  readonly onRefused?: ServerTlsOptions["onRefused"];
}

export interface Security {
  /** Resolves once there is an identity (at once in plain text). Rejects when there will be none. */
  start(signal: AbortSignal): Promise<void>;
  /** For `createListener({ secure })`. Null: plain text. Lets in any peer of the mesh unless `accept` says otherwise. */
  serverTls(accept?: (peer: SpiffeId) => boolean): SecureServer | null;
  /**
   * For a server whose clients are not of the mesh, such as the Kubernetes API server, whatever `mtls` says: HTTP/1.1 with our
   * certificate. None is asked of the client unless `clientCa` (PEM) names whose clients are let in. Null: plain text.
   */
  webTls(clientCa: string | null): SecureServer | null;
  /** For a channel's `target.tls`, to another workload. Null: plain text. */
  clientTls(expected: ExpectedPeer): SecureConnect | null;
  /** The same to a service of the control plane, e.g. `dapr-placement`. */
  controlPlaneTls(service: string): SecureConnect | null;
  /** Of this process; null in plain text and before `start` has resolved. */
  readonly id: SpiffeId | null;
  /** Null in plain text. */
  readonly trustBundle: TrustBundle | null;
  /** The JWT SVID for `audience` (null: for all); null where sentry issues none. */
  jwt(audience: string | null): JwtSvid | null;
  /** A renewed identity or other trust anchors. */
  onChange(listener: () => void): Unsubscribe;
  /** A renewed identity only. */
  onIdentity(listener: () => void): Unsubscribe;
  stop(): void;
}

/** Throws for trust anchors, addresses or names that cannot be; nothing is contacted before `start`. */
export function createSecurity(options: SecurityOptions): Security {
  const log = options.log.scope("dapr.runtime.security");
  if (options.mtls || options.mode === "kubernetes") return new MutualSecurity({ ...options, log });
  log.warn("mTLS is disabled. Skipping certificate request and tls validation");
  return plaintextSecurity;
}

export const plaintextSecurity: Security = {
  start: async () => {},
  serverTls: () => null,
  webTls: () => null,
  clientTls: () => null,
  controlPlaneTls: () => null,
  id: null,
  trustBundle: null,
  jwt: () => null,
  onChange: () => () => {},
  onIdentity: () => () => {},
  stop: () => {},
};

class MutualSecurity implements Security {
  readonly #options: SecurityOptions;
  readonly #bundle: FileTrustBundle | HeldTrustBundle;
  readonly #source: CertificateSource;
  readonly #client: ClientTls;
  readonly #servers: ServerTls[] = [];
  readonly #end = new AbortController();

  constructor(options: SecurityOptions) {
    this.#options = options;
    const { trustAnchors, log } = options;
    const clock = options.clock === undefined ? {} : { clock: options.clock };
    const held = "pem" in trustAnchors ? new HeldTrustBundle(readTrustAnchors(trustAnchors.pem)) : null;
    this.#bundle = held ?? new FileTrustBundle({ path: (trustAnchors as { readonly file: string }).file, log, ...clock });
    const sentry = sentryClient(options, this.#bundle);
    this.#source = new CertificateSource({
      request: (signal) => sentry.request(signal),
      log,
      // A file is its owner's word; anchors from the environment can only be brought up to date by sentry.
      onAnnounced: ({ announced }) => void held?.announce(announced),
      ...(options.onRenewalFailed === undefined ? {} : { onFailure: options.onRenewalFailed }),
      ...clock,
    });
    this.#client = new ClientTls({ source: this.#source, bundle: this.#bundle, ...clock });
  }

  get id(): SpiffeId | null {
    return this.#source.current?.id ?? null;
  }

  get trustBundle(): TrustBundle {
    return this.#bundle;
  }

  async start(signal: AbortSignal): Promise<void> {
    const both = AbortSignal.any([signal, this.#end.signal]);
    // Our timers keep no process alive, and one that waits for its identity may have nothing else yet that does.
    const alive = setInterval(() => {}, 60_000);
    try {
      if (this.#bundle instanceof FileTrustBundle) await this.#bundle.start(both);
      await this.#source.start(both);
    } finally {
      clearInterval(alive);
    }
  }

  serverTls(accept?: (peer: SpiffeId) => boolean): SecureServer | null {
    if (!this.#options.mtls) return null;
    const { log, clock, onRefused } = this.#options;
    const server = new ServerTls({
      source: this.#source,
      bundle: this.#bundle,
      log,
      ...(accept === undefined ? {} : { accept }),
      ...(clock === undefined ? {} : { clock }),
      ...(onRefused === undefined ? {} : { onRefused }),
    });
    this.#servers.push(server);
    return server;
  }

  webTls(clientCa: string | null): SecureServer {
    const { log, clock } = this.#options;
    const server = new ServerTls({
      ...{ source: this.#source, bundle: this.#bundle, accept: null, clientCa, log },
      protocols: ["http/1.1"],
      ...(clock === undefined ? {} : { clock }),
    });
    this.#servers.push(server);
    return server;
  }

  clientTls(expected: ExpectedPeer): SecureConnect | null {
    return this.#options.mtls ? this.#client.connector(expected) : null;
  }

  controlPlaneTls(service: string): SecureConnect {
    const { controlPlaneTrustDomain, controlPlaneNamespace } = this.#options;
    return this.#client.connector(spiffeId(controlPlaneTrustDomain, controlPlaneNamespace, service));
  }

  jwt(audience: string | null): JwtSvid | null {
    return this.#source.jwt(audience);
  }

  onChange(listener: () => void): Unsubscribe {
    const stop = [this.#bundle.onChange(listener), this.#source.onChange(listener)];
    return () => {
      for (const unsubscribe of stop) unsubscribe();
    };
  }

  onIdentity(listener: () => void): Unsubscribe {
    return this.#source.onChange(listener);
  }

  stop(): void {
    this.#end.abort(new Error("security has been stopped"));
    this.#client.close();
    for (const server of this.#servers) server.close();
  }
}

function sentryClient(options: SecurityOptions, bundle: TrustBundle): SentryClient {
  const { appId, localIdentity, tokenFile, mode, jwtAudiences, keyKind, clock } = options;
  return new SentryClient({
    address: options.sentryAddress,
    controlPlaneTrustDomain: options.controlPlaneTrustDomain,
    controlPlaneNamespace: options.controlPlaneNamespace,
    bundle,
    id: localIdentity || appId,
    namespace: options.namespace,
    token: { file: tokenFile ?? null, kubernetes: mode === "kubernetes" },
    ...(jwtAudiences === undefined ? {} : { jwtAudiences }),
    ...(keyKind === undefined ? {} : { keyKind }),
    ...(clock === undefined ? {} : { clock }),
  });
}
