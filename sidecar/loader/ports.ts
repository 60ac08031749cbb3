// What the loader needs from outside: files, the environment, the drivers' table, and chance.
import type { Driver, DriverModule } from "../../components/driver.ts";
import type { Secret } from "../../components/secrets/store.ts";
import type { Clock } from "../../lib/kit/clock.ts";
import type { Logger } from "../../lib/telemetry/log.ts";

export interface DirectoryEntry {
  readonly name: string;
  /** A link to a directory counts as a file, as in Dapr. */
  readonly directory: boolean;
}

export interface ResourceFiles {
  /** In any order. Rejects with a Node error. */
  list(directory: string): Promise<readonly DirectoryEntry[]>;
  /** UTF-8 text. Rejects with a Node error, or when the file is over `maxBytes`. */
  read(path: string, maxBytes: number): Promise<string>;
}

/** A lookup in components/registry.ts; undefined: there is no such driver. */
export type FindDriver = (type: string, version: string) => (() => Promise<DriverModule<Driver>>) | undefined;

/** Secrets as references need them. */
export interface SecretSource {
  /** True once the store is ready. */
  has(store: string): boolean;
  get(store: string, name: string, metadata: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Secret>;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Who the components are loaded for. */
export interface LoaderIdentity {
  readonly appId: string;
  readonly namespace: string;
  /** Empty: not known. */
  readonly podName: string;
  /** Unique to this sidecar process. */
  readonly instanceId: string;
}

export interface LoaderSurroundings {
  readonly identity: LoaderIdentity;
  readonly env: Environment;
  /** Names that envRef may read; null: all but the forbidden ones. */
  readonly envKeys: readonly string[] | null;
  /** Store for resources that name none: `kubernetes` in Kubernetes, else empty. */
  readonly defaultSecretStore: string;
  /** Store whose secrets the operator has put into the resources already, base64; empty: none. */
  readonly inlinedSecretStore: string;
  readonly findDriver: FindDriver;
  readonly log: Logger;
  readonly clock: Clock;
  readonly uuid: () => string;
  /** `type` or `type/version`, from Configuration. */
  readonly deniedComponents: readonly string[];
  /** True with placement: then at most one store may be the actor state store. */
  readonly actors: boolean;
  /** A block's say on a component before its driver starts, e.g. an illegal key prefix; null: fine. */
  readonly check?: (component: {
    readonly type: string;
    readonly name: string;
    property(name: string): string | undefined;
  }) => string | null;
}
