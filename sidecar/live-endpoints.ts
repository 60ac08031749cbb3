// HTTPEndpoint resources as they are now. A change opens all of them anew beside the old ones, which close after their
// calls; calls find either the old or the new ones, never none.
import { messageOf } from "../lib/kit/errors.ts";
import type { HttpEndpoint } from "../lib/resources/http-endpoint.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import { createEndpoints, type Endpoint, type RunningEndpoints } from "./app/endpoints.ts";
import type { ExternalEndpoints, HttpInvoker } from "./contract/ports.ts";
import type { ComponentLoader } from "./loader/component-loader.ts";

export interface LiveEndpointsPorts {
  readonly loader: Pick<ComponentLoader, "resolve">;
  readonly maxHeaderBytes: number;
  readonly log: Logger;
}

export class LiveEndpoints implements ExternalEndpoints {
  readonly #ports: LiveEndpointsPorts;
  #running: RunningEndpoints;
  #names: readonly string[] = [];

  constructor(ports: LiveEndpointsPorts) {
    this.#ports = ports;
    this.#running = createEndpoints([], ports.maxHeaderBytes);
  }

  /** Of all resources, also of those that could not be opened. */
  names(): readonly string[] {
    return this.#names;
  }

  named(name: string): HttpInvoker | null {
    return this.#running.named(name);
  }

  forUrl(url: string): HttpInvoker | null {
    return this.#running.forUrl(url);
  }

  /** Rejects only with the signal's reason. */
  async replace(resources: readonly HttpEndpoint[], signal: AbortSignal): Promise<void> {
    const { loader, maxHeaderBytes, log } = this.#ports;
    const endpoints: Endpoint[] = [];
    for (const { name, baseUrl, ...resource } of resources) {
      const resolved = await loader.resolve({ ...resource, name, kind: "HTTPEndpoint", pairs: resource.headers }, signal);
      if (resolved.kind === "resolved") {
        endpoints.push({ name, baseUrl, headers: resolved.pairs.map(([header, value]) => ({ name: header, value })) });
      } else log.warn(`HTTPEndpoint ${name} is left out: its secret store ${resolved.store} is not loaded`);
    }
    signal.throwIfAborted();
    const old = this.#running;
    this.#running = createEndpoints(endpoints, maxHeaderBytes);
    this.#names = resources.map(({ name }) => name);
    old.close().catch((error: unknown) => log.warn(`error closing replaced HTTP endpoints: ${messageOf(error)}`));
  }

  close(): Promise<void> {
    return this.#running.close();
  }
}
