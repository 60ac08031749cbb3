// What the patch of a pod depends on besides the pod: how the injector is installed (settings, for its whole life) and how
// the cluster is right now (facts). Plain data; config.ts and cluster.ts fill it in.
import type { Container, Toleration } from "./pod.ts";

export interface SidecarSecurity {
  readonly runAsNonRoot: boolean;
  readonly runAsUser: number | null;
  readonly runAsGroup: number | null;
  readonly readOnlyRootFilesystem: boolean;
  readonly dropAllCapabilities: boolean;
}

export interface SidecarSettings {
  readonly controlPlaneNamespace: string;
  readonly controlPlaneTrustDomain: string;
  /** For example `cluster.local`. */
  readonly clusterDomain: string;
  readonly image: string;
  readonly imagePullPolicy: "Always" | "IfNotPresent" | "Never";
  /** Patterns of images that a pod may choose; null: any. */
  readonly allowedImages: ((image: string) => boolean) | null;
  readonly security: SidecarSecurity;
  readonly downwardApis: boolean;
  readonly ignoreEntrypointTolerations: readonly Toleration[];
  /** Address of placement, a `name:address` of another actors service, or null: no actors unless a pod says so. */
  readonly actors: { readonly flag: "--placement-host-address" | "--actors-service"; readonly value: string } | null;
  /** `name:address`; null: built in. */
  readonly remindersService: string | null;
  readonly schedulerEnabled: boolean;
  /** False where the cluster has no service account tokens. */
  readonly tokenVolume: boolean;
  /** Audience of the sidecar's token. */
  readonly sentryId: string;
  /** What pods get that do not say: `auto` is native where the cluster can. */
  readonly nativeSidecar: "auto" | "always" | "never";
  readonly componentSocketsFolder: string;
}

export interface ClusterFacts {
  /** Certificates in PEM, nothing else. */
  readonly trustAnchors: string;
  readonly mtls: boolean;
  /** False as long as nobody knows. */
  readonly nativeSidecars: boolean;
}

/** One pod's surroundings. */
export interface PodContext {
  readonly namespace: string;
  /** Annotations of the namespace: defaults for its pods. */
  readonly namespaceAnnotations: Readonly<Record<string, string>>;
  /** The namespace asks for sidecars in all its pods that do not refuse one. */
  readonly namespaceInjects: boolean;
  /** Containers of pluggable components, for a pod that wants them injected. */
  readonly componentContainers: readonly Container[];
}
