// Who may publish and subscribe to what (inventory §5.2): `publishingScopes` and `subscriptionScopes` of the form `app=topic1,topic2;app2=`,
// `allowedTopics` and `protectedTopics`, and the namespace that keeps topics apart. Compiled once per component, asked per publish.
import type { PubSub } from "../../../components/pubsub/broker.ts";
import type { Identity, Loaded } from "../../contract/ports.ts";

export interface TopicRules {
  mayPublish(topic: string): boolean;
  maySubscribe(topic: string): boolean;
  /** The topic at the broker. Rules are about names without the prefix. */
  atBroker(topic: string): string;
  fromBroker(topic: string): string;
}

export function compileTopicRules(
  component: Loaded<PubSub>,
  identity: Pick<Identity, "appId" | "namespace">,
  namespaced: boolean,
): TopicRules {
  const allowed = listOf(component.property("allowedTopics"));
  const isProtected = listOf(component.property("protectedTopics"));
  const guard = (scopes: ReadonlySet<string>) => (topic: string) => {
    if (allowed.size > 0 && !allowed.has(topic)) return false;
    return (scopes.size === 0 && !isProtected.has(topic)) || scopes.has(topic);
  };
  const prefix = namespaced ? identity.namespace : "";
  return {
    mayPublish: guard(scopeOf(component.property("publishingScopes"), identity.appId)),
    maySubscribe: guard(scopeOf(component.property("subscriptionScopes"), identity.appId)),
    atBroker: (topic) => prefix + topic,
    fromBroker: (topic) => (prefix !== "" && topic.startsWith(prefix) ? topic.slice(prefix.length) : topic),
  };
}

function listOf(value: string | undefined): ReadonlySet<string> {
  return value ? new Set(value.replaceAll(" ", "").split(",")) : nothing;
}

const nothing: ReadonlySet<string> = new Set();

/** The topics named for the app. An app that is named without topics gets the topic "", that is none; one that is not named gets no list. */
function scopeOf(value: string | undefined, appId: string): ReadonlySet<string> {
  const topics = new Set<string>();
  for (const scope of (value ?? "").replaceAll(" ", "").split(";")) {
    const [app, list] = scope.split("=");
    if (app !== appId || list === undefined) continue;
    for (const topic of list.split(",")) topics.add(topic);
  }
  return topics;
}
