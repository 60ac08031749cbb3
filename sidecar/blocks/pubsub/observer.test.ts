import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PubSubObserver } from "../../../lib/telemetry/pubsub-metrics.ts";
import type { HttpRequest } from "../../contract/http.ts";
import { declare, httpApp, settle, testSidecar } from "./test-sidecar.ts";

const signal = new AbortController().signal;

/** Notes what it is told, times left out. */
class Notes implements PubSubObserver {
  readonly notes: string[] = [];
  published = (component: string, topic: string, success: boolean) => void this.notes.push(`published ${component} ${topic} ${success}`);
  bulkPublished = (component: string, topic: string, success: boolean) => void this.notes.push(`bulk ${component} ${topic} ${success}`);
  delivered = (component: string, topic: string, processed: string, status: string, ms: number | null) =>
    void this.notes.push(`delivered ${component} ${topic} ${processed} ${status}${ms === null ? " untimed" : ""}`);
  bulkDelivered = (component: string, topic: string, events: object) =>
    void this.notes.push(`bulk delivered ${component} ${topic} ${JSON.stringify(events)}`);
}

describe("what is counted", () => {
  const bulkSubscribe = { enabled: true, maxMessagesCount: 1, maxAwaitDurationMs: 0 };
  const declared = [
    declare("ok"),
    declare("dropped"),
    declare("refused"),
    declare("dead", { deadLetterTopic: "ok" }),
    declare("unwanted", { rules: [{ match: "false", path: "/" }] }),
    declare("bulk", { bulkSubscribe }),
  ];
  const answers: Record<string, number> = { dropped: 404, refused: 500, dead: 500 };
  const channel = httpApp([], (request) => ({ status: answers[request.method] ?? 200 }));

  async function told(topic: string, data = "{}"): Promise<readonly string[]> {
    const observer = new Notes();
    const sidecar = testSidecar({ channel, declared, observer });
    await sidecar.block.subscriptions.start();
    await sidecar.driver("mypub").publish({ topic, data: Buffer.from(data), contentType: "", metadata: {} }, signal);
    await settle();
    await sidecar.block.subscriptions.stop();
    return observer.notes;
  }

  const cases: readonly [string, string, readonly string[]][] = [
    ["ok", "{}", ["delivered mypub ok success success"]],
    ["ok", "nonsense", ["delivered mypub ok retry retry untimed"]],
    ["ok", '{"expiration":"2020-01-01T00:00:00Z"}', ["delivered mypub ok drop drop untimed"]],
    ["unwanted", "{}", ["delivered mypub unwanted drop success untimed"]],
    ["dropped", "{}", ["delivered mypub dropped drop drop"]],
    ["refused", "{}", ["delivered mypub refused retry retry", "delivered mypub refused retry retry untimed"]],
    ["bulk", "{}", ['bulk delivered mypub bulk {"success":0,"drop":0,"retry":1}']],
  ];
  for (const [topic, data, expected] of cases) {
    it(`${topic}: ${data}`, async () => assert.deepEqual(await told(topic, data), expected));
  }

  it("a dead letter is a drop of its topic, and a message of the other", async () => {
    assert.deepEqual((await told("dead")).toSorted(), [
      "delivered mypub dead drop drop untimed",
      "delivered mypub dead retry retry",
      "delivered mypub ok success success",
    ]);
  });

  it("publishing, single and in bulk, also what is refused", async () => {
    const observer = new Notes();
    const sidecar = testSidecar({ observer, components: { mypub: { publishingScopes: "myapp=t" } } });
    const common = { query: new URLSearchParams(), headers: {}, signal };
    for (const topic of ["t", "secret"]) {
      for (const path of ["publish/:pubsubname/*topic", "publish/bulk/:pubsubname/*topic"]) {
        const request = { ...common, params: { pubsubname: "mypub", topic }, body: async () => Buffer.from("[]") };
        const route = sidecar.block.http.find((one) => one.path === path);
        await Promise.resolve(route?.handle(request as unknown as HttpRequest)).catch(() => {});
      }
    }
    const told = ["published mypub t true", "bulk mypub t true", "published mypub secret false", "bulk mypub secret false"];
    assert.deepEqual(observer.notes, told);
  });
});
