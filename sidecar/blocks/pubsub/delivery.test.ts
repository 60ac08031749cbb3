import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  TopicEventResponse_TopicEventResponseStatus as Status,
  type TopicEventRequest,
  TopicEventRequestSchema,
  TopicEventResponseSchema,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { GrpcCode, GrpcStatusError, type Metadata } from "../../../lib/wire/grpc/types.ts";
import type { AppRequest } from "../../contract/ports.ts";
import type { DeclaredSubscription } from "./ports.ts";
import { type AppAnswer, declare, grpcApp, httpApp, settle, type TestSidecar, testSidecar } from "./test-sidecar.ts";

const signal = new AbortController().signal;
const traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const event = '{"id":"1","source":"s","type":"t","specversion":"1.0","datacontenttype":"text/plain","data":"hello"}';

interface Seen {
  readonly request: AppRequest;
  readonly text: string;
}

interface Stage extends AsyncDisposable {
  readonly sidecar: TestSidecar;
  readonly seen: Seen[];
  /** Resolves when everything published so far has been handled. */
  publish(topic: string, data: string, metadata?: Record<string, string>): Promise<void>;
}

/** A sidecar with an HTTP app that answers `answers[path]`, 200 by default. */
async function stage(
  declared: readonly DeclaredSubscription[],
  answers: Record<string, AppAnswer> = {},
  components?: Record<string, Record<string, string>>,
): Promise<Stage> {
  const seen: Seen[] = [];
  const channel = httpApp([], (request, text) => {
    seen.push({ request, text });
    return answers[request.method] ?? { status: 200 };
  });
  const sidecar = testSidecar({ channel, declared, ...(components === undefined ? {} : { components }) });
  await sidecar.block.subscriptions.start();
  return {
    sidecar,
    seen,
    async publish(topic, data, metadata = {}) {
      await sidecar.driver("mypub").publish({ topic, data: Buffer.from(data), contentType: "", metadata }, signal);
      await settle();
    },
    async [Symbol.asyncDispose]() {
      await sidecar.block.subscriptions.stop();
    },
  };
}

function paths(seen: readonly Seen[]): string[] {
  return seen.map(({ request }) => request.method);
}

function headers(seen: Seen | undefined): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(seen?.request.headers ?? {}).map(([name, values]) => [name, values[0]]));
}

describe("delivery over HTTP", () => {
  it("posts the event as it was published", async () => {
    await using at = await stage([declare("t")]);
    const text = ` ${event} `;
    await at.publish("t", text, { Key: "v", "content-length": "9" });
    const [first] = at.seen;
    assert.deepEqual([first?.request.verb, first?.request.method, first?.text], ["POST", "t", text]);
    assert.equal(first?.request.contentType, "application/cloudevents+json");
    assert.deepEqual(headers(first), { key: "v", pubsubname: "mypub" });
  });

  it("sends the event's trace, zeros for an empty one, and nothing for what is not a string", async () => {
    const cases: readonly [string, string | undefined][] = [
      [`{"traceparent":"${traced}","traceid":"x"}`, traced],
      [`{"traceid":"${traced}"}`, traced],
      ['{"traceparent":""}', "00-00000000000000000000000000000000-0000000000000000-00"],
      ['{"traceid":"nonsense"}', "00-00000000000000000000000000000000-0000000000000000-00"],
      ['{"traceid":12345}', undefined],
      ['{"traceparent":{"x":1}}', undefined],
      ['{"traceid":true}', undefined],
      ["{}", undefined],
    ];
    for (const [text, expected] of cases) {
      await using at = await stage([declare("t")]);
      await at.publish("t", text);
      assert.equal(headers(at.seen[0])["traceparent"], expected, text);
    }
  });

  it("falls back to the trace in the message's metadata", async () => {
    await using at = await stage([declare("t")]);
    await at.publish("t", "{}", { traceparent: traced });
    assert.equal(headers(at.seen[0])["traceparent"], traced);
  });

  it("lets no metadata break or shape the request", async () => {
    await using at = await stage([declare("t")]);
    const metadata = {
      "bad name": "v",
      split: "a\r\nx: y",
      nul: "a\0",
      host: "evil",
      connection: "close",
      "transfer-encoding": "chunked",
      "dapr-api-token": "stolen",
      "content-type": "text/html",
      pubsubName: "other",
      ключ: "v",
      "x-ok": "žluť",
    };
    await at.publish("t", event, metadata);
    assert.deepEqual(headers(at.seen[0]), { pubsubname: "mypub", "x-ok": Buffer.from("žluť").toString("latin1") });
    assert.equal(at.seen[0]?.request.contentType, "application/cloudevents+json");
  });

  it("wraps bytes for rawPayload subscribers", async () => {
    await using at = await stage([declare("t", { metadata: { rawPayload: "true" } })]);
    await at.publish("t", '{"a":1}', { traceid: traced });
    const { id: _, ...rest } = JSON.parse(at.seen[0]?.text ?? "");
    assert.deepEqual(rest, {
      data_base64: "eyJhIjoxfQ==",
      datacontenttype: "application/octet-stream",
      pubsubname: "mypub",
      source: "Dapr",
      specversion: "1.0",
      topic: "t",
      traceid: traced,
      type: "com.dapr.event.sent",
    });
    assert.equal(headers(at.seen[0])["traceparent"], traced);
  });

  it("takes the query of a route apart from its path", async () => {
    await using at = await stage([declare("t", { rules: [{ match: "", path: "/a/b?x=1&y=2" }] })]);
    await at.publish("t", event);
    assert.deepEqual([at.seen[0]?.request.method, at.seen[0]?.request.query], ["a/b", "x=1&y=2"]);
  });
});

