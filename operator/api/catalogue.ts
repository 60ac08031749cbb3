// The kinds of resources that sidecars are told of, as data: where they live, and how they refer to secrets. One informer
// per kind serves every caller; a kind whose CRD is not there counts as empty.
import type { Clock } from "../../lib/kit/clock.ts";
import { GrpcCode } from "../../lib/kit/errors.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { Informer } from "../../lib/kube/informer.ts";
import type { MirrorEvent } from "../../lib/kube/mirror.ts";
import type { KubeObject } from "../../lib/kube/object.ts";
import { daprResources } from "../../lib/kube/resource.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import { GrpcStatusError } from "../../lib/wire/grpc/types.ts";
import { type Caller, isVisible } from "./caller.ts";
import { type Change, ChangeQueue, changeFor } from "./changes.ts";
import { componentSecrets, configurationSecrets, httpEndpointSecrets, mcpServerSecrets, noSecrets } from "./secret-references.ts";

export const kinds = Object.freeze({
  components: { resource: daprResources.components, secrets: componentSecrets },
  configurations: { resource: daprResources.configurations, secrets: configurationSecrets },
  subscriptions: { resource: daprResources.subscriptions, secrets: noSecrets },
  resiliencies: { resource: daprResources.resiliencies, secrets: noSecrets },
  httpEndpoints: { resource: daprResources.httpEndpoints, secrets: httpEndpointSecrets },
  mcpServers: { resource: daprResources.mcpServers, secrets: mcpServerSecrets },
  workflowAccessPolicies: { resource: daprResources.workflowAccessPolicies, secrets: noSecrets },
});

export type Kind = keyof typeof kinds;

export function kindOf(object: KubeObject): Kind | null {
  return (Object.keys(kinds) as Kind[]).find((kind) => kinds[kind].resource.kind === object.kind) ?? null;
}

export interface CatalogueOptions {
  readonly client: KubeClient;
  /** Null: all. */
  readonly namespace: string | null;
  readonly relistMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

type Follower = (event: MirrorEvent) => void;

export class Catalogue {
  readonly #informers: ReadonlyMap<Kind, Informer>;
  readonly #followers = new Map<Kind, Map<ChangeQueue, Follower>>();

  constructor({ client, namespace, relistMs, clock, log }: CatalogueOptions) {
    const make = (kind: Kind): readonly [Kind, Informer] => {
      const { resource } = kinds[kind];
      const scope = log.scope(`dapr.operator.informer.${resource.kind.toLowerCase()}`);
      return [kind, new Informer({ client, resource, selection: { namespace }, relistMs, clock, log: scope })];
    };
    this.#informers = new Map((Object.keys(kinds) as Kind[]).map(make));
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.run(signal)));
  }

  /** Resolves once every kind has been listed. */
  async synced(): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.synced));
  }

  /** Throws UNAVAILABLE as long as nothing is known of the kind. */
  list(kind: Kind, caller: Caller): readonly KubeObject[] {
    return [...this.#known(kind).values(caller.namespace)].filter((object) => isVisible(object, caller));
  }

  /** One of the caller's namespace, whatever its scopes; null: there is none. */
  get(kind: Kind, caller: Caller, name: string): KubeObject | null {
    return this.#known(kind).get(caller.namespace, name);
  }

  /** Changes that `wants` takes, from now until the signal aborts or `close` is called. */
  async *follow(kind: Kind, caller: Caller, wants: (change: Change) => boolean, signal: AbortSignal): AsyncGenerator<Change> {
    const queue = new ChangeQueue();
    const tell: Follower = (event) => {
      const change = changeFor(caller, event);
      if (change !== null && wants(change)) queue.push(change);
    };
    const stop = this.#informer(kind).subscribe(tell);
    const followers = this.#followers.get(kind) ?? new Map<ChangeQueue, Follower>();
    this.#followers.set(kind, followers.set(queue, tell));
    try {
      for (let change = await queue.next(signal); change !== null; change = await queue.next(signal)) yield change;
    } finally {
      stop();
      followers.delete(queue);
    }
  }

  /** As it stands now, for nobody in particular; null: it is gone. */
  current(kind: Kind, namespace: string, name: string): KubeObject | null {
    return this.#informer(kind).get(namespace, name);
  }

  /** As if it had changed. */
  tellAgain(kind: Kind, object: KubeObject): void {
    for (const tell of this.#followers.get(kind)?.values() ?? []) tell({ type: "updated", object, old: object });
  }

  /** Ends all that follow. */
  close(): void {
    for (const queues of this.#followers.values()) for (const queue of queues.keys()) queue.close();
  }

  /** How many streams follow a kind. */
  followers(kind: Kind): number {
    return this.#followers.get(kind)?.size ?? 0;
  }

  #informer(kind: Kind): Informer {
    return this.#informers.get(kind) as Informer;
  }

  #known(kind: Kind): Informer {
    const informer = this.#informer(kind);
    if (informer.isSynced) return informer;
    const cause = informer.trouble ?? "the first list is under way";
    throw new GrpcStatusError(GrpcCode.UNAVAILABLE, `the operator does not know the ${kinds[kind].resource.plural} yet: ${cause}`);
  }
}
