import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { BrokerMessage, PubSub } from "../../../components/pubsub/broker.ts";
import { ApiError } from "../../../lib/kit/errors.ts";
import { PublishEventRequestSchema } from "../../../lib/proto/gen/dapr/proto/runtime/v1/pubsub_pb.ts";
import { newMetadata } from "../../../lib/wire/grpc/types.ts";
import type { HttpRequest, Reply } from "../../contract/http.ts";
import { type TestSidecar, testSidecar } from "./test-sidecar.ts";

const signal = new AbortController().signal;
const traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async function post(sidecar: TestSidecar, target: string, body: string, headers: Record<string, string> = {}): Promise<Reply> {
  const url = new URL(`http://x/${target}`);
  const [pubsubname, ...topic] = url.pathname.slice(1).split("/").map(decodeURIComponent);
  const request = {
    params: { pubsubname, topic: topic.join("/") },
    query: url.searchParams,
    headers,
    body: async () => Buffer.from(body),
    signal,
  };
  const [route] = sidecar.block.http;
  assert.ok(route);
  return await route.handle(request as unknown as HttpRequest);
}

async function publishEvent(
  sidecar: TestSidecar,
  message: MessageInitShape<typeof PublishEventRequestSchema>,
  metadata = newMetadata(),
): Promise<void> {
  const method = sidecar.block.grpc.find((one) => one.desc.name === "PublishEvent");
  assert.ok(method?.kind === "unary");
  await method.handle(create(PublishEventRequestSchema, message) as never, { metadata, signal } as never);
}

/** The next message of `topic` at the broker. */
async function received(sidecar: TestSidecar, topic: string, publish: () => Promise<unknown>, name = "mypub"): Promise<BrokerMessage> {
  const arrived = Promise.withResolvers<BrokerMessage>();
  const subscription = await sidecar.driver(name).subscribe({ topic, metadata: {} }, async (message) => arrived.resolve(message), signal);
  await publish();
  const message = await arrived.promise;
  await subscription.stop();
  return message;
}

function json(message: BrokerMessage): Record<string, unknown> {
  return JSON.parse(Buffer.from(message.data).toString());
}

describe("publishing over HTTP", () => {
  it("answers 204 and wraps the body", async () => {
    const sidecar = testSidecar();
    let status = 0;
    const message = await received(sidecar, "a/b/", async () => {
      status = (await post(sidecar, "mypub/a/b/?metadata.k=v", '{"x":1}', { "content-type": "application/json" })).status;
    });
    assert.equal(status, 204);
    const { id: _, time: __, ...rest } = json(message);
    assert.deepEqual(rest, {
      data: { x: 1 },
      datacontenttype: "application/json",
      pubsubname: "mypub",
      source: "myapp",
      specversion: "1.0",
      topic: "a/b/",
      traceid: "",
      traceparent: "",
      tracestate: "",
      type: "com.dapr.event.sent",
    });
    assert.deepEqual({ ...message.metadata }, { k: "v" });
  });

  it("passes the caller's trace context on", async () => {
    const sidecar = testSidecar();
    const message = await received(sidecar, "t", () => post(sidecar, "mypub/t", "x", { traceparent: traced, tracestate: "a=b" }));
    assert.deepEqual([json(message)["traceparent"], json(message)["tracestate"]], [traced, "a=b"]);
  });

  it("sends raw payloads as they are, the trace beside them", async () => {
    const sidecar = testSidecar();
    const message = await received(sidecar, "t", () =>
      post(sidecar, "mypub/t?metadata.rawPayload=true", "\u0000raw", { traceparent: traced }),
    );
    assert.equal(Buffer.from(message.data).toString(), "\u0000raw");
    assert.deepEqual({ ...message.metadata }, { rawPayload: "true", traceid: traced, tracestate: "" });
  });

  it("leaves a raw payload's metadata alone when there is no trace", async () => {
    const sidecar = testSidecar();
    const message = await received(sidecar, "t", () => post(sidecar, "mypub/t?metadata.rawPayload=true", "x"));
    assert.deepEqual({ ...message.metadata }, { rawPayload: "true" });
  });

  it("gives an event its expiration unless the broker knows about time", async () => {
    const sidecar = testSidecar();
    const message = await received(sidecar, "t", () => post(sidecar, "mypub/t?metadata.ttlInSeconds=60", "x"));
    assert.match(String(json(message)["expiration"]), /^\d{4}-.*Z$/);
    const native: PubSub = Object.assign(Object.create(sidecar.driver("mypub")), { features: ["MESSAGE_TTL"] });
    let sent: Uint8Array | null = null;
    native.publish = async (request) => {
      sent = request.data;
    };
    await post(testSidecar({ drivers: { mypub: native } }), "mypub/t?metadata.ttlInSeconds=60", "x");
    assert.ok(!Buffer.from(sent ?? []).includes("expiration"));
  });

  it("puts the namespace before the topic, not into the event", async () => {
    const sidecar = testSidecar({ namespaced: ["mypub"] });
    const message = await received(sidecar, "nst", () => post(sidecar, "mypub/t", "x"));
    assert.equal(json(message)["topic"], "t");
  });
});

