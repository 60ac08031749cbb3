import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { BulkPublishRequest, PublishRequest, PubSub, PubSubFeature } from "../../../components/pubsub/broker.ts";
import { ApiError } from "../../../lib/kit/errors.ts";
import { BulkPublishRequestSchema } from "../../../lib/proto/gen/dapr/proto/runtime/v1/pubsub_pb.ts";
import { newMetadata } from "../../../lib/wire/grpc/types.ts";
import type { HttpRequest, Reply } from "../../contract/http.ts";
import type { Policy } from "../../contract/ports.ts";
import { type TestSidecar, testSidecar } from "./test-sidecar.ts";

const signal = new AbortController().signal;
const traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async function post(sidecar: TestSidecar, target: string, body: unknown, headers: Record<string, string> = {}): Promise<Reply> {
  const url = new URL(`http://x/${target}`);
  const [pubsubname, ...topic] = url.pathname.slice(1).split("/").map(decodeURIComponent);
  const request = {
    params: { pubsubname, topic: topic.join("/") },
    query: url.searchParams,
    headers,
    body: async () => Buffer.from(typeof body === "string" ? body : JSON.stringify(body)),
    signal,
  };
  const route = sidecar.block.http.find(({ path, version }) => path.startsWith("publish/bulk/") && version === "v1.0");
  assert.ok(route);
  return await route.handle(request as unknown as HttpRequest);
}

async function call(sidecar: TestSidecar, message: MessageInitShape<typeof BulkPublishRequestSchema>, name = "BulkPublishEvent") {
  const method = sidecar.block.grpc.find((one) => one.desc.name === name);
  assert.ok(method?.kind === "unary");
  await method.handle(create(BulkPublishRequestSchema, message) as never, { metadata: newMetadata(), signal } as never);
}

/** Takes messages one by one, and refuses those that say so. */
class Single {
  readonly features: readonly PubSubFeature[] = [];
  readonly got: PublishRequest[] = [];
  atOnce = 0;
  mostAtOnce = 0;

  async publish(request: PublishRequest): Promise<void> {
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.atOnce);
    await new Promise((resolve) => setImmediate(resolve));
    this.atOnce--;
    if (request.metadata["refuse"] === "yes") throw new Error("broker says no");
    this.got.push(request);
  }

  get events() {
    return this.got.map(({ data }) => JSON.parse(Buffer.from(data).toString()));
  }
}

/** Takes bulks, and fails entries as `failing` says. */
class Whole extends Single {
  readonly requests: BulkPublishRequest[] = [];
  failing: (entryId: string, request: number) => boolean = () => false;

  async bulkPublish(request: BulkPublishRequest) {
    this.requests.push(request);
    const failed = request.entries.filter(({ entryId }) => this.failing(entryId, this.requests.length));
    return failed.map(({ entryId }) => ({ entryId, error: new Error(`no ${entryId}`) }));
  }

  get ids() {
    return this.requests.map(({ entries }) => entries.map(({ entryId }) => entryId).join(","));
  }
}

function sidecarOn(driver: Single, more: Parameters<typeof testSidecar>[0] = {}): TestSidecar {
  return testSidecar({ ...more, drivers: { mypub: driver as unknown as PubSub } });
}

const json = (entryId: string, more: object = {}) => ({ entryId, event: { n: entryId }, contentType: "application/json", ...more });

