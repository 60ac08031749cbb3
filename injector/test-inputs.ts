// Settings, facts and pods for the injector's tests.
import { applyJsonPatch } from "../lib/kube/patch.ts";
import { type Injection, inject, wantedBy } from "./patch.ts";
import { readPod } from "./pod.ts";
import type { ClusterFacts, PodContext, SidecarSettings } from "./settings.ts";

export const settings: SidecarSettings = {
  controlPlaneNamespace: "dapr-system",
  controlPlaneTrustDomain: "cluster.local",
  clusterDomain: "cluster.local",
  image: "docker.io/local/outrigger:1",
  imagePullPolicy: "IfNotPresent",
  allowedImages: null,
  security: { runAsNonRoot: true, runAsUser: null, runAsGroup: null, readOnlyRootFilesystem: true, dropAllCapabilities: true },
  downwardApis: false,
  ignoreEntrypointTolerations: [],
  actors: { flag: "--placement-host-address", value: "dapr-placement-server.dapr-system.svc.cluster.local:50005" },
  remindersService: null,
  schedulerEnabled: true,
  tokenVolume: true,
  sentryId: "spiffe://cluster.local/ns/dapr-system/dapr-sentry",
  nativeSidecar: "auto",
  componentSocketsFolder: "/tmp/dapr-components-sockets",
};

export const facts: ClusterFacts = Object.freeze({ trustAnchors: "ANCHORS", mtls: true, nativeSidecars: true });

export const context: PodContext = Object.freeze({
  namespace: "shop",
  namespaceAnnotations: {},
  namespaceInjects: false,
  componentContainers: [],
});

export interface TestPod {
  readonly metadata: Record<string, unknown>;
  readonly spec: Record<string, unknown>;
}

/** A pod with one container. */
export function testPod(
  annotations: Record<string, string> | null,
  spec: Record<string, unknown> = {},
  metadata: Record<string, unknown> = {},
): TestPod {
  return {
    metadata: { name: "shop-1", ...(annotations === null ? {} : { annotations }), ...metadata },
    spec: { containers: [{ name: "app", image: "app:1" }], ...spec },
  };
}

export interface Around {
  readonly settings?: Partial<SidecarSettings>;
  readonly facts?: Partial<ClusterFacts>;
  readonly context?: Partial<PodContext>;
}

/** Null: the pod wants no sidecar. */
export function injected(pod: unknown, around: Around = {}): Injection | null {
  const read = readPod(pod);
  const where = { ...context, ...around.context };
  const wanted = wantedBy(read, where);
  return wanted === null ? null : inject(read, wanted, where, { ...settings, ...around.settings }, { ...facts, ...around.facts });
}

/** The pod after its patch; throws when there is none. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into JSON
export function patchedPod(pod: unknown, around: Around = {}): any {
  const injection = injected(pod, around);
  if (injection?.kind !== "patched") throw new Error(`not patched: ${JSON.stringify(injection)}`);
  return applyJsonPatch(structuredClone(pod), JSON.parse(JSON.stringify(injection.patch)));
}
