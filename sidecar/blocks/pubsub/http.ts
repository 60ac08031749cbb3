// Pub/sub over HTTP.
import { parseTraceparent, type TraceContext } from "../../../lib/telemetry/trace-context.ts";
import { type HttpRequest, noContent, queryMetadata, type Reply, type Route } from "../../contract/http.ts";
import type { PubSubPorts } from "./ports.ts";
import { checkTarget, type PublishRequest, publish } from "./publish.ts";
import type { Publisher } from "./publisher.ts";

export function pubSubRoutes(ports: PubSubPorts, publisher: Publisher): readonly Route[] {
  return [
    {
      methods: ["POST", "PUT"],
      version: "v1.0",
      path: "publish/:pubsubname/*topic",
      group: "publish",
      groupVersion: "v1",
      name: "PublishEvent",
      handle: (request) => handlePublish(ports, publisher, request),
    },
  ];
}

async function handlePublish(ports: PubSubPorts, publisher: Publisher, http: HttpRequest): Promise<Reply> {
  const request: PublishRequest = {
    pubsubName: http.params["pubsubname"] ?? "",
    topic: http.params["topic"] ?? "",
    contentType: http.headers["content-type"] ?? "",
    metadata: queryMetadata(http.query),
    trace: traceOf(ports, http),
  };
  const target = checkTarget(ports, request);
  await publish(ports, publisher, request, target, await http.body(), http.signal);
  return noContent;
}

function traceOf(ports: PubSubPorts, http: HttpRequest): TraceContext | null {
  if (ports.tracing) return http.trace;
  const { traceparent, tracestate } = http.headers;
  return parseTraceparent(single(traceparent), single(tracestate));
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === "string" ? value : value?.[0];
}
