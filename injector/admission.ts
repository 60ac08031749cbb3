// One admission review from request to response: what is looked at in which order, what is counted and logged. A pod that
// has nothing to do with Dapr leaves no trace. Nothing here throws: a failure of ours is a refusal that says so, because a
// pod that starts without its sidecar is worse than one that is tried again.
import { messageOf } from "../lib/kit/errors.ts";
import { at } from "../lib/kube/object.ts";
import { isEnabled } from "../lib/resources/annotation-readers.ts";
import type { InjectorMetrics } from "../lib/telemetry/injector-metrics.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import { type AccountMatcher, type InjectionPolicy, refusalOf } from "./authorize.ts";
import { injectableContainers } from "./component-containers.ts";
import { inject, wantedBy } from "./patch.ts";
import { type Container, type Pod, PodError, readPod } from "./pod.ts";
import type { ClusterView } from "./ports.ts";
import { type ReviewRequest, refusalText, type Verdict, warningsOf } from "./review.ts";
import type { ClusterFacts, PodContext, SidecarSettings } from "./settings.ts";

export interface AdmissionOptions {
  readonly settings: SidecarSettings;
  readonly policy: InjectionPolicy;
  readonly accounts: AccountMatcher;
  readonly cluster: ClusterView;
  /** Certificates in PEM. */
  readonly trustAnchors: () => string;
  readonly metrics: InjectorMetrics;
  readonly log: Logger;
}

/** `byNamespace`: the webhook that goes by the namespace's label asks. */
export type Admit = (request: ReviewRequest, byNamespace: boolean, signal: AbortSignal) => Promise<Verdict>;

const allowed: Verdict = Object.freeze({ allowed: true });

export function createAdmission(options: AdmissionOptions): Admit {
  return async (request, byNamespace, signal) => {
    try {
      return await admit(options, request, byNamespace, signal);
    } catch (error) {
      return failed(options, request, error);
    }
  };
}

async function admit(options: AdmissionOptions, request: ReviewRequest, byNamespace: boolean, signal: AbortSignal): Promise<Verdict> {
  const { metrics, log, cluster } = options;
  if (request.kind !== "Pod") {
    log.error(`invalid kind for review: ${request.kind.slice(0, 80)}`);
    metrics.failed("", "pod_patch");
    return allowed;
  }
  // Containers can be added to a new pod only.
  if (request.operation !== "CREATE" && request.operation !== "") return allowed;
  if (request.subResource !== "") return allowed;
  const namespace = cluster.namespace(request.namespace);
  const label = byNamespace ? "enabled" : (namespace?.labels["dapr.io/inject"] ?? "");
  const namespaceInjects = label === "enabled";
  // Before anything of it is read: what is not ours must not be able to fail here.
  if (!concerns(request.object, namespaceInjects)) return allowed;
  const pod = readPod(request.object);
  const context: PodContext = {
    namespace: request.namespace,
    namespaceAnnotations: namespace?.annotations ?? {},
    namespaceInjects,
    componentContainers: [],
  };
  const refusal = refusalOf(request, label, options.policy, options.accounts);
  return refusal === null ? patched(options, request, pod, context, signal) : unauthorised(options, request, pod, refusal);
}

/** A quick look that spares pods without Dapr everything else. */
function concerns(object: unknown, namespaceInjects: boolean): boolean {
  const said = at(object, "metadata", "annotations", "dapr.io/enabled");
  if (said === undefined) return namespaceInjects;
  // Text that is neither true nor false is looked at too: its author gets to hear of it.
  return typeof said !== "string" || isEnabled(said) || !/^\s*(|n|no|false|f|off|0)\s*$/i.test(said);
}

function unauthorised({ log, metrics }: AdmissionOptions, request: ReviewRequest, pod: Pod, refusal: string): Verdict {
  log.error(refusal);
  metrics.failed(nameOf(pod), "pod_patch");
  const remedy = "allow the account with ALLOWED_SERVICE_ACCOUNTS, or label the namespace dapr.io/inject=enabled";
  return { allowed: true, warnings: [`no Dapr sidecar is injected into ${request.namespace}/${nameOf(pod)}: ${refusal}; ${remedy}`] };
}

async function patched(
  options: AdmissionOptions,
  request: ReviewRequest,
  pod: Pod,
  context: PodContext,
  signal: AbortSignal,
): Promise<Verdict> {
  const { log, metrics, settings, cluster } = options;
  const wanted = wantedBy(pod, context);
  if (wanted === null) return allowed;
  const name = nameOf(pod);
  log.info(
    `AdmissionReview for Kind=${request.kind}, Namespace=${request.namespace} Name=${request.name} (${pod.name}) UID=${request.uid} patchOperation=${request.operation} UserInfo=${request.username}`,
  );
  const componentContainers = wanted.values["inject-pluggable-components"]
    ? await componentsFor(options, request.namespace, wanted.values["app-id"] || pod.name, signal)
    : [];
  const facts: ClusterFacts = { trustAnchors: options.trustAnchors(), mtls: cluster.mtls, nativeSidecars: cluster.nativeSidecars };
  const injection = inject(pod, wanted, { ...context, componentContainers }, settings, facts);
  const warnings = warningsOf(injection.problems);
  switch (injection.kind) {
    case "skipped":
      return { allowed: true, warnings };
    case "refused": {
      const message = refusalText(injection.problems);
      log.error(`Sidecar injector failed to inject for app '${name}'. Error: ${message}`);
      metrics.failed(name, "patch");
      return { allowed: false, message, warnings };
    }
    case "patched":
      log.info(`Sidecar injector succeeded injection for app '${injection.appId}'`);
      metrics.succeeded(injection.appId);
      return { allowed: true, patch: injection.patch, warnings };
  }
}

async function componentsFor(
  { cluster, log }: AdmissionOptions,
  namespace: string,
  appId: string,
  signal: AbortSignal,
): Promise<readonly Container[]> {
  const components = await cluster.components(namespace, signal).catch((error: unknown) => {
    throw new Error(`error when fetching components: ${messageOf(error)}`, { cause: error });
  });
  return injectableContainers(components, appId, (problem) => log.warn(problem));
}

function failed({ log, metrics }: AdmissionOptions, request: ReviewRequest, error: unknown): Verdict {
  const message = error instanceof PodError ? `could not read the pod: ${error.message}` : messageOf(error);
  log.error(`Sidecar injector failed to inject for pod '${request.namespace}/${request.name}'. Error: ${message}`);
  metrics.failed("", error instanceof PodError ? "pod_patch" : "patch");
  return { allowed: false, message: `dapr.io: ${message}` };
}

/** For log and metrics only. */
function nameOf(pod: Pod): string {
  const appId = pod.annotations["dapr.io/app-id"];
  return appId || pod.name || pod.generateName;
}