describe("the app's answer", () => {
  const cases: readonly [AppAnswer, "acknowledged" | "dead letter"][] = [
    [{ status: 200 }, "acknowledged"],
    [{ status: 204 }, "acknowledged"],
    [{ status: 299, body: '{"status":"SUCCESS"}' }, "acknowledged"],
    [{ status: 200, body: '{"status":""}' }, "acknowledged"],
    [{ status: 200, body: "OK" }, "acknowledged"],
    [{ status: 200, body: "[1]" }, "acknowledged"],
    [{ status: 200, body: "null" }, "acknowledged"],
    [{ status: 200, body: '{"status":5}' }, "acknowledged"],
    [{ status: 200, body: '{"Status":"DROP"}' }, "dead letter"],
    [{ status: 200, body: '{"status":"DROP"}' }, "dead letter"],
    [{ status: 200, body: '{"status":"RETRY"}' }, "dead letter"],
    [{ status: 200, body: '{"status":"success"}' }, "dead letter"],
    [{ status: 404 }, "dead letter"],
    [{ status: 302 }, "dead letter"],
    [{ status: 500, body: "oh" }, "dead letter"],
  ];
  for (const [answer, expected] of cases) {
    it(`${answer.status} ${answer.body ?? ""}: ${expected}`, async () => {
      await using at = await stage([declare("t", { deadLetterTopic: "dead" }), declare("dead")], { t: answer });
      await at.publish("t", event, { k: "v" });
      assert.deepEqual(paths(at.seen), expected === "acknowledged" ? ["t"] : ["t", "dead"]);
      const last = at.seen.at(-1);
      assert.deepEqual([last?.text, headers(last)["k"]], [event, "v"]);
    });
  }

  it("without dead letter topic: dropped is done with, retry goes back to the broker", async () => {
    await using at = await stage([declare("drop"), declare("retry")], { drop: { status: 404 }, retry: { status: 500, body: "oh" } });
    await at.publish("drop", event);
    const refused = () =>
      at.sidecar.lines.filter(({ level, message }) => level === "error" && message.startsWith("retriable error returned"));
    assert.equal(refused().length, 0);
    await at.publish("retry", event);
    assert.equal(
      refused()[0]?.message,
      "retriable error returned from app while processing pub/sub event 1, topic: retry, body: oh. status code returned: 500",
    );
  });
});

