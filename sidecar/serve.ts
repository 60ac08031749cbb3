// The servers of a sidecar and the order in which they open.
import type { IncomingHttpHeaders } from "node:http2";
import { Dapr } from "../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import type { Configuration } from "../lib/resources/configuration.ts";
import type { Metrics } from "../lib/telemetry/metrics.ts";
import { createMetricsHttpServer } from "../lib/telemetry/metrics-server.ts";
import { reflectionMethods } from "../lib/wire/grpc/reflection.ts";
import { createListener } from "../lib/wire/listener.ts";
import { type makeBlocks, samplingRate } from "./building-blocks.ts";
import { startGrpcApi } from "./edge/grpc-api.ts";
import { type RunningServer, startHttpApi } from "./edge/http-api.ts";
import { probesAddress, publicApiAddresses } from "./listen-addresses.ts";
import type { Workshop } from "./parts.ts";
import { type GrpcProxy, namesTarget } from "./proxy/proxy.ts";

/** The public APIs; `opened` is told of each server as soon as it listens, so that a failure of the next can close it. */
export async function servePublicApis(
  { config, around }: Workshop,
  configuration: Configuration,
  metrics: Metrics,
  { blocks, fallback }: ReturnType<typeof makeBlocks>,
  proxy: GrpcProxy,
  opened: (server: RunningServer) => void,
): Promise<void> {
  const common = {
    lists: configuration.api,
    apiToken: config.apiToken,
    maxBodyBytes: config.maxBodyBytes,
    maxHeaderBytes: config.readBufferBytes,
    countError: metrics.errorCode,
    log: around.log,
  };
  const apiLog = config.apiLogging ?? configuration.apiLogging.enabled;
  const rate = samplingRate(configuration);
  const methods = [...blocks.flatMap((block) => block.grpc), ...reflectionMethods([Dapr])];
  const proxying = {
    unknown: proxy.outbound,
    yields: (service: string, headers: IncomingHttpHeaders) => service.startsWith("grpc.reflection.") && namesTarget(headers),
  };
  opened(await startGrpcApi({ ...common, ...proxying, methods, addresses: publicApiAddresses(config, "grpc"), apiLog }));
  opened(
    await startHttpApi({
      ...common,
      routes: blocks.flatMap((block) => block.http),
      fallback,
      addresses: publicApiAddresses(config, "http"),
      publicAddress: probesAddress(config),
      allowedOrigins: config.allowedOrigins,
      h2c: !config.disableH2c,
      apiLog: apiLog ? configuration.apiLogging : null,
      sampleRoot: () => Math.random() < rate,
    }),
  );
}

/** The metrics port, when it is on. */
export async function serveMetrics({ config, around }: Workshop, metrics: Metrics): Promise<RunningServer | null> {
  if (!config.metrics.enabled) return null;
  const { port, listenAddress: host } = config.metrics;
  const http1 = createMetricsHttpServer(metrics);
  const log = around.log.scope("dapr.metrics");
  const listener = await createListener([{ host, port }], { http1, http2: null, log, setting: "--metrics-port" });
  log.info(`metrics server started on ${host}:${port}/`);
  return { addresses: listener.addresses, close: (graceMs) => listener.close({ graceMs }) };
}
