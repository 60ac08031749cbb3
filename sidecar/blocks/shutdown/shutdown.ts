// The shutdown API: graceful by default, at once with `dapr-force-shutdown: true`. The answer goes out first.
import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { first, unary } from "../../../lib/wire/grpc/types.ts";
import type { Block } from "../../contract/block.ts";
import { noContent } from "../../contract/http.ts";

const forceKey = "dapr-force-shutdown";

export interface ShutdownPorts {
  /** Begins the graceful shutdown; returns at once. */
  readonly graceful: () => void;
  /** Ends the process with exit code 1 after the answer had time to leave. */
  readonly force: () => void;
}

export function createShutdownBlock(ports: ShutdownPorts): Block {
  const shutdown = (forced: string | undefined) => (forced?.toLowerCase() === "true" ? ports.force() : ports.graceful());
  return {
    name: "shutdown",
    http: [
      {
        methods: ["POST"],
        version: "v1.0",
        path: "shutdown",
        group: "shutdown",
        groupVersion: "v1",
        name: "Shutdown",
        handle: (request) => {
          shutdown(request.headers[forceKey] as string | undefined);
          return noContent;
        },
      },
    ],
    grpc: [
      unary(Dapr.method.shutdown, { group: "shutdown", version: "v1" }, (_request, call) => {
        shutdown(first(call.metadata, forceKey));
        return create(EmptySchema);
      }),
    ],
  };
}