describe("what never reaches the route goes to the dead letter topic", () => {
  const dead: Partial<DeclaredSubscription> = { deadLetterTopic: "dead" };
  const catching = declare("dead", { metadata: { rawPayload: "true" } });
  const cases: readonly [string, string, Partial<DeclaredSubscription>][] = [
    ["not JSON", "nope", {}],
    ["empty", "", {}],
    ["null", "null", {}],
    ["an array", "[1]", {}],
    ["a number", "1", {}],
    ["expired", '{"expiration":"2020-01-01T00:00:00Z"}', {}],
    ["no rule matches", event, { rules: [{ match: 'event.type == "other"', path: "/t" }] }],
    ["a rule that fails", event, { rules: [{ match: 'event.missing == "x"', path: "/t" }] }],
    ["rawPayload is no boolean", event, { metadata: { rawPayload: "maybe" } }],
    ["deeper than rules go", `{"data":${"[".repeat(50_000)}${"]".repeat(50_000)}}`, { rules: [{ match: "true", path: "/t" }] }],
  ];
  for (const [name, text, more] of cases) {
    it(name, async () => {
      await using at = await stage([declare("t", { ...dead, ...more }), catching]);
      await at.publish("t", text);
      assert.deepEqual(paths(at.seen), ["dead"]);
      assert.equal(Buffer.from(JSON.parse(at.seen[0]?.text ?? "").data_base64, "base64").toString(), text);
    });
  }

  it("under the publishing scopes, and without them the broker keeps the message", async () => {
    const components = { mypub: { publishingScopes: "myapp=t" } };
    await using at = await stage([declare("t", dead), catching], { t: { status: 500 } }, components);
    await at.publish("t", event);
    assert.deepEqual(paths(at.seen), ["t"]);
    const line =
      "error sending message to dead letter, origin topic: t dead letter topic dead err: topic dead is not allowed for app id myapp";
    assert.ok(at.sidecar.lines.some(({ message }) => message === line));
  });

  it("and the next message is delivered as if nothing had happened", async () => {
    await using at = await stage([declare("t")]);
    for (const text of ["nope", "null", '{"__proto__":{"id":1},"constructor":1}', event]) await at.publish("t", text);
    assert.deepEqual(
      at.seen.map(({ text }) => text),
      ['{"__proto__":{"id":1},"constructor":1}', event],
    );
    assert.equal(({} as Record<string, unknown>)["id"], undefined);
  });
});

