// Keeps a Service for every annotated workload, as planned by plan.ts, by server-side apply: what others set on it stays.
// Where two workloads have one app id, the Service stays with the one that has it, and the other is told by an Event.
import type { Clock } from "../../../lib/kit/clock.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import type { KubeClient } from "../../../lib/kube/client.ts";
import { isStatus } from "../../../lib/kube/error.ts";
import { Informer } from "../../../lib/kube/informer.ts";
import type { MirrorEvent } from "../../../lib/kube/mirror.ts";
import { type KubeObject, keyOf, splitKey } from "../../../lib/kube/object.ts";
import type { EventRecorder } from "../../../lib/kube/recorder.ts";
import { type KubeResource, kubeResources } from "../../../lib/kube/resource.ts";
import { WorkQueue } from "../../../lib/kube/work-queue.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { OperatorMetrics } from "../../../lib/telemetry/operator-metrics.ts";
import { appIdOfWorkload, controllerOf, planService, serviceName, slimWorkload, type Workload } from "./plan.ts";

export interface ServicesOptions {
  readonly client: KubeClient;
  readonly resources: readonly KubeResource[];
  /** Null: all. */
  readonly namespace: string | null;
  readonly recorder: EventRecorder;
  readonly metrics: OperatorMetrics;
  readonly clock: Clock;
  readonly log: Logger;
}

export const serviceFieldManager = "outrigger-operator";
const { services } = kubeResources;
const separator = " ";

export class ServicesController {
  readonly #options: ServicesOptions;
  readonly #workloads: ReadonlyMap<string, Informer>;
  readonly #services: Informer;
  readonly #queue: WorkQueue;
  /** What was applied last, by workload: a workload's status changes often, and its Service need not. */
  readonly #applied = new Map<string, string>();

  constructor(options: ServicesOptions) {
    this.#options = options;
    const { client, resources, namespace, clock, log } = options;
    const inform = (resource: KubeResource, more: object) =>
      new Informer({ client, resource, clock, log: log.scope(`dapr.operator.informer.${resource.kind.toLowerCase()}`), ...more });
    this.#workloads = new Map(
      resources.map((resource) => [resource.plural, inform(resource, { selection: { namespace }, transform: slimWorkload })]),
    );
    this.#services = inform(services, { selection: { namespace, labelSelector: "dapr.io/enabled=true" } });
    this.#queue = new WorkQueue({
      name: "Service of",
      work: (key, signal) => this.#reconcile(key, signal),
      log,
      clock,
      onFailure: (key, error) => this.#failed(key, error),
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const informers = [...this.#workloads.values(), this.#services];
    for (const [plural, informer] of this.#workloads) {
      informer.subscribe(({ object }) => this.#queue.add(`${plural}${separator}${keyOf(object)}`));
    }
    this.#services.subscribe((event) => this.#serviceChanged(event));
    const running = informers.map((informer) => informer.run(signal));
    await Promise.race([Promise.all(informers.map(({ synced }) => synced)), ...running]);
    await Promise.all([...running, this.#queue.run(signal)]);
  }

  /** Somebody else changed or deleted a Service: whoever wants it looks again. */
  #serviceChanged({ type, object }: MirrorEvent): void {
    if (type === "added") return;
    const { namespace = "", name = "" } = object.metadata;
    for (const [plural, informer] of this.#workloads) {
      for (const workload of informer.values(namespace)) {
        if (serviceName(appIdOfWorkload(workload)) !== name) continue;
        const key = `${plural}${separator}${keyOf(workload)}`;
        if (type === "deleted") this.#applied.delete(key);
        this.#queue.add(key);
      }
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<null> {
    const workload = this.#workload(key);
    const plan = workload === null ? null : planService(workload);
    if (workload === null || plan === null || plan.kind === "none") {
      this.#applied.delete(key);
      return null;
    }
    if (plan.kind === "refused") {
      this.#warn(workload, "ServiceRefused", plan.cause);
      return null;
    }
    const { namespace = "" } = workload.object.metadata;
    const present = this.#services.get(namespace, plan.name) ?? (await this.#options.client.get(services, namespace, plan.name, signal));
    const wanted = JSON.stringify(plan.service);
    if (present !== null && this.#applied.get(key) === wanted && isKept(present, plan.service)) return null;
    if (present !== null && this.#isAnothers(present, workload.object)) {
      const owner = controllerOf(present);
      this.#warn(
        workload,
        "ServiceConflict",
        `the Service ${plan.name} belongs to ${owner?.kind} ${owner?.name}, which has the same app id`,
      );
      return null;
    }
    await this.#apply(workload, plan.name, plan.service, present, signal);
    this.#applied.set(key, wanted);
    this.#options.metrics[present === null ? "serviceCreated" : "serviceUpdated"](plan.appId);
    this.#options.log.debug(`${present === null ? "created" : "updated"} service: ${namespace}/${plan.name}`);
    return null;
  }

  async #apply(workload: Workload, name: string, service: object, present: KubeObject | null, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const { namespace = "" } = workload.object.metadata;
    const owner = present === null ? null : controllerOf(present);
    // Its last owner is gone: server-side apply would keep that reference beside ours, and the API server takes one controller.
    if (owner !== null && owner.uid !== workload.object.metadata.uid) {
      await client.patch(services, namespace, name, "merge", { metadata: { ownerReferences: null } }, signal);
    }
    await client.apply(
      services,
      namespace,
      name,
      service as Record<string, unknown>,
      { fieldManager: serviceFieldManager, force: true },
      signal,
    );
  }

  /** Whether a Service belongs to another workload that exists and still wants it. */
  #isAnothers(service: KubeObject, workload: KubeObject): boolean {
    const owner = controllerOf(service);
    if (owner === null || owner.uid === workload.metadata.uid) return false;
    const { namespace = "", name = "" } = service.metadata;
    const wants = (one: KubeObject) => one.metadata.uid === owner.uid && serviceName(appIdOfWorkload(one)) === name;
    return [...this.#workloads.values()].some((informer) => [...informer.values(namespace)].some(wants));
  }

  #workload(key: string): Workload | null {
    const [plural = "", rest = ""] = key.split(separator);
    const { namespace, name } = splitKey(rest);
    const object = this.#workloads.get(plural)?.get(namespace, name) ?? null;
    const resource = this.#options.resources.find((one) => one.plural === plural);
    return object === null || resource === undefined ? null : { resource, object };
  }

  #warn({ resource, object }: Workload, reason: string, cause: string): void {
    this.#options.log.warn(`${resource.kind} ${keyOf(object)}: ${cause}`);
    this.#options.recorder.record(resource, object, "Warning", reason, cause);
  }

  #failed(key: string, error: unknown): void {
    this.#options.metrics.reconcileFailed("services");
    const workload = this.#workload(key);
    // What the API server does not take, the user must know of; what it cannot do now, it will do later.
    if (workload !== null && isStatus(error, 400, 422)) this.#warn(workload, "ServiceRefused", messageOf(error));
  }
}

/** Whether a Service still has everything that we want of it. */
function isKept(present: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return Array.isArray(present) && present.length === wanted.length && wanted.every((item, index) => isKept(present[index], item));
  }
  if (typeof wanted !== "object" || wanted === null) return present === wanted;
  if (typeof present !== "object" || present === null) return false;
  return Object.entries(wanted).every(([name, value]) => isKept((present as Record<string, unknown>)[name], value));
}
