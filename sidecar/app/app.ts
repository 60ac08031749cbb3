// The user's app as the sidecar sees it: one channel by --app-protocol, behind a concurrency limit and a health gate.
// Nothing waits for the app except what is meant for it: outbound APIs are up before it listens.
import type { Clock } from "../../lib/kit/clock.ts";
import { apiError } from "../../lib/kit/errors.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import type { GrpcChannel } from "../../lib/wire/grpc/types.ts";
import type { App, AppChannel, AppRequest } from "../contract/ports.ts";
import { ConcurrencyLimit } from "./concurrency.ts";
import { appErrors } from "./errors.ts";
import { createGrpcChannel } from "./grpc-channel.ts";
import { HealthProbes, type HealthSettings, type Probe } from "./health-probes.ts";
import { createHttpChannel } from "./http-channel.ts";
import { noFixedHeaders } from "./http-message.ts";
import { type Dial, waitForPort } from "./wait-for-port.ts";

export interface AppSettings {
  /** 0: the app does not listen; there is no channel. */
  readonly port: number;
  readonly protocol: AppChannel["protocol"];
  /** --app-channel-address. */
  readonly host: string;
  /** 0 or less: no limit. */
  readonly maxConcurrency: number;
  /** APP_API_TOKEN; empty for none. */
  readonly token: string;
  /** --read-buffer-size: of a response's head. */
  readonly maxHeaderBytes: number;
  /** --max-body-size; 0 or less: no limit. For bodies that a gRPC app takes whole. */
  readonly maxBodyBytes: number;
  /** Null: healthy as soon as the port accepts. */
  readonly health: (HealthSettings & { readonly path: string }) | null;
}

export interface AppPorts {
  readonly clock: Clock;
  readonly log: Logger;
  /** Opens a kept connection that re-dials, each attempt within the 20 s that Dapr gives one. */
  readonly connectGrpc: (address: string, tls: boolean) => GrpcChannel;
  readonly dial?: Dial;
}

export interface RunningApp {
  readonly app: App;
  /** Begins to wait for the port and then to probe; returns at once. Without a port the app counts as healthy. */
  start(): void;
  /** Resolves once the app's port accepts connections, or at once without one; rejects when stopped before. */
  readonly discovered: Promise<void>;
  stop(): Promise<void>;
}

/** The app never aborts what it was not asked to: 20 s is for one dial, not for a call. */
export const grpcDialTimeoutMs = 20_000;

interface Channel {
  readonly channel: AppChannel;
  readonly probe: Probe;
  close(): Promise<void>;
}

export function createApp(settings: AppSettings, ports: AppPorts): RunningApp {
  const log = ports.log.scope("dapr.apphealth");
  const runtimeLog = ports.log.scope("dapr.runtime");
  const listeners = new Set<(healthy: boolean) => void>();
  const stopping = new AbortController();
  const discovered = Promise.withResolvers<void>();
  discovered.promise.catch(() => {});
  let healthy = false;

  const setHealthy = (now: boolean) => {
    if (now === healthy) return;
    healthy = now;
    for (const listener of [...listeners]) listener(now);
  };
  const gated = settings.health !== null;
  const gate = () => {
    if (gated && !healthy) throw apiError(appErrors.unhealthy);
  };
  const channel = settings.port > 0 ? openChannel(settings, ports, gate) : null;
  const probes = channel && settings.health ? new HealthProbes(settings.health, channel.probe, ports.clock, log, setHealthy) : null;

  const awaitApp = async () => {
    if (channel !== null) {
      const { protocol, port } = settings;
      runtimeLog.info(
        `application protocol: ${protocol}. waiting on port ${port}.  This will block until the app is listening on that port.`,
      );
      await waitForPort(settings.host, port, ports.clock, runtimeLog, stopping.signal, ports.dial);
      runtimeLog.info(`application discovered on port ${port}`);
    }
    discovered.resolve();
    if (probes) probes.start();
    else setHealthy(true);
  };

  return {
    app: {
      channel: channel?.channel ?? null,
      get healthy() {
        return healthy;
      },
      onHealth(listener) {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    },
    start() {
      if (channel === null) runtimeLog.warn("App channel is not initialized. Did you configure an app-port?");
      else if (settings.maxConcurrency > 0) runtimeLog.info(`app max concurrency set to ${settings.maxConcurrency}`);
      if (channel !== null && (settings.protocol === "https" || settings.protocol === "grpcs")) {
        runtimeLog.warn(
          `The app's certificate is not verified: app protocol ${settings.protocol} encrypts, but does not prove who answers`,
        );
      }
      awaitApp().catch((error) => discovered.reject(error));
    },
    discovered: discovered.promise,
    async stop() {
      stopping.abort(new Error("the sidecar is stopping"));
      probes?.stop();
      await channel?.close();
    },
  };
}

function openChannel(settings: AppSettings, ports: AppPorts, gate: () => void): Channel {
  const limit = settings.maxConcurrency > 0 ? new ConcurrencyLimit(settings.maxConcurrency) : null;
  if (settings.protocol === "grpc" || settings.protocol === "grpcs") return grpcChannel(settings, ports, gate, limit);
  return httpChannel(settings, settings.protocol, gate, limit);
}

function httpChannel(settings: AppSettings, protocol: "http" | "https" | "h2c", gate: () => void, limit: ConcurrencyLimit | null): Channel {
  const http = createHttpChannel({
    protocol,
    baseUrl: `${protocol === "https" ? "https" : "http"}://${address(settings)}`,
    maxHeaderBytes: settings.maxHeaderBytes,
    insecure: true,
    fixedHeaders: settings.token === "" ? noFixedHeaders : new Map([["Dapr-Api-Token", settings.token]]),
    limit,
  });
  const path = `/${(settings.health?.path ?? "").replace(/^\//, "")}`;
  return {
    channel: { protocol, grpc: null, invoke: gatedInvoke(gate, http.invoke) },
    async probe(signal) {
      const status = await http.probe(path, signal);
      if (status < 200 || status > 299) throw new Error(`Health check failed with status code: ${status}`);
    },
    close: () => http.close(),
  };
}

function grpcChannel(settings: AppSettings, ports: AppPorts, gate: () => void, limit: ConcurrencyLimit | null): Channel {
  const connection = ports.connectGrpc(address(settings), settings.protocol === "grpcs");
  const grpc = createGrpcChannel({ connection, appToken: settings.token, limit, maxBodyBytes: settings.maxBodyBytes });
  const call: typeof grpc.call = async (method, request, options) => {
    gate();
    return grpc.call(method, request, options);
  };
  return {
    channel: { protocol: settings.protocol, grpc: { call, forward: grpc.forward }, invoke: gatedInvoke(gate, grpc.invoke) },
    probe: (signal) => grpc.probe(signal),
    close: () => grpc.close(),
  };
}

type Invoke = (request: AppRequest, signal: AbortSignal) => ReturnType<AppChannel["invoke"]>;

function gatedInvoke(gate: () => void, invoke: Invoke): Invoke {
  return async (request, signal) => {
    gate();
    return invoke(request, signal);
  };
}

function address(settings: AppSettings): string {
  return `${settings.host.includes(":") ? `[${settings.host}]` : settings.host}:${settings.port}`;
}