describe("delivery over gRPC", () => {
  interface Got {
    readonly request: TopicEventRequest;
    readonly metadata: Metadata;
  }

  async function deliver(text: string, more: Partial<DeclaredSubscription> = {}, metadata: Record<string, string> = {}): Promise<Got> {
    const got = Promise.withResolvers<Got>();
    const channel = grpcApp([], (request, sent) => {
      got.resolve({ request, metadata: sent });
      return create(TopicEventResponseSchema, { status: Status.SUCCESS });
    });
    const sidecar = testSidecar({ channel, declared: [declare("t", more)] });
    await sidecar.block.subscriptions.start();
    await sidecar.driver("mypub").publish({ topic: "t", data: Buffer.from(text), contentType: "", metadata }, signal);
    const result = await got.promise;
    await sidecar.block.subscriptions.stop();
    return result;
  }

  it("fills every field, and what is left goes into extensions", async () => {
    const text =
      '{"id":"1","source":"s","type":"ty","specversion":"1.0","datacontenttype":"application/json","data":{"n":12345678901234567890},"topic":"t",' +
      `"ext":{"a":[1,null,true,"x"]},"__proto__":{"x":1},"traceparent":"${traced}"}`;
    const { request, metadata } = await deliver(text, {}, { Custom: "v", "Content-Type": "no", "x-bin": "no" });
    assert.deepEqual(
      [
        request.id,
        request.source,
        request.type,
        request.specVersion,
        request.dataContentType,
        request.topic,
        request.pubsubName,
        request.path,
      ],
      ["1", "s", "ty", "1.0", "application/json", "t", "mypub", "/t"],
    );
    assert.equal(Buffer.from(request.data).toString(), '{"n":12345678901234567890}');
    assert.deepEqual(Object.keys(request.extensions ?? {}).sort(), ["__proto__", "ext", "topic", "traceparent"]);
    assert.ok(toBinary(TopicEventRequestSchema, request).length > 0);
    assert.deepEqual([metadata["custom"], metadata["pubsubname"], metadata["traceparent"]], ["v", "mypub", traced]);
    assert.ok(metadata["grpc-trace-bin"]);
    assert.deepEqual([metadata["content-type"], metadata["x-bin"]], [undefined, undefined]);
  });

  it("sends data by content type", async () => {
    const cases: readonly [string, string][] = [
      ['{"datacontenttype":"text/plain","data":"hello"}', "hello"],
      ['{"datacontenttype":"application/xml","data":"<a/>"}', "<a/>"],
      ['{"datacontenttype":"application/json","data":"s"}', '"s"'],
      ['{"datacontenttype":"application/octet-stream","data_base64":"aGk="}', "hi"],
      ['{"datacontenttype":"foo/bar","data":"lost, as in Dapr"}', ""],
      ['{"datacontenttype":"application/json","data":null}', ""],
      ["{}", ""],
    ];
    for (const [text, expected] of cases) assert.equal(Buffer.from((await deliver(text)).request.data).toString(), expected, text);
  });

  it("decodes raw payloads, and binary mode takes attributes from metadata", async () => {
    const raw = await deliver("bytes", { metadata: { rawPayload: "true" } });
    assert.deepEqual([raw.request.dataContentType, Buffer.from(raw.request.data).toString()], ["application/octet-stream", "bytes"]);
    const binary = await deliver("bytes", {}, { "content-type": "application/octet-stream", CE_ID: "7", ce_type: "ty" });
    assert.deepEqual([binary.request.id, binary.request.type, Buffer.from(binary.request.data).toString()], ["7", "ty", "bytes"]);
  });

  const outcomes: readonly [string, () => Status, "acknowledged" | "dead letter"][] = [
    ["SUCCESS", () => Status.SUCCESS, "acknowledged"],
    ["RETRY", () => Status.RETRY, "dead letter"],
    ["DROP", () => Status.DROP, "dead letter"],
    ["an unknown status", () => 99 as Status, "dead letter"],
    ["UNIMPLEMENTED", () => fail(GrpcCode.UNIMPLEMENTED), "dead letter"],
    ["UNAVAILABLE", () => fail(GrpcCode.UNAVAILABLE), "dead letter"],
  ];
  for (const [name, answer, expected] of outcomes) {
    it(`${name}: ${expected}`, async () => {
      const topics: string[] = [];
      const channel = grpcApp([], ({ path }) => {
        topics.push(path);
        return create(TopicEventResponseSchema, { status: path === "/t" ? answer() : Status.SUCCESS });
      });
      const sidecar = testSidecar({ channel, declared: [declare("t", { deadLetterTopic: "dead" }), declare("dead")] });
      await sidecar.block.subscriptions.start();
      await sidecar.driver("mypub").publish({ topic: "t", data: Buffer.from(event), contentType: "", metadata: {} }, signal);
      await settle();
      await sidecar.block.subscriptions.stop();
      assert.deepEqual(topics, expected === "acknowledged" ? ["/t"] : ["/t", "/dead"]);
    });
  }

  function fail(code: GrpcCode): never {
    throw new GrpcStatusError(code, "on purpose");
  }

  it("refuses what the content type cannot be", async () => {
    for (const text of ['{"datacontenttype":"text/plain","data":{}}', '{"data_base64":5}', '{"data_base64":"%%"}']) {
      const channel = grpcApp([], () => create(TopicEventResponseSchema));
      const sidecar = testSidecar({ channel, declared: [declare("t")] });
      await sidecar.block.subscriptions.start();
      await sidecar.driver("mypub").publish({ topic: "t", data: Buffer.from(text), contentType: "", metadata: {} }, signal);
      await sidecar.block.subscriptions.stop();
      assert.ok(
        sidecar.lines.some(({ message }) => message.startsWith("encountered a retriable error")),
        text,
      );
    }
  });
});
