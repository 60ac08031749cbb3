import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { PubSub } from "../../../components/pubsub/broker.ts";
import { FakeClock } from "../../../lib/kit/fake-clock.ts";
import {
  TopicEventResponseSchema,
  TopicRoutesSchema,
  TopicRuleSchema,
  TopicSubscriptionSchema,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { silentLogger } from "../../../lib/telemetry/log.ts";
import { GrpcCode, GrpcStatusError } from "../../../lib/wire/grpc/types.ts";
import type { AppChannel } from "../../contract/ports.ts";
import { parseSubscriptions } from "./discovery.ts";
import { declare, grpcApp, httpApp, settle, testSidecar } from "./test-sidecar.ts";

const signal = new AbortController().signal;
const event = Buffer.from('{"id":"1"}');

function publish(driver: PubSub, topic: string): Promise<void> {
  return driver.publish({ topic, data: event, contentType: "", metadata: {} }, signal);
}

describe("the app's own subscriptions over HTTP", () => {
  const parse = (value: unknown) => parseSubscriptions(typeof value === "string" ? value : JSON.stringify(value), silentLogger);

  it("reads route, routes and defaults", () => {
    const [one, two, three, ...none] = parse([
      { pubsubname: "p", topic: "a", route: "/a", deadLetterTopic: "d", metadata: { k: "v" } },
      { pubsubname: "p", topic: "b", route: "/r", routes: { rules: [{ match: "event.x == 1", path: "/1" }], default: "/d" } },
      { PubsubName: "p", Topic: "c", Routes: { Rules: [{ Path: "/c" }] }, bulkSubscribe: { enabled: true, maxMessagesCount: 5 } },
      { pubsubname: "p", topic: "nowhere" },
      { pubsubname: "p", topic: "nowhere", routes: {} },
    ]);
    assert.deepEqual(one?.rules, [{ match: "", path: "/a" }]);
    assert.deepEqual([one?.deadLetterTopic, { ...one?.metadata }, one?.bulk], ["d", { k: "v" }, null]);
    assert.deepEqual(two?.rules, [
      { match: "event.x == 1", path: "/1" },
      { match: "", path: "/d" },
    ]);
    assert.deepEqual(
      [three?.pubsubName, three?.topic, three?.rules, three?.bulk],
      ["p", "c", [{ match: "", path: "/c" }], { maxMessages: 5, maxAwaitMs: 1000 }],
    );
    assert.deepEqual(none, []);
  });

  it("takes an empty answer and null for none, and nothing else that is not a list of objects", () => {
    for (const text of ["", " ", "null", "[]"]) assert.deepEqual(parse(text), []);
    for (const text of ["{}", "[1]", '["a"]', "[[]]", "nope", '[{"topic":5}]', '[{"metadata":{"a":1}}]', '[{"routes":[]}]']) {
      assert.throws(() => parse(text), Error, text);
    }
    assert.deepEqual(parse('[{"__proto__":{"topic":"x"},"pubsubname":"p","route":"/"}]')[0]?.topic, "");
  });
});

describe("which subscriptions count", () => {
  const paths: string[] = [];
  const channel = httpApp(
    [
      { pubsubname: "mypub", topic: "both", route: "/app" },
      { pubsubname: "mypub", topic: "twice", route: "/1" },
      { pubsubname: "mypub", topic: "twice", route: "/2" },
    ],
    (request) => {
      paths.push(request.method);
      return { status: 200 };
    },
  );
  const to = (path: string) => ({ rules: [{ match: "", path }] });
  const declared = [
    declare("both", to("/declared")),
    declare("first", to("/first")),
    declare("first", to("/second")),
    declare("others", { ...to("/others"), scopes: ["someone"] }),
    declare("mine", { ...to("/mine"), scopes: ["someone", "myapp"] }),
    declare("elsewhere", { pubsubName: "missing" }),
  ];

  it("the first declared one, unless the app has one; scopes apply; missing components are listed only", async () => {
    const sidecar = testSidecar({ channel, declared });
    assert.equal(sidecar.block.subscriptions.list().length, 4);
    await sidecar.block.subscriptions.start();
    for (const topic of ["both", "first", "others", "mine", "twice"]) await publish(sidecar.driver("mypub"), topic);
    await settle();
    await sidecar.block.subscriptions.stop();
    assert.deepEqual(paths, ["app", "first", "mine", "2"]);
    assert.deepEqual(
      sidecar.block.subscriptions.list().map(({ topic, type }) => `${topic} ${type}`),
      ["both PROGRAMMATIC", "first DECLARATIVE", "mine DECLARATIVE", "elsewhere DECLARATIVE", "twice PROGRAMMATIC"],
    );
    const line = "app is subscribed to the following topics: [[both twice twice]] through pubsub=mypub";
    assert.ok(sidecar.lines.some(({ message }) => message === line));
  });
});

describe("the life of subscriptions", () => {
  it("asks the app once, and not at all with its init endpoint disabled", async () => {
    let asked = 0;
    const channel = httpApp([], () => ({ status: 200 }));
    const counting: AppChannel = {
      ...channel,
      invoke(request, abort) {
        if (request.method === "dapr/subscribe") asked++;
        return channel.invoke(request, abort);
      },
    };
    const sidecar = testSidecar({ channel: counting });
    for (let round = 0; round < 2; round++) {
      await sidecar.block.subscriptions.start();
      await sidecar.block.subscriptions.start();
      await sidecar.block.subscriptions.stop();
    }
    assert.equal(asked, 1);
    const silent = testSidecar({ channel: counting, asksApp: false });
    await silent.block.subscriptions.start();
    assert.equal(asked, 1);
    assert.match(silent.lines[0]?.message ?? "", /^Skipping programmatic subscription loading/);
  });

  it("does without an app channel, and without components", async () => {
    const sidecar = testSidecar({ channel: null, declared: [declare("t")] });
    await sidecar.block.subscriptions.start();
    assert.match(sidecar.lines[0]?.message ?? "", /^app channel not initialized/);
    assert.equal(sidecar.block.subscriptions.list().length, 1);
    await sidecar.block.subscriptions.stop();
    await testSidecar({ components: {} }).block.subscriptions.start();
  });

  it("asks again when the app does not answer, then goes on with what is declared", async () => {
    const clock = new FakeClock();
    let asked = 0;
    const channel: AppChannel = { protocol: "http", grpc: null, invoke: () => Promise.reject(new Error(`connection refused ${++asked}`)) };
    const sidecar = testSidecar({ channel, clock, declared: [declare("t")] });
    const started = sidecar.block.subscriptions.start();
    for (const pause of [500, 750, 1000]) {
      await clock.untilWaiting();
      await clock.advance(pause);
    }
    await started;
    assert.equal(asked, 4);
    assert.ok(
      sidecar.lines.some(({ level, message }) => level === "error" && message === "error getting topics from app: connection refused 4"),
    );
    await publish(sidecar.driver("mypub"), "t");
    await settle();
    assert.equal(asked, 5);
    await sidecar.block.subscriptions.stop();
  });

  it("tries a subscription again that the broker refused, and gives up when it is stopped", async () => {
    const clock = new FakeClock();
    const memory = testSidecar({ clock }).driver("mypub");
    let tries = 0;
    const stubborn: PubSub = Object.assign(Object.create(memory), {
      publish: memory.publish.bind(memory),
      subscribe: (request: never, handler: never) =>
        ++tries < 3 ? Promise.reject(new Error("not yet")) : memory.subscribe(request, handler, signal),
    });
    const delivered = Promise.withResolvers<void>();
    const channel = httpApp([], () => {
      delivered.resolve();
      return { status: 200 };
    });
    const sidecar = testSidecar({ channel, clock, drivers: { mypub: stubborn }, declared: [declare("t")] });
    await sidecar.block.subscriptions.start();
    const failed = "Failed to start subscription for pubsub mypub, topic t: failed to subscribe to topic t: not yet";
    assert.ok(sidecar.lines.some(({ message }) => message === failed));
    for (const pause of [500, 750]) {
      await clock.untilWaiting();
      await clock.advance(pause);
    }
    await settle();
    await publish(stubborn, "t");
    await delivered.promise;
    await sidecar.block.subscriptions.stop();
    assert.equal(tries, 3);
    tries = -100;
    await sidecar.block.subscriptions.start();
    await sidecar.block.subscriptions.stop();
    assert.equal(tries, -99);
  });

  it("does not start what scopes forbid and what is no CEL, and starts the rest", async () => {
    const clock = new FakeClock();
    const paths: string[] = [];
    const channel = httpApp([], (request) => {
      paths.push(request.method);
      return { status: 200 };
    });
    const declared = [declare("forbidden"), declare("cel", { rules: [{ match: "event.type ==", path: "/cel" }] }), declare("t")];
    const components = { mypub: { subscriptionScopes: "myapp=cel,t" } };
    const sidecar = testSidecar({ channel, clock, declared, components });
    await sidecar.block.subscriptions.start();
    for (const topic of ["forbidden", "cel", "t"]) await publish(sidecar.driver("mypub"), topic);
    await settle();
    await sidecar.block.subscriptions.stop();
    assert.deepEqual(paths, ["t"]);
    assert.equal(sidecar.lines.filter(({ message }) => message.startsWith("Failed to start subscription")).length, 2);
    assert.ok(sidecar.lines.some(({ message }) => message.endsWith("subscription to topic 'forbidden' on pubsub 'mypub' is not allowed")));
  });

  it("drains: waits for what is in flight, and sends none of it to the dead letter topic", async () => {
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const paths: string[] = [];
    const channel = httpApp([], async (request) => {
      paths.push(request.method);
      reached.resolve();
      await gate.promise;
      return { status: 500 };
    });
    const sidecar = testSidecar({ channel, declared: [declare("t", { deadLetterTopic: "dead" }), declare("dead")] });
    await sidecar.block.subscriptions.start();
    await publish(sidecar.driver("mypub"), "t");
    await reached.promise;
    let stopped = false;
    const stopping = sidecar.block.subscriptions.stop().then(() => {
      stopped = true;
    });
    await settle();
    assert.equal(stopped, false);
    gate.resolve();
    await stopping;
    await settle();
    assert.deepEqual(paths, ["t"]);
  });

  it("puts the namespace before the topics it subscribes to, and takes it off what arrives", async () => {
    const topics: string[] = [];
    const channel = grpcApp([], (request) => {
      topics.push(request.topic);
      return create(TopicEventResponseSchema);
    });
    const sidecar = testSidecar({ channel, declared: [declare("t")], namespaced: ["mypub"] });
    await sidecar.block.subscriptions.start();
    await publish(sidecar.driver("mypub"), "nst");
    await publish(sidecar.driver("mypub"), "t");
    await settle();
    await sidecar.block.subscriptions.stop();
    assert.deepEqual(topics, ["t"]);
  });
});

describe("the app's own subscriptions over gRPC", () => {
  it("delivers to the matching path, and to the empty path without routes", async () => {
    const paths: string[] = [];
    const rules = [create(TopicRuleSchema, { match: 'event.id == "1"', path: "/rule" })];
    const subscriptions = [
      create(TopicSubscriptionSchema, { pubsubName: "mypub", topic: "none" }),
      create(TopicSubscriptionSchema, {
        pubsubName: "mypub",
        topic: "rules",
        routes: create(TopicRoutesSchema, { rules, default: "/default" }),
      }),
    ];
    const channel = grpcApp(subscriptions, (request) => {
      paths.push(request.path);
      return create(TopicEventResponseSchema);
    });
    const sidecar = testSidecar({ channel });
    await sidecar.block.subscriptions.start();
    await publish(sidecar.driver("mypub"), "none");
    await publish(sidecar.driver("mypub"), "rules");
    await settle();
    await sidecar.block.subscriptions.stop();
    assert.deepEqual(paths, ["", "/rule"]);
  });

  it("takes UNIMPLEMENTED for none", async () => {
    const channel = grpcApp([], () => create(TopicEventResponseSchema));
    const call = () => Promise.reject(new GrpcStatusError(GrpcCode.UNIMPLEMENTED, "no"));
    const sidecar = testSidecar({ channel: { ...channel, grpc: { call, forward: () => Promise.reject(new Error("not here")) } } });
    await sidecar.block.subscriptions.start();
    assert.equal(sidecar.lines[0]?.message, "pubsub subscriptions: gRPC app does not implement ListTopicSubscriptions");
    assert.deepEqual(sidecar.block.subscriptions.list(), []);
  });
});
