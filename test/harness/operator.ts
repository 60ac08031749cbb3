// A real operator: `await using it = await operator({…})` starts the launcher on reserved ports against a real API server and
// a real sentry, and kills it at the end of the test. OUTRIGGER_OPERATOR runs another operator under the same tests.
import { fileURLToPath } from "node:url";
import { createSecurity, type Security } from "../../lib/security/security.ts";
import { silentLogger } from "../../lib/telemetry/log.ts";
import { connectGrpc } from "../../lib/wire/grpc/client.ts";
import type { GrpcChannel } from "../../lib/wire/grpc/types.ts";
import { silentLog } from "../../lib/wire/log.ts";
import type { SecureConnect } from "../../lib/wire/secure.ts";
import { reservePorts } from "./ports.ts";
import { Program } from "./program.ts";
import type { Sentry } from "./sentry.ts";

/** The binary under test. */
export const operatorPath = process.env.OUTRIGGER_OPERATOR || fileURLToPath(new URL("../../bin/operator", import.meta.url));

export interface OperatorOptions {
  readonly kubeconfig: string;
  /** Of the control plane; sentry's too. */
  readonly namespace: string;
  readonly sentry: Sentry;
  /** By name without dashes, over the defaults of the harness. */
  readonly flags?: Readonly<Record<string, string | number | boolean>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly ready?: boolean;
}

const pollMs = 20;
const messageMaxBytes = 64 * 1024 * 1024;
const startTimeoutMs = 20_000;

export class Operator implements AsyncDisposable {
  readonly port: number;
  readonly healthPort: number;
  readonly metricsPort: number;
  readonly webhookPort: number;
  readonly #options: OperatorOptions;
  readonly #closing: (() => void)[] = [];
  program!: Program;

  private constructor(ports: readonly number[], options: OperatorOptions) {
    [this.port, this.healthPort, this.metricsPort, this.webhookPort] = ports as [number, number, number, number];
    this.#options = options;
  }

  static async start(options: OperatorOptions): Promise<Operator> {
    const operator = new Operator(await reservePorts(4), options);
    try {
      await operator.startProcess();
      return operator;
    } catch (error) {
      await operator[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts the process, or starts it again on the same ports. */
  async startProcess(): Promise<void> {
    const { kubeconfig, namespace, sentry, flags, env, ready = true } = this.#options;
    const all = {
      port: this.port,
      "healthz-port": this.healthPort,
      "metrics-port": this.metricsPort,
      "webhook-server-port": this.webhookPort,
      "listen-address": "127.0.0.1",
      "healthz-listen-address": "127.0.0.1",
      "metrics-listen-address": "127.0.0.1",
      "webhook-server-listen-address": "127.0.0.1",
      "trust-anchors-file": `${sentry.credentials}/ca.crt`,
      kubeconfig,
      "watch-namespace": namespace,
      "apply-crds": false,
      "log-level": "debug",
      ...flags,
    };
    const args = Object.entries(all).map(([name, value]) => `--${name}=${value}`);
    this.program = await Program.start({
      name: "operator",
      command: operatorPath,
      args,
      env: { NAMESPACE: namespace, ENABLE_WEBHOOKS: "false", ...env },
    });
    if (ready) await this.eventually("/healthz answers 200", () => this.healthy());
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.program.signal(signal);
    await this.program.exited();
  }

  async healthy(): Promise<boolean> {
    const response = await fetch(`http://127.0.0.1:${this.healthPort}/healthz`, { signal: AbortSignal.timeout(1000) }).catch(() => null);
    await response?.arrayBuffer().catch(() => null);
    return response?.status === 200;
  }

  /** A channel of the app, with a certificate of sentry's. */
  async channel(appId: string, namespace = this.#options.namespace): Promise<GrpcChannel> {
    const security = this.#identity(appId, namespace);
    await security.start(AbortSignal.timeout(startTimeoutMs));
    const tls = security.controlPlaneTls("dapr-operator") as SecureConnect;
    const channel = connectGrpc({
      target: { host: "127.0.0.1", port: this.port, tls },
      maxReceiveBytes: messageMaxBytes,
      maxSendBytes: messageMaxBytes,
      userAgent: "test",
      log: silentLog,
    });
    this.#closing.push(() => {
      void channel.close();
      security.stop();
    });
    return channel;
  }

  #identity(appId: string, namespace: string): Security {
    const { sentry, namespace: controlPlaneNamespace } = this.#options;
    return createSecurity({
      mtls: true,
      mode: "standalone",
      appId,
      namespace,
      sentryAddress: sentry.address,
      controlPlaneTrustDomain: "localhost",
      controlPlaneNamespace,
      trustAnchors: { pem: sentry.anchors() },
      log: silentLogger,
    });
  }

  async eventually(what: string, check: () => Promise<boolean> | boolean, withinMs = startTimeoutMs): Promise<void> {
    const until = performance.now() + withinMs;
    while (!(await check())) {
      if (this.program.exit !== null) throw this.program.failure(`the operator ended before ${what}`);
      if (performance.now() > until) throw this.program.failure(`${what} did not happen within ${withinMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closing) close();
    await this.program?.[Symbol.asyncDispose]();
  }
}

/** Starts an operator and waits until it is healthy. */
export function operator(options: OperatorOptions): Promise<Operator> {
  return Operator.start(options);
}
