// Sidecars of one mesh under one sentry, found through a SQLite registry: an HTTP app and a gRPC app with a sidecar each, and
// callers. A peer that is no sidecar at all can hold any certificate that a test gives it.
import type { Socket } from "node:net";
import { create } from "@bufbuild/protobuf";
import { InvokeRequestSchema } from "../../../lib/proto/gen/dapr/proto/common/v1/common_pb.ts";
import { InternalInvokeRequestSchema, ServiceInvocation } from "../../../lib/proto/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { ClientTls } from "../../../lib/security/client-tls.ts";
import { HeldSvid, svidOf } from "../../../lib/security/svid-source.ts";
import { HeldTrustBundle, readTrustAnchors } from "../../../lib/security/trust-bundle.ts";
import { createCsr, csrPem } from "../../../lib/security/x509/csr.ts";
import { generateKey } from "../../../lib/security/x509/keys.ts";
import { readCertificatesPem } from "../../../lib/security/x509/read-certificate.ts";
import { connectGrpc } from "../../../lib/wire/grpc/client.ts";
import { EchoApp } from "../../../lib/wire/grpc/echo-peer.ts";
import { silentLog } from "../../../lib/wire/log.ts";
import { configuration } from "../../build/resource.ts";
import { type App, app } from "../../harness/app.ts";
import { type Daprd, type DaprdOptions, daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { type Sentry, type SentryOptions, sentry } from "../../harness/sentry.ts";

const messageMaxBytes = 4 * 1024 * 1024;

export class Mesh implements AsyncDisposable {
  readonly ca: Sentry;
  readonly shop: App;
  readonly echo: EchoApp;
  readonly #registry = new Folder("mesh");
  readonly #sidecars: Daprd[] = [];

  private constructor(ca: Sentry, shop: App, echo: EchoApp) {
    this.ca = ca;
    this.shop = shop;
    this.echo = echo;
  }

  static async start(options: SentryOptions = {}): Promise<Mesh> {
    const ca = await sentry(options);
    return new Mesh(ca, await app({ http: { "*": ({ path }) => ({ body: path }) } }), await EchoApp.start());
  }

  /** Configuration that finds the others of this mesh. */
  config(accessControl?: object) {
    const connectionString = this.#registry.file("hosts.db");
    const nameResolution = { component: "sqlite", version: "v1", configuration: { connectionString } };
    return configuration({ nameResolution, ...(accessControl === undefined ? {} : { accessControl }) });
  }

  async sidecar(options: DaprdOptions & { readonly accessControl?: object; readonly ca?: Sentry } = {}): Promise<Daprd> {
    const { accessControl, ca = this.ca, flags, env, ...rest } = options;
    const started = await daprd({
      config: this.config(accessControl),
      ...rest,
      flags: { "enable-mtls": true, "sentry-address": ca.address, ...flags },
      env: { DAPR_TRUST_ANCHORS: ca.anchors(), ...env },
    });
    this.#sidecars.push(started);
    return started;
  }

  /** The sidecar of the HTTP app. */
  httpCallee(accessControl?: object): Promise<Daprd> {
    return this.sidecar({ app: this.shop, ready: "all", ...(accessControl === undefined ? {} : { accessControl }) });
  }

  /** The sidecar of the gRPC app. */
  grpcCallee(accessControl?: object): Promise<Daprd> {
    const options = { app: this.echo.port, flags: { "app-protocol": "grpc" }, ready: "all" } as const;
    return this.sidecar({ ...options, ...(accessControl === undefined ? {} : { accessControl }) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#sidecars.map((sidecar) => sidecar[Symbol.asyncDispose]()));
    await this.shop[Symbol.asyncDispose]();
    this.echo.kill();
    await this.ca[Symbol.asyncDispose]();
    this.#registry[Symbol.dispose]();
  }
}

/** A peer without a sidecar: a certificate of `ca` over any identity, and the internal call `GET /<method>` by hand. */
export class Peer implements Disposable {
  readonly svid: HeldSvid;
  readonly #tls: ClientTls;

  private constructor(svid: HeldSvid, anchors: string) {
    this.svid = svid;
    this.#tls = new ClientTls({ source: svid, bundle: new HeldTrustBundle(readTrustAnchors(anchors)) });
  }

  static async of(ca: Sentry, id: { id: string; namespace: string; trustDomain: string }, trusts = ca.anchors()): Promise<Peer> {
    const key = await generateKey("ed25519");
    const { workloadCertificate } = await ca.sign({ ...id, certificateSigningRequest: Buffer.from(csrPem(createCsr({ key }))) });
    return new Peer(new HeldSvid(svidOf(readCertificatesPem(Buffer.from(workloadCertificate)), key)), trusts);
  }

  /** A connection to its internal port. */
  socket(callee: Daprd): Socket {
    return this.#tls.connector({ namespace: "default", appId: callee.appId })({ host: "127.0.0.1", port: callee.internalGrpcPort });
  }

  /** The status that the app answered. Rejects with GrpcStatusError. */
  async call(callee: Daprd, method: string): Promise<number> {
    const tls = this.#tls.connector({ namespace: "default", appId: callee.appId });
    const channel = connectGrpc({
      target: { host: "127.0.0.1", port: callee.internalGrpcPort, tls },
      maxReceiveBytes: messageMaxBytes,
      maxSendBytes: messageMaxBytes,
      userAgent: "test",
      log: silentLog,
    });
    try {
      const message = create(InvokeRequestSchema, { method, httpExtension: { verb: 1 } });
      const request = create(InternalInvokeRequestSchema, { ver: 1, message });
      const answer = await channel.unary(ServiceInvocation.method.callLocal, request, { timeoutMs: 10_000 });
      return answer.message.status?.code ?? 0;
    } finally {
      await channel.close();
    }
  }

  [Symbol.dispose](): void {
    this.#tls.close();
  }
}
