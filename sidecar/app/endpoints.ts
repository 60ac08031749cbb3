// Calls to what is no Dapr app: HTTPEndpoint resources and plain URLs. No sidecar on the other side, no app token, no
// health gate. Client certificates of an endpoint come with its own issue.
import { canonicalName } from "../../lib/wire/http/headers.ts";
import type { ExternalEndpoints, HttpInvoker } from "../contract/ports.ts";
import type { ConcurrencyLimit } from "./concurrency.ts";
import { createHttpChannel, type HttpChannel } from "./http-channel.ts";
import { noFixedHeaders } from "./http-message.ts";

/** Idle origins are forgotten beyond this many: URLs come from callers. */
const maxUrlChannels = 64;

export interface Endpoint {
  readonly name: string;
  readonly baseUrl: string;
  /** Set over the caller's. */
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

export interface RunningEndpoints extends ExternalEndpoints {
  close(): Promise<void>;
}

export function createEndpoints(
  endpoints: readonly Endpoint[],
  maxHeaderBytes: number,
  limit: ConcurrencyLimit | null = null,
): RunningEndpoints {
  const open = (baseUrl: string, headers: Endpoint["headers"]): HttpChannel =>
    createHttpChannel({
      protocol: baseUrl.startsWith("https:") ? "https" : "http",
      baseUrl,
      maxHeaderBytes,
      insecure: false,
      fixedHeaders: headers.length === 0 ? noFixedHeaders : new Map(headers.map(({ name, value }) => [canonicalName(name), value])),
      limit,
    });
  const named = new Map(endpoints.map((endpoint) => [endpoint.name, open(endpoint.baseUrl, endpoint.headers)]));
  const byUrl = new Map<string, HttpChannel>();

  return {
    named: (name): HttpInvoker | null => named.get(name) ?? null,
    forUrl(url): HttpInvoker | null {
      const known = byUrl.get(url);
      if (known) return known;
      if (!URL.canParse(url)) return null;
      const channel = open(url, []);
      byUrl.set(url, channel);
      if (byUrl.size > maxUrlChannels) forgetOldest(byUrl);
      return channel;
    },
    async close() {
      await Promise.all([...named.values(), ...byUrl.values()].map((channel) => channel.close()));
    },
  };
}

/** The oldest channel is dropped, not closed: calls in flight end by themselves, idle sockets after their keep-alive time. */
function forgetOldest(channels: Map<string, HttpChannel>): void {
  const oldest = channels.keys().next().value;
  if (oldest !== undefined) channels.delete(oldest);
}
