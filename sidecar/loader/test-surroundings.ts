// Shared by the loader's tests: files in memory, a log that is kept, and drivers that do what their test says.
import type { Driver, DriverContext } from "../../components/driver.ts";
import type { SecretStore } from "../../components/secrets/store.ts";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { createLogger, type Logger } from "../../lib/telemetry/log.ts";
import type { LoaderSurroundings, ResourceFiles } from "./ports.ts";

export interface KeptLog {
  readonly log: Logger;
  /** `level message` of every line. */
  readonly lines: string[];
}

export function keptLog(): KeptLog {
  const lines: string[] = [];
  const settings = { level: "debug", json: true, file: null, appId: "a", instance: "i", version: "v" } as const;
  const log = createLogger(settings, (line) => {
    const { level, msg } = JSON.parse(line);
    lines.push(`${level} ${msg}`);
  });
  return { log, lines };
}

export function filesInMemory(files: Readonly<Record<string, string>>): ResourceFiles {
  const missing = () => Object.assign(new Error("missing"), { code: "ENOENT" });
  return {
    async list(directory) {
      const prefix = `${directory}/`;
      const names = Object.keys(files).filter((path) => path.startsWith(prefix));
      if (names.length === 0) throw missing();
      return names.map((path) => ({ name: path.slice(prefix.length), directory: path.endsWith("/") }));
    },
    async read(path) {
      const text = files[path];
      if (text === undefined) throw missing();
      return text;
    },
  };
}

export type Behaviour = (context: DriverContext, signal: AbortSignal) => Promise<void>;

export interface Stage {
  readonly around: LoaderSurroundings;
  readonly clock: FakeClock;
  readonly lines: string[];
  /** `init name` and `close name`, in order. */
  readonly events: string[];
  /** The properties each driver was given. */
  readonly seen: Map<string, Record<string, string>>;
}

/** A stage where `behaviour` runs in each driver's init; secret stores answer from `secrets` by name. */
export function stage(options: {
  readonly behaviour?: Behaviour;
  readonly secrets?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Awaited by every secret store before it answers. */
  readonly beforeGet?: () => Promise<void>;
  readonly around?: Partial<LoaderSurroundings>;
}): Stage {
  const { log, lines } = keptLog();
  const clock = new FakeClock();
  const events: string[] = [];
  const seen = new Map<string, Record<string, string>>();
  const create = (context: DriverContext): Driver => {
    const store: Partial<SecretStore> & Driver = {
      async init(signal) {
        events.push(`init ${context.name}`);
        seen.set(context.name, Object.fromEntries(context.properties.entries()));
        await options.behaviour?.(context, signal);
      },
      async close() {
        events.push(`close ${context.name}`);
      },
      async get(name) {
        await options.beforeGet?.();
        const secret = options.secrets?.[name];
        if (secret === undefined) throw new Error(`secret ${name} not found`);
        return secret;
      },
    };
    return store;
  };
  let uuids = 0;
  const around: LoaderSurroundings = {
    identity: { appId: "app1", namespace: "ns1", podName: "", instanceId: "instance" },
    env: { HOME: "/home/x", DAPR_API_TOKEN: "secret-token", APP_API_TOKEN: "secret-token" },
    envKeys: null,
    defaultSecretStore: "",
    inlinedSecretStore: "",
    findDriver: (type) => (type.endsWith(".nope") ? undefined : async () => ({ create })),
    log,
    clock,
    uuid: () => `uuid-${++uuids}`,
    deniedComponents: [],
    actors: false,
    ...options.around,
  };
  return { around, clock, lines, events, seen };
}
