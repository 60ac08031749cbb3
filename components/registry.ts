// Every driver we have: type string and version to a lazy import, so that a sidecar loads only what its components use.
// A new driver is one file and one line here. Aliases are rows of their own.
import type { Driver, DriverModule } from "./driver.ts";

type Import = () => Promise<DriverModule<Driver>>;

const inMemoryState: Import = () => import("./state/memory.ts");
const sqliteState: Import = () => import("./state/sqlite.ts");

const drivers: Readonly<Record<string, Import>> = {
  "configuration.kubernetes/v1": () => import("./configuration/kubernetes.ts"),
  "nameresolution.kubernetes/v1": () => import("./nameresolution/kubernetes.ts"),
  "nameresolution.mdns/v1": () => import("./nameresolution/mdns.ts"),
  "nameresolution.sqlite/v1": () => import("./nameresolution/sqlite.ts"),
  "pubsub.in-memory/v1": () => import("./pubsub/memory.ts"),
  "pubsub.redis/v1": () => import("./pubsub/redis.ts"),
  "pubsub.sqlite/v1": () => import("./pubsub/sqlite.ts"),
  "secretstores.kubernetes/v1": () => import("./secrets/kubernetes.ts"),
  "secretstores.local.env/v1": () => import("./secrets/local-env.ts"),
  "secretstores.local.file/v1": () => import("./secrets/local-file.ts"),
  "state.in-memory/v1": inMemoryState,
  "state.redis/v1": () => import("./state/redis.ts"),
  "state.sqlite/v1": sqliteState,
  "state.sqlite3/v1": sqliteState,
};

/** Empty, v0 and v1 are one version, as in Dapr. Type and version are matched without regard to case. */
export function findDriver(type: string, version: string): Import | undefined {
  const lower = version.toLowerCase();
  const canonical = lower === "" || lower === "v0" ? "v1" : lower;
  const key = `${type.toLowerCase()}/${canonical}`;
  return Object.hasOwn(drivers, key) ? drivers[key] : undefined;
}
