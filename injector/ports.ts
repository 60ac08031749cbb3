// What the injector knows of the cluster while it answers: cluster.ts keeps it up to date in the background.
import type { ComponentObject } from "./component-containers.ts";

export interface NamespaceView {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ClusterView {
  /** Of the installation's Configuration `daprsystem`; true while nobody knows. */
  readonly mtls: boolean;
  /** The API server knows native sidecar containers; false while nobody knows. */
  readonly nativeSidecars: boolean;
  /** Null: unknown. */
  namespace(name: string): NamespaceView | null;
  /** Asked of the API server each time. */
  components(namespace: string, signal: AbortSignal): Promise<readonly ComponentObject[]>;
}
