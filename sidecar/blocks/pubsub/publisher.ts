// The one way to a broker: publish API, bulk publish and dead letters all go through it, so that scopes, namespace prefix and outbound
// resiliency hold for each.
import type { BulkEntry, BulkPublishRequest, FailedEntry, PubSub } from "../../../components/pubsub/broker.ts";
import type { Loaded } from "../../contract/ports.ts";
import { publishBulk } from "./bulk-to-broker.ts";
import { forbidden, notFound } from "./errors.ts";
import type { PubSubPorts } from "./ports.ts";
import { compileTopicRules, type TopicRules } from "./scopes.ts";

export interface Outgoing {
  readonly topic: string;
  readonly data: Uint8Array;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
}

type PublisherPorts = Pick<PubSubPorts, "identity" | "components" | "policies" | "isNamespaced">;

export class Publisher {
  readonly #ports: PublisherPorts;
  readonly #rules = new WeakMap<Loaded<PubSub>, TopicRules>();

  constructor(ports: PublisherPorts) {
    this.#ports = ports;
  }

  /** Rejects with ApiError when the component is unknown or the topic is not for this app, else with what the broker says. */
  publish(pubsubName: string, message: Outgoing, signal: AbortSignal): Promise<void> {
    const { component, topic } = this.#target(pubsubName, message.topic);
    const request = { ...message, topic };
    const policy = this.#ports.policies.outbound(pubsubName, "Pubsub");
    if (policy === null) return component.driver.publish(request, signal);
    return policy.run((attempt) => component.driver.publish(request, attempt), signal);
  }

  /**
   * Resolves with the entries that the broker did not take, none when all is well. What a retry policy tries again is these alone. Rejects with
   * ApiError as `publish` does, before anything is published.
   */
  async bulkPublish(pubsubName: string, request: BulkPublishRequest, signal: AbortSignal): Promise<readonly FailedEntry[]> {
    const { component, topic } = this.#target(pubsubName, request.topic);
    let remaining: readonly BulkEntry[] = request.entries;
    let failed: readonly FailedEntry[] = [];
    const attempt = async (attemptSignal: AbortSignal) => {
      failed = [];
      failed = await publishBulk(component.driver, { ...request, topic, entries: remaining }, attemptSignal);
      const [first] = failed;
      if (first === undefined) return;
      const ids = new Set(failed.map(({ entryId }) => entryId));
      remaining = remaining.filter(({ entryId }) => ids.has(entryId));
      throw first.error;
    };
    const policy = this.#ports.policies.outbound(pubsubName, "Pubsub");
    try {
      await (policy === null ? attempt(signal) : policy.run(attempt, signal));
      return [];
    } catch (error) {
      // The broker said nothing of the last attempt when that ended otherwise: by its time, a breaker, or for all of it.
      return failed.length > 0 ? failed : remaining.map(({ entryId }) => ({ entryId, error }));
    }
  }

  #target(pubsubName: string, topic: string): { component: Loaded<PubSub>; topic: string } {
    const component = this.#ports.components.get(pubsubName);
    if (component === undefined) throw notFound(pubsubName, {});
    const rules = this.rulesOf(component);
    if (!rules.mayPublish(topic)) throw forbidden(pubsubName, topic, this.#ports.identity.appId);
    return { component, topic: rules.atBroker(topic) };
  }

  rulesOf(component: Loaded<PubSub>): TopicRules {
    let rules = this.#rules.get(component);
    if (rules === undefined) {
      rules = compileTopicRules(component, this.#ports.identity, this.#ports.isNamespaced(component.name));
      this.#rules.set(component, rules);
    }
    return rules;
  }
}
