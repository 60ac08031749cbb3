// A real sentry: `await using ca = await sentry()` starts the launcher on reserved ports with a directory of its own, waits
// until it is healthy, and kills it at the end of the test. OUTRIGGER_SENTRY runs another sentry under the same tests.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { CA, SignCertificateRequestSchema, type SignCertificateResponse } from "../../lib/proto/gen/dapr/proto/sentry/v1/sentry_pb.ts";
import { ClientTls } from "../../lib/security/client-tls.ts";
import { spiffeId } from "../../lib/security/spiffe.ts";
import { HeldTrustBundle, readTrustAnchors } from "../../lib/security/trust-bundle.ts";
import { connectGrpc } from "../../lib/wire/grpc/client.ts";
import type { GrpcChannel } from "../../lib/wire/grpc/types.ts";
import { silentLog } from "../../lib/wire/log.ts";
import { Folder } from "./folder.ts";
import { reservePorts } from "./ports.ts";
import { Program } from "./program.ts";

/** The binary under test. */
export const sentryPath = process.env.OUTRIGGER_SENTRY || fileURLToPath(new URL("../../bin/sentry", import.meta.url));

export interface SentryOptions {
  /** By name without dashes, over the defaults of the harness. */
  readonly flags?: Readonly<Record<string, string | number | boolean>>;
  /** Text of the Configuration. */
  readonly config?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** An existing directory of credentials; its owner keeps it. */
  readonly credentials?: string;
  readonly ready?: boolean;
}

const pollMs = 20;
const messageMaxBytes = 4 * 1024 * 1024;

export class Sentry implements AsyncDisposable {
  readonly port: number;
  readonly healthPort: number;
  readonly metricsPort: number;
  readonly oidcPort: number;
  /** The directory of the certificate authority. */
  readonly credentials: string;
  readonly folder: Folder;
  readonly #options: SentryOptions;
  readonly #channels: { close(): void }[] = [];
  program!: Program;

  private constructor(ports: readonly number[], folder: Folder, options: SentryOptions) {
    [this.port, this.healthPort, this.metricsPort, this.oidcPort] = ports as [number, number, number, number];
    this.folder = folder;
    this.#options = options;
    this.credentials = options.credentials ?? folder.path;
  }

  static async start(options: SentryOptions = {}): Promise<Sentry> {
    const sentry = new Sentry(await reservePorts(4), new Folder("sentry"), options);
    try {
      await sentry.startProcess();
      return sentry;
    } catch (error) {
      await sentry[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts the process, or starts it again on the same ports and directory. */
  async startProcess(): Promise<void> {
    const flags = {
      port: this.port,
      "healthz-port": this.healthPort,
      "metrics-port": this.metricsPort,
      "oidc-server-listen-port": this.oidcPort,
      "listen-address": "127.0.0.1",
      "healthz-listen-address": "127.0.0.1",
      "metrics-listen-address": "127.0.0.1",
      "issuer-credentials": this.credentials,
      config: this.folder.write("config.yaml", this.#options.config ?? ""),
      "log-level": "debug",
      ...this.#options.flags,
    };
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    this.program = await Program.start({ name: "sentry", command: sentryPath, args, env: this.#options.env ?? {} });
    if (this.#options.ready ?? true) await this.eventually("/healthz answers 200", () => this.#healthy());
  }

  /** Ends the process at once, as a crash does. */
  async kill(): Promise<void> {
    this.program.signal("SIGKILL");
    await this.program.exited();
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** PEM as it stands in the directory now. */
  anchors(): string {
    return readFileSync(`${this.credentials}/ca.crt`, "utf8");
  }

  /** A channel that trusts `anchors` and accepts only sentry's own id. */
  channel(anchors = this.anchors(), trustDomain = "localhost", namespace = "default"): GrpcChannel {
    const tls = new ClientTls({ source: null, bundle: new HeldTrustBundle(readTrustAnchors(anchors)) });
    const channel = connectGrpc({
      target: { host: "127.0.0.1", port: this.port, tls: tls.connector(spiffeId(trustDomain, namespace, "dapr-sentry")) },
      maxReceiveBytes: messageMaxBytes,
      maxSendBytes: messageMaxBytes,
      userAgent: "test",
      log: silentLog,
    });
    this.#channels.push({
      close() {
        tls.close();
        void channel.close();
      },
    });
    return channel;
  }

  /** One request over a connection of its own. Rejects with GrpcStatusError. */
  async sign(request: MessageInitShape<typeof SignCertificateRequestSchema>, channel = this.channel()): Promise<SignCertificateResponse> {
    return (await channel.unary(CA.method.signCertificate, create(SignCertificateRequestSchema, request), { timeoutMs: 10_000 })).message;
  }

  /** What `GET /rotation` answers. */
  async rotation(): Promise<{ phase: string | null; anchors: { sha256: string; signs: boolean }[]; problem: string | null }> {
    return (await fetch(`http://127.0.0.1:${this.healthPort}/rotation`)).json() as never;
  }

  async eventually(what: string, check: () => Promise<boolean> | boolean, withinMs = 20_000): Promise<void> {
    const until = performance.now() + withinMs;
    while (!(await check())) {
      if (this.program.exit !== null) throw this.program.failure(`sentry ended before ${what}`);
      if (performance.now() > until) throw this.program.failure(`${what} did not happen within ${withinMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const channel of this.#channels) channel.close();
    await this.program?.[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }

  async #healthy(): Promise<boolean> {
    const response = await fetch(`http://127.0.0.1:${this.healthPort}/healthz`, { signal: AbortSignal.timeout(1000) }).catch(() => null);
    await response?.arrayBuffer().catch(() => null);
    return response?.status === 200;
  }
}

/** Starts a sentry and waits until it is healthy. */
export function sentry(options: SentryOptions = {}): Promise<Sentry> {
  return Sentry.start(options);
}
