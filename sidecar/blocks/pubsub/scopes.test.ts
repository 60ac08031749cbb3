import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PubSub } from "../../../components/pubsub/broker.ts";
import type { Loaded } from "../../contract/ports.ts";
import { compileTopicRules, type TopicRules } from "./scopes.ts";

function rules(properties: Record<string, string>, namespaced = false): TopicRules {
  const lower = new Map(Object.entries(properties).map(([name, value]) => [name.toLowerCase(), value]));
  const component = { name: "p", type: "pubsub.x", version: "v1", driver: null, property: (name: string) => lower.get(name.toLowerCase()) };
  return compileTopicRules(component as unknown as Loaded<PubSub>, { appId: "app1", namespace: "ns" }, namespaced);
}

describe("topic rules", () => {
  const cases: readonly [string, Record<string, string>, string, boolean][] = [
    ["nothing set", {}, "a", true],
    ["empty scopes", { publishingScopes: "" }, "a", true],
    ["own scope", { publishingScopes: "app1=a, b ;app2=c" }, "b", true],
    ["own scope, other topic", { publishingScopes: "app1=a,b;app2=c" }, "c", false],
    ["scope of others only", { publishingScopes: "app2=c" }, "a", true],
    ["named without topics", { publishingScopes: "app1=;app2=c" }, "c", false],
    ["named without equals sign", { publishingScopes: "app1;app2=c" }, "c", true],
    ["key in another case", { PUBLISHINGSCOPES: "app1=a" }, "b", false],
    ["allowed", { allowedTopics: "a, b" }, "b", true],
    ["not allowed", { allowedTopics: "a,b" }, "c", false],
    ["allowed, out of scope", { allowedTopics: "a,b", publishingScopes: "app1=a" }, "b", false],
    ["protected", { protectedTopics: "a" }, "a", false],
    ["protected, in scope", { protectedTopics: "a", publishingScopes: "app1=a" }, "a", true],
    ["another one protected", { protectedTopics: "a" }, "b", true],
  ];
  for (const [name, properties, topic, expected] of cases) {
    it(`publishing: ${name}`, () => assert.equal(rules(properties).mayPublish(topic), expected));
    const forSubscribers = Object.fromEntries(
      Object.entries(properties).map(([key, value]) => [key.replace(/publishing/i, "subscription"), value]),
    );
    it(`subscribing: ${name}`, () => assert.equal(rules(forSubscribers).maySubscribe(topic), expected));
  }

  it("keeps the scopes of publishers and subscribers apart", () => {
    assert.equal(rules({ publishingScopes: "app1=a" }).maySubscribe("b"), true);
  });

  it("puts the namespace before topics, and takes it off once", () => {
    const namespaced = rules({}, true);
    assert.deepEqual(
      [namespaced.atBroker("t"), namespaced.fromBroker("nst"), namespaced.fromBroker("nsns"), namespaced.fromBroker("t")],
      ["nst", "t", "ns", "t"],
    );
    assert.deepEqual([rules({}).atBroker("t"), rules({}).fromBroker("nst")], ["t", "nst"]);
  });
});
