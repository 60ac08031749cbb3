import assert from "node:assert/strict";
import { test } from "node:test";
import type { PubSub } from "../../../components/pubsub/broker.ts";
import type { Loaded } from "../../contract/ports.ts";
import type { DeclaredSubscription } from "./ports.ts";
import { declare, httpApp, settle, type TestSidecar, testSidecar } from "./test-sidecar.ts";

const signal = new AbortController().signal;

interface Stage {
  readonly sidecar: TestSidecar;
  readonly declared: DeclaredSubscription[];
  readonly paths: string[];
  /** `+topic` and `-topic` as the broker saw them. */
  readonly broker: string[];
}

/** A sidecar whose declared subscriptions and components a test changes, and that notes what its broker is asked. */
function stage(answer: () => Promise<void> = async () => {}, subscribe: unknown = []): Stage {
  const declared: DeclaredSubscription[] = [];
  const paths: string[] = [];
  const broker: string[] = [];
  const channel = httpApp(subscribe, async (request) => {
    paths.push(request.method);
    await answer();
    return { status: 200 };
  });
  const memory = testSidecar().driver("mypub");
  const noting: PubSub = Object.assign(Object.create(memory), {
    publish: memory.publish.bind(memory),
    async subscribe(request: Parameters<PubSub["subscribe"]>[0], handler: Parameters<PubSub["subscribe"]>[1]) {
      const subscription = await memory.subscribe(request, handler, signal);
      broker.push(`+${request.topic}`);
      return {
        async stop() {
          await subscription.stop();
          broker.push(`-${request.topic}`);
        },
      };
    },
  });
  return { sidecar: testSidecar({ channel, declared, drivers: { mypub: noting } }), declared, paths, broker };
}

async function publish(on: Stage, topic: string): Promise<void> {
  const data = Buffer.from('{"id":"1"}');
  await (on.sidecar.components.get("mypub") as Loaded<PubSub>).driver.publish({ topic, data, contentType: "", metadata: {} }, signal);
  await settle();
}

test("what is new starts, what is gone or changed is drained, the rest is never touched", async () => {
  const on = stage();
  on.declared.push(declare("stays"), declare("goes"), declare("changes"));
  await on.sidecar.block.subscriptions.start();
  on.broker.length = 0;
  on.declared.splice(1, 2, declare("changes", { rules: [{ match: "", path: "/elsewhere" }] }), declare("new"));
  await on.sidecar.block.subscriptions.refresh();
  assert.deepEqual(on.broker.toSorted(), ["+changes", "+new", "-changes", "-goes"]);
  for (const topic of ["stays", "goes", "changes", "new"]) await publish(on, topic);
  assert.deepEqual(on.paths, ["stays", "elsewhere", "new"]);
  on.broker.length = 0;
  await on.sidecar.block.subscriptions.refresh();
  assert.deepEqual(on.broker, []);
  await on.sidecar.block.subscriptions.stop();
  assert.deepEqual(on.broker.toSorted(), ["-changes", "-new", "-stays"]);
});

test("an event in flight is finished before its subscription is gone", async () => {
  const reached = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const on = stage(() => {
    reached.resolve();
    return gate.promise;
  });
  on.declared.push(declare("t"));
  await on.sidecar.block.subscriptions.start();
  const published = publish(on, "t");
  await reached.promise;
  on.declared.length = 0;
  let refreshed = false;
  const refreshing = on.sidecar.block.subscriptions.refresh().then(() => {
    refreshed = true;
  });
  await settle();
  assert.equal(refreshed, false);
  gate.resolve();
  await Promise.all([refreshing, published]);
  assert.deepEqual(on.broker, ["+t", "-t"]);
});

test("a component that goes takes its subscriptions along, and the app's own come back with the next one", async () => {
  const on = stage(undefined, [{ pubsubname: "mypub", topic: "own", route: "/own" }]);
  on.declared.push(declare("t"));
  const component = on.sidecar.components.get("mypub") as Loaded<PubSub>;
  on.sidecar.components.delete("mypub");
  await on.sidecar.block.subscriptions.start();
  assert.deepEqual([on.broker, on.paths], [[], []]);
  on.sidecar.components.set("mypub", component);
  await on.sidecar.block.subscriptions.refresh();
  assert.deepEqual(on.broker.splice(0).toSorted(), ["+own", "+t"]);
  on.sidecar.components.set("mypub", { ...component });
  await on.sidecar.block.subscriptions.refresh();
  assert.deepEqual(on.broker.splice(0).toSorted(), ["+own", "+t", "-own", "-t"]);
  on.sidecar.components.delete("mypub");
  await on.sidecar.block.subscriptions.refresh();
  assert.deepEqual(on.broker.splice(0).toSorted(), ["-own", "-t"]);
  assert.equal(on.sidecar.lines.filter(({ message }) => message.startsWith("app is subscribed")).length, 1);
});

test("nothing starts before start() and after stop()", async () => {
  const on = stage();
  on.declared.push(declare("t"));
  await on.sidecar.block.subscriptions.refresh();
  await on.sidecar.block.subscriptions.start();
  await on.sidecar.block.subscriptions.stop();
  await on.sidecar.block.subscriptions.refresh();
  assert.deepEqual(on.broker, ["+t", "-t"]);
});
