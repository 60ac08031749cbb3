// The one way to a broker: publish API, bulk publish and dead letters all go through it, so that scopes, namespace prefix and outbound
// resiliency hold for each.
import type { PubSub } from "../../../components/pubsub/broker.ts";
import type { Loaded } from "../../contract/ports.ts";
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
    const component = this.#ports.components.get(pubsubName);
    if (component === undefined) throw notFound(pubsubName, {});
    const rules = this.rulesOf(component);
    if (!rules.mayPublish(message.topic)) throw forbidden(pubsubName, message.topic, this.#ports.identity.appId);
    const request = { ...message, topic: rules.atBroker(message.topic) };
    const policy = this.#ports.policies.outbound(pubsubName, "Pubsub");
    if (policy === null) return component.driver.publish(request, signal);
    return policy.run((attempt) => component.driver.publish(request, attempt), signal);
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