describe("bulk publish over HTTP", () => {
  it("answers 204 and wraps every entry by itself", async () => {
    const driver = new Single();
    const body = [json("1"), { entryId: "2", event: "hi", contentType: "text/plain", metadata: { "cloudevent.id": "own" } }];
    const reply = await post(sidecarOn(driver), "mypub/a/b?metadata.k=v", body, { traceparent: traced });
    assert.equal(reply.status, 204);
    assert.deepEqual(
      driver.events.map(({ data, datacontenttype, topic, traceparent }) => [data, datacontenttype, topic, traceparent]),
      [
        [{ n: "1" }, "application/json", "a/b", traced],
        ["hi", "text/plain", "a/b", traced],
      ],
    );
    assert.equal(driver.events[1].id, "own");
    assert.deepEqual(
      driver.got.map(({ contentType, metadata, topic }) => [contentType, { ...metadata }, topic]),
      [
        ["application/cloudevents+json", { k: "v" }, "a/b"],
        ["application/cloudevents+json", { k: "v", "cloudevent.id": "own" }, "a/b"],
      ],
    );
  });

  it("gives every event its own span while tracing", async () => {
    const driver = new Single();
    const sidecar = sidecarOn(driver, { tracing: true });
    const route = sidecar.block.http.find(({ path }) => path.startsWith("publish/bulk/"));
    const trace = { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7", flags: "01", tracestate: "" };
    const request = { params: { pubsubname: "mypub", topic: "t" }, query: new URLSearchParams(), headers: {}, trace, signal };
    await route?.handle({ ...request, body: async () => Buffer.from(JSON.stringify([json("1"), json("2")])) } as unknown as HttpRequest);
    const spans = driver.events.map(({ traceparent }) => traceparent as string);
    assert.ok(spans.every((span) => span.startsWith("00-4bf92f3577b34da6a3ce929d0e0e4736-")));
    assert.equal(new Set([...spans, traced]).size, 3);
  });

  it("leaves raw payloads as they are", async () => {
    const driver = new Single();
    const body = [{ entryId: "1", event: "AAEC", contentType: "application/octet-stream" }];
    await post(sidecarOn(driver), "mypub/t?metadata.rawPayload=true", body);
    assert.deepEqual([...(driver.got[0]?.data ?? [])], [0, 1, 2]);
    assert.equal(driver.got[0]?.contentType, "application/octet-stream");
  });

  it("answers 500 with what failed, and why, in body and headers", async () => {
    const driver = new Single();
    const refuse = { metadata: { refuse: "yes" } };
    const reply = await post(sidecarOn(driver), "mypub/t", [json("1", refuse), json("2"), json("3", refuse)]);
    const expected = {
      failedEntries: [
        { entryId: "1", error: "broker says no" },
        { entryId: "3", error: "broker says no" },
      ],
      errorCode: "ERR_PUBSUB_PUBLISH_MESSAGE",
    };
    assert.equal(reply.status, 500);
    assert.deepEqual(JSON.parse(String(reply.body)), expected);
    assert.deepEqual(JSON.parse(String(reply.headers?.["metadata.responseData"])), expected);
    assert.equal(
      reply.headers?.["metadata.error"],
      "api error: code = Internal desc = error when publishing to topic t in pubsub mypub: broker says no",
    );
    assert.equal(driver.got.length, 1);
  });

  it("keeps headers small however many entries fail", async () => {
    const entries = Array.from({ length: 500 }, (_, n) => json(String(n), { metadata: { refuse: "yes" } }));
    const driver = new Single();
    const reply = await post(sidecarOn(driver), "mypub/t", entries);
    assert.equal(JSON.parse(String(reply.body)).failedEntries.length, 500);
    assert.equal(reply.headers?.["metadata.responseData"], undefined);
    assert.equal(driver.mostAtOnce, 100);
  });

  const refused: readonly [string, string, unknown, number, string, string][] = [
    ["not JSON", "mypub/t", '{"entryID": "}', 400, "ERR_PUBSUB_EVENTS_SER", "DAPR_PUBSUB_UNMARSHAL_EVENTS"],
    ["no id", "mypub/t", [json("")], 400, "ERR_PUBSUB_EVENTS_SER", "DAPR_PUBSUB_MARSHAL_EVENTS"],
    ["one id twice", "mypub/t", [json("1"), json("1")], 400, "ERR_PUBSUB_EVENTS_SER", "DAPR_PUBSUB_MARSHAL_EVENTS"],
    ["no content type", "mypub/t", [{ entryId: "1", event: "a" }], 400, "ERR_PUBSUB_EVENTS_SER", "DAPR_PUBSUB_MARSHAL_ENVELOPE"],
    [
      "no CloudEvent",
      "mypub/t",
      [{ entryId: "1", event: 1, contentType: "application/cloudevents+json" }],
      500,
      "ERR_PUBSUB_CLOUD_EVENTS_SER",
      "DAPR_PUBSUB_CLOUD_EVENT_CREATION",
    ],
    ["out of scope", "mypub/secret", [json("1")], 403, "ERR_PUBSUB_FORBIDDEN", "DAPR_PUBSUB_FORBIDDEN"],
    ["unknown component", "nope/t", [json("1")], 404, "ERR_PUBSUB_NOT_FOUND", "DAPR_PUBSUB_NOT_FOUND"],
  ];
  for (const [name, target, body, http, code, reason] of refused) {
    it(`${name}: nothing is published`, async () => {
      const driver = new Single();
      const sidecar = sidecarOn(driver, { components: { mypub: { publishingScopes: "myapp=t" } } });
      await assert.rejects(post(sidecar, target, body), (error) => {
        assert.ok(error instanceof ApiError);
        const info = error.details.find(({ kind }) => kind === "ErrorInfo");
        assert.deepEqual([error.http, error.code, info?.kind === "ErrorInfo" && info.reason], [http, code, reason]);
        return true;
      });
      assert.equal(driver.got.length, 0);
    });
  }
});

describe("bulk publish over gRPC", () => {
  const entry = (entryId: string, refuse = "no") => {
    return { entryId, event: Buffer.from("{}"), contentType: "application/json", metadata: { refuse } };
  };

  it("publishes under both names", async () => {
    const driver = new Single();
    for (const name of ["BulkPublishEvent", "BulkPublishEventAlpha1"]) {
      await call(sidecarOn(driver), { pubsubName: "mypub", topic: "t", entries: [entry("1"), entry("2")] }, name);
    }
    assert.equal(driver.got.length, 4);
  });

  it("names the failed entries in the error's details", async () => {
    const publish = call(sidecarOn(new Single()), { pubsubName: "mypub", topic: "t", entries: [entry("1"), entry("2", "yes")] });
    await assert.rejects(publish, (error) => {
      assert.ok(error instanceof ApiError);
      assert.equal(error.message, "error when publishing to topic t in pubsub mypub: broker says no");
      const violations = error.details.find(({ kind }) => kind === "BadRequest");
      assert.ok(violations?.kind === "BadRequest");
      assert.deepEqual(violations.violations, [{ field: "2", description: "broker says no" }]);
      return true;
    });
  });
});

describe("drivers that take several messages at once", () => {
  const entries = ["1", "2", "3", "4"].map((id) => json(id));

  it("get them in one request, or in several when that says how large one may be", async () => {
    const driver = new Whole();
    await post(sidecarOn(driver), "mypub/t", entries);
    await post(sidecarOn(driver), "mypub/t?metadata.rawPayload=true&metadata.maxBulkPubBytes=85", entries);
    await post(sidecarOn(driver), "mypub/t?metadata.maxBulkPubBytes=1", entries);
    await post(sidecarOn(driver), "mypub/t?metadata.maxBulkPubBytes=nonsense", entries);
    const all = "1,2,3,4";
    assert.deepEqual(driver.ids, [all, "1,2", "3,4", "1", "2", "3", "4", all]);
  });

  it("a retry policy repeats what failed and nothing else", async () => {
    const driver = new Whole();
    driver.failing = (entryId, request) => entryId === "2" || (entryId === "3" && request === 1);
    const thrice: Policy = {
      retries: true,
      async run(operation, outer) {
        await operation(outer).catch(() => {});
        await operation(outer).catch(() => {});
        return operation(outer);
      },
    };
    const sidecar = sidecarOn(driver, { policies: { outbound: () => thrice } });
    const reply = await post(sidecar, "mypub/t", entries);
    assert.deepEqual(driver.ids, ["1,2,3,4", "2,3", "2"]);
    assert.deepEqual(JSON.parse(String(reply.body)).failedEntries, [{ entryId: "2", error: "no 2" }]);
  });

  it("a policy that refuses fails what has not been published", async () => {
    const driver = new Whole();
    const open: Policy = { retries: false, run: () => Promise.reject(new Error("circuit breaker is open")) };
    const reply = await post(sidecarOn(driver, { policies: { outbound: () => open } }), "mypub/t", entries.slice(0, 1));
    assert.deepEqual(JSON.parse(String(reply.body)).failedEntries, [{ entryId: "1", error: "circuit breaker is open" }]);
  });

  it("puts the namespace before the topic", async () => {
    const driver = new Whole();
    await post(sidecarOn(driver, { namespaced: ["mypub"] }), "mypub/t", entries);
    assert.equal(driver.requests[0]?.topic, "nst");
  });
});
