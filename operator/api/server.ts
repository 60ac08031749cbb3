// The port that sidecars ask: the sixteen methods over mTLS, for any verified workload of the mesh.

import type { Logger } from "../../lib/telemetry/log.ts";
import { createGrpcDispatcher } from "../../lib/wire/grpc/server.ts";
import type { GrpcMethod } from "../../lib/wire/grpc/types.ts";
import { createH2cServer, keepaliveDefaults } from "../../lib/wire/http2-server.ts";
import type { ListenAddress } from "../../lib/wire/listen.ts";
import { createListener } from "../../lib/wire/listener.ts";
import type { SecureServer } from "../../lib/wire/secure.ts";

export interface ApiServer {
  close(): Promise<void>;
}

const requestMaxBytes = 64 * 1024;
/** A list of all resources of a namespace is one message. */
const responseMaxBytes = 64 * 1024 * 1024;
const headerListMaxBytes = 64 * 1024;
/** A sidecar has seven streams and a few calls. */
const streamsMax = 100;
const graceMs = 5_000;

/** Rejects when the port is taken. */
export async function serveApi(
  methods: readonly GrpcMethod[],
  secure: SecureServer,
  listen: ListenAddress,
  log: Logger,
): Promise<ApiServer> {
  const dispatcher = createGrpcDispatcher({ methods, maxReceiveBytes: requestMaxBytes, maxSendBytes: responseMaxBytes, log });
  const http2 = createH2cServer({ maxHeaderListBytes: headerListMaxBytes, maxConcurrentStreams: streamsMax, ...keepaliveDefaults });
  dispatcher.attach(http2);
  const listener = await createListener([listen], { http1: null, http2, secure, log, setting: "--port" });
  return {
    async close() {
      await Promise.all([dispatcher.drain(), listener.close({ graceMs })]);
    },
  };
}