describe("publishing over gRPC", () => {
  it("is the same verb", async () => {
    const sidecar = testSidecar();
    const metadata = Object.assign(newMetadata(), { traceparent: traced });
    const data = Buffer.from('{"n":12345678901234567890}');
    const message = await received(sidecar, "t", () =>
      publishEvent(
        sidecar,
        { pubsubName: "mypub", topic: "t", data, dataContentType: "application/json", metadata: { "cloudevent.id": "I" } },
        metadata,
      ),
    );
    assert.ok(Buffer.from(message.data).includes('"data":{"n":12345678901234567890}'));
    assert.deepEqual([json(message)["id"], json(message)["traceid"]], ["I", traced]);
  });

  it("writes an empty trace into raw payloads' metadata when there is none", async () => {
    const sidecar = testSidecar();
    const message = await received(sidecar, "t", () =>
      publishEvent(sidecar, { pubsubName: "mypub", topic: "t", metadata: { rawPayload: "true" } }),
    );
    assert.deepEqual({ ...message.metadata }, { rawPayload: "true", traceid: "", tracestate: "" });
  });
});

describe("publish errors", () => {
  const broken: PubSub = Object.assign(Object.create(testSidecar().driver("mypub")), {
    publish: () => Promise.reject(new Error("broker says no")),
  });
  const sidecar = testSidecar({ components: { mypub: { publishingScopes: "myapp=a" }, broken: {} }, drivers: { broken } });
  const cloudEvents = { "content-type": "application/cloudevents+json" };
  const cases: readonly [string, string, Record<string, string>, number, string, string, string, readonly string[]][] = [
    ["unknown component", "nope/t", {}, 404, "ERR_PUBSUB_NOT_FOUND", "pubsub nope is not found", "DAPR_PUBSUB_NOT_FOUND", ["ErrorInfo"]],
    ["no component", "/t", {}, 404, "ERR_PUBSUB_EMPTY", "pubsub name is empty", "DAPR_PUBSUB_NAME_EMPTY", ["ResourceInfo", "ErrorInfo"]],
    [
      "no topic",
      "mypub/",
      {},
      404,
      "ERR_TOPIC_NAME_EMPTY",
      "topic is empty in pubsub mypub",
      "DAPR_PUBSUB_TOPIC_NAME_EMPTY",
      ["ResourceInfo", "ErrorInfo"],
    ],
    [
      "bad metadata",
      "mypub/a?metadata.rawPayload=invalidBooleanValue",
      {},
      400,
      "ERR_PUBSUB_REQUEST_METADATA",
      "failed deserializing metadata. Error: rawPayload value must be a valid boolean: actual is 'invalidBooleanValue'",
      "DAPR_PUBSUB_METADATA_DESERIALIZATION",
      ["ResourceInfo", "ErrorInfo"],
    ],
    [
      "no CloudEvent",
      "mypub/a",
      cloudEvents,
      500,
      "ERR_PUBSUB_CLOUD_EVENTS_SER",
      "cannot create cloudevent",
      "DAPR_PUBSUB_CLOUD_EVENT_CREATION",
      ["ResourceInfo", "ErrorInfo"],
    ],
    [
      "out of scope",
      "mypub/b",
      {},
      403,
      "ERR_PUBSUB_FORBIDDEN",
      "topic b is not allowed for app id myapp",
      "DAPR_PUBSUB_FORBIDDEN",
      ["ResourceInfo", "ErrorInfo"],
    ],
    [
      "broker fails",
      "broken/t",
      {},
      500,
      "ERR_PUBSUB_PUBLISH_MESSAGE",
      "error when publishing to topic t in pubsub broken: broker says no",
      "DAPR_PUBSUB_PUBLISH_MESSAGE",
      ["ResourceInfo", "ErrorInfo"],
    ],
  ];
  for (const [name, target, headers, status, code, message, reason, kinds] of cases) {
    it(name, async () => {
      await assert.rejects(post(sidecar, target, "null", headers), (error) => {
        assert.ok(error instanceof ApiError);
        assert.deepEqual([error.http, error.code, error.message], [status, code, message]);
        assert.deepEqual(
          error.details.map(({ kind }) => kind),
          kinds,
        );
        const info = error.details.find(({ kind }) => kind === "ErrorInfo");
        assert.ok(info?.kind === "ErrorInfo");
        assert.equal(info.reason, reason);
        return true;
      });
    });
  }
});
