// The name resolver: chosen by the Configuration, by the mode where it does not say. It announces this sidecar; when it cannot,
// the sidecar runs on, and calls to other apps say why they fail.
import type { DriverContext, DriverModule } from "../components/driver.ts";
import { Properties } from "../components/metadata.ts";
import type { NameResolver } from "../components/nameresolution/resolver.ts";
import { findDriver } from "../components/registry.ts";
import { messageOf } from "../lib/kit/errors.ts";
import type { Configuration } from "../lib/resources/configuration.ts";
import type { Value } from "../lib/resources/yaml.ts";

export interface ResolverSurroundings extends Omit<DriverContext, "name" | "type" | "version" | "properties"> {
  readonly hostAddress: string;
  readonly internalPort: number;
}

export async function startNameResolver(
  settings: Configuration["nameResolution"],
  fallback: string,
  around: ResolverSurroundings,
  signal: AbortSignal,
): Promise<NameResolver> {
  const name = settings.component || fallback;
  const version = settings.version || "v1";
  const log = around.log.scope("dapr.runtime");
  try {
    const load = findDriver(`nameresolution.${name}`, version);
    if (load === undefined) throw new Error(`couldn't find name resolver ${name}/${version}: use mdns, sqlite or kubernetes`);
    const { create } = (await load()) as DriverModule<NameResolver>;
    const resolver = create({ ...around, name, type: `nameresolution.${name}`, version, properties: propertiesOf(settings.configuration) });
    await resolver.init(signal);
    const { appId, namespace, hostAddress: host, internalPort: port } = around;
    await resolver.register({ appId, namespace, host, port }, signal);
    log.info(`Initialized name resolution to ${name}`);
    return resolver;
  } catch (error) {
    signal.throwIfAborted();
    const reason = `[INIT_COMPONENT_FAILURE]: initialization error occurred for nr (${name}/${version}): ${messageOf(error)}`;
    log.error(reason);
    return unavailable(reason);
  }
}

/** The configuration is free-form YAML; drivers read strings. */
function propertiesOf(value: Value): Properties {
  const entries = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  return new Properties(entries.map(([key, item]) => [key, typeof item === "object" ? JSON.stringify(item) : String(item)] as const));
}

function unavailable(reason: string): NameResolver {
  return {
    init: async () => {},
    register: async () => {},
    resolve: async () => {
      throw new Error(`name resolution is not available since the start of this sidecar: ${reason}`);
    },
    invalidate: () => {},
    close: async () => {},
  };
}
