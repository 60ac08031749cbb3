import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { BrokerMessage, BulkMessageHandler, PubSub } from "../../../components/pubsub/broker.ts";
import {
  TopicEventResponse_TopicEventResponseStatus as Status,
  type TopicEventBulkRequest,
  TopicEventBulkResponseSchema,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { GrpcCode, GrpcStatusError, newMetadata } from "../../../lib/wire/grpc/types.ts";
import type { AppChannel, Policy } from "../../contract/ports.ts";
import type { DeclaredSubscription, PubSubPorts } from "./ports.ts";
import { declare, httpApp, type TestSidecar, testSidecar } from "./test-sidecar.ts";

const never = new AbortController().signal;
const bulkSubscribe = { enabled: true, maxMessagesCount: 10, maxAwaitDurationMs: 40 };

function message(data: unknown, more: Partial<BrokerMessage> = {}): BrokerMessage {
  const bytes = data instanceof Uint8Array ? data : Buffer.from(typeof data === "string" ? data : JSON.stringify(data));
  return { topic: "t", data: bytes, contentType: null, metadata: {}, ...more };
}

interface Letter {
  readonly topic: string;
  readonly data: string;
}

/** A broker that hands over bulks when told to, and keeps what is published. */
class BulkBroker {
  readonly features = [];
  readonly letters: Letter[] = [];
  refusesLetters = false;
  #handler: BulkMessageHandler | null = null;
  limits: unknown = null;

  async publish({ topic, data }: { topic: string; data: Uint8Array }): Promise<void> {
    if (this.refusesLetters) throw new Error("broker says no");
    this.letters.push({ topic, data: Buffer.from(data).toString() });
  }

  async bulkSubscribe({ topic, metadata: _, ...limits }: Record<string, unknown>, handler: BulkMessageHandler) {
    this.#handler = handler;
    this.limits = { topic, maxMessages: limits["maxMessages"], maxAwaitMs: limits["maxAwaitMs"] };
    return { stop: async () => {} };
  }

  /** The outcome of each message: null, or why it shall come again. */
  async deliver(...messages: BrokerMessage[]): Promise<readonly (string | null)[]> {
    assert.ok(this.#handler);
    const outcomes = await this.#handler(messages, never);
    return outcomes.map((error) => (error === null ? null : (error as Error).message));
  }
}

interface Stage {
  readonly broker: BulkBroker;
  readonly sidecar: TestSidecar;
}

async function stage(
  channel: AppChannel,
  more: Partial<DeclaredSubscription> = {},
  policies: Partial<PubSubPorts["policies"]> = {},
): Promise<Stage> {
  const broker = new BulkBroker();
  const declared = [declare("t", { bulkSubscribe, ...more })];
  const sidecar = testSidecar({ channel, declared, policies, drivers: { mypub: broker as unknown as PubSub } });
  await sidecar.block.subscriptions.start();
  return { broker, sidecar };
}

interface Posted {
  readonly path: string;
  readonly body: {
    readonly id: string;
    readonly entries: readonly { entryId: string; event: unknown; contentType: string; metadata: Record<string, string> }[];
  } & Record<string, unknown>;
}

/** An HTTP app that answers each entry by the `id` of its event; `answers` without one is SUCCESS. */
function bulkApp(answers: Record<string, string | null> = {}): { channel: AppChannel; posted: Posted[] } {
  const posted: Posted[] = [];
  const channel = httpApp([], (request, text) => {
    const body = JSON.parse(text) as Posted["body"];
    posted.push({ path: request.method, body });
    const statuses = body.entries.flatMap(({ entryId, event }) => {
      const status = answers[(event as { id?: string }).id ?? ""];
      return status === null ? [] : [{ entryId, status: status ?? "SUCCESS" }];
    });
    return { status: 200, body: JSON.stringify({ statuses }) };
  });
  return { channel, posted };
}

const ids = ({ body }: Posted) => body.entries.map(({ event }) => (event as { id: string }).id).join(",");

describe("a bulk over HTTP", () => {
  it("is one request with every event as it was published", async () => {
    const { channel, posted } = bulkApp();
    const { broker } = await stage(channel);
    assert.deepEqual(broker.limits, { topic: "t", maxMessages: 10, maxAwaitMs: 40 });
    const precise = '{"id":"1","n":12345678901234567890}';
    assert.deepEqual(await broker.deliver(message(precise, { metadata: { k: "v" } }), message({ id: "2" })), [null, null]);
    assert.equal(posted.length, 1);
    const [{ path, body } = assert.fail()] = posted;
    const { id, entries, ...rest } = body;
    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.equal(path, "t");
    assert.deepEqual(rest, { metadata: { pubsubName: "mypub" }, pubsubname: "mypub", topic: "t", type: "com.dapr.event.sent.bulk" });
    assert.deepEqual(
      entries.map(({ entryId: _, ...entry }) => entry),
      [
        { event: JSON.parse(precise), contentType: "application/cloudevents+json", metadata: { k: "v" } },
        { event: { id: "2" }, contentType: "application/cloudevents+json", metadata: {} },
      ],
    );
    assert.equal(new Set(entries.map(({ entryId }) => entryId)).size, 2);
  });

  it("keeps every digit, and headers that say what it is", async () => {
    let seen = "";
    let headers: unknown;
    const channel = httpApp([], (request, text) => {
      seen = text;
      const { pubsubname, traceparent } = request.headers;
      headers = [request.verb, request.contentType, pubsubname?.[0], traceparent?.[0], request.call];
      return { status: 200, body: "{}" };
    });
    const { broker } = await stage(channel);
    const traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    await broker.deliver(message({}), message(`{"n":12345678901234567890,"traceparent":"${traced}"}`));
    assert.ok(seen.includes('"event":{"n":12345678901234567890,'));
    assert.deepEqual(headers, ["POST", "application/json", "mypub", traced, "event"]);
  });

  it("gives every entry its own fate", async () => {
    const { channel } = bulkApp({ retry: "RETRY", empty: "", unknown: "WHAT", missing: null, drop: "DROP" });
    const { broker } = await stage(channel);
    const outcomes = await broker.deliver(...["ok", "retry", "empty", "unknown", "missing", "drop"].map((id) => message({ id })));
    assert.deepEqual(
      outcomes.map((outcome) => outcome?.replace(/[0-9a-f]{8}-.{27}/, "ID") ?? null),
      [
        null,
        "RETRY required while processing bulk subscribe event for entry id: ID",
        "RETRY required while processing bulk subscribe event for entry id: ID",
        "unknown status returned from app while processing bulk subscribe event ID: WHAT",
        "response not received, RETRY required while processing bulk subscribe event for entry id: ID",
        null,
      ],
    );
  });

  it("is routed entry by entry, one request a route", async () => {
    const { channel, posted } = bulkApp();
    const rules = [
      { match: 'event.id == "a" || event.id == "c"', path: "/ac" },
      { match: 'event.id == "b"', path: "/b" },
    ];
    const { broker } = await stage(channel, { rules, deadLetterTopic: "dead" });
    const outcomes = await broker.deliver(...["a", "b", "c", "none"].map((id) => message({ id })));
    assert.deepEqual(outcomes, [null, null, null, null]);
    assert.deepEqual(posted.map((one) => [one.path, ids(one)]).toSorted(), [
      ["ac", "a,c"],
      ["b", "b"],
    ]);
    assert.deepEqual(broker.letters, [{ topic: "dead", data: '{"id":"none"}' }]);
  });

  it("one route's failure is not another's", async () => {
    const channel = httpApp([], (request, text) => {
      const statuses = JSON.parse(text).entries.map(({ entryId }: { entryId: string }) => ({ entryId, status: "SUCCESS" }));
      return request.method === "bad" ? { status: 500 } : { status: 200, body: JSON.stringify({ Statuses: statuses }) };
    });
    const rules = [
      { match: 'event.id == "bad"', path: "/bad" },
      { match: "", path: "/good" },
    ];
    const { broker } = await stage(channel, { rules });
    assert.deepEqual(await broker.deliver(message({ id: "bad" }), message({ id: "good" })), [
      "Retriable error returned from app while processing bulk pub/sub event, topic: t. status code returned: 500",
      null,
    ]);
  });

  it("sends what failed to the dead letter topic, and only that", async () => {
    const { channel } = bulkApp({ retry: "RETRY", drop: "DROP" });
    const { broker, sidecar } = await stage(channel, { deadLetterTopic: "dead" });
    const bad = ["nope", "[1]", '{"id":"old","expiration":"2020-01-01T00:00:00Z"}'];
    const outcomes = await broker.deliver(...[...bad, { id: "ok" }, { id: "retry" }, { id: "drop" }].map((data) => message(data)));
    assert.deepEqual(outcomes, [null, null, null, null, null, null]);
    assert.deepEqual(
      broker.letters.map(({ data }) => data),
      [...bad, '{"id":"retry"}', '{"id":"drop"}'],
    );
    broker.refusesLetters = true;
    const refused = await broker.deliver(message("nope"), message({ id: "ok" }), message({ id: "drop" }));
    assert.deepEqual(
      refused.map((outcome) => outcome !== null),
      [true, false, true],
    );
    const line = "error sending message to dead letter, origin topic: t dead letter topic dead err: broker says no";
    assert.ok(sidecar.lines.some((one) => one.level === "error" && one.message === line));
    broker.refusesLetters = false;
    const before = broker.letters.length;
    await sidecar.block.subscriptions.stop();
    const draining = await broker.deliver(message({ id: "retry" }));
    assert.deepEqual([draining[0] === null, broker.letters.length], [false, before], "not because it stops");
  });

  const whole: readonly [string, { status: number; body?: string }, boolean][] = [
    ["404 drops", { status: 404 }, true],
    ["an empty answer retries", { status: 200 }, false],
    ["text retries", { status: 200, body: "OK" }, false],
    ["a list that is none retries", { status: 200, body: '{"statuses":5}' }, false],
    ["statuses that are no objects retry", { status: 200, body: '{"statuses":[null,1,"a"]}' }, false],
    ["unknown ids retry", { status: 200, body: '{"statuses":[{"entryId":"x","status":"SUCCESS"}]}' }, false],
    ["302 retries", { status: 302 }, false],
  ];
  for (const [name, answer, acknowledged] of whole) {
    it(name, async () => {
      const { broker } = await stage(httpApp([], () => answer));
      const outcomes = await broker.deliver(message({ id: "1" }), message({ id: "2" }));
      assert.deepEqual(
        outcomes.map((outcome) => outcome === null),
        [acknowledged, acknowledged],
      );
    });
  }

  it("raw payloads go as base64, binary CloudEvents as events", async () => {
    const { channel, posted } = bulkApp();
    const raw = await stage(channel, { metadata: { rawPayload: "true" } });
    await raw.broker.deliver(message("hi"), message("ho", { contentType: "text/plain" }));
    assert.deepEqual(
      posted[0]?.body.entries.map(({ event, contentType }) => [event, contentType]),
      [
        ["aGk=", "application/octet-stream"],
        ["aG8=", "text/plain"],
      ],
    );
    const binary = await stage(channel);
    const metadata = { "content-type": "application/octet-stream", ce_id: "7", ce_type: "ty" };
    await binary.broker.deliver(message("hi", { metadata }));
    assert.deepEqual(posted[1]?.body.entries[0]?.event, {
      id: "7",
      type: "ty",
      datacontenttype: "application/octet-stream",
      data_base64: "aGk=",
    });
  });

  it("a retry policy repeats what failed and nothing else", async () => {
    const answers: Record<string, string> = { twice: "RETRY", always: "RETRY" };
    const { channel, posted } = bulkApp(answers);
    const thrice: Policy = {
      retries: true,
      async run(operation, outer) {
        await operation(outer).catch(() => {});
        await operation(outer).catch(() => {});
        answers["twice"] = "SUCCESS";
        return operation(outer);
      },
    };
    const { broker } = await stage(channel, { deadLetterTopic: "dead" }, { inbound: () => thrice });
    await broker.deliver(...["once", "twice", "always"].map((id) => message({ id })));
    assert.deepEqual(posted.map(ids), ["once,twice,always", "twice,always", "twice,always"]);
    assert.deepEqual(broker.letters, [{ topic: "dead", data: '{"id":"always"}' }]);
  });

  it("what a policy gives up before any answer comes again, and a late answer changes nothing", async () => {
    const gate = Promise.withResolvers<void>();
    const { channel: answering } = bulkApp();
    const channel: AppChannel = {
      ...answering,
      async invoke(request, signal) {
        if (request.method === "t") await gate.promise;
        return answering.invoke(request, signal);
      },
    };
    const timeout: Policy = {
      retries: false,
      async run(operation, outer) {
        const attempt = new AbortController();
        const running = operation(AbortSignal.any([outer, attempt.signal]));
        running.catch(() => {});
        attempt.abort(new Error("timeout"));
        throw new Error("timeout");
      },
    };
    const { broker } = await stage(channel, { deadLetterTopic: "dead" }, { inbound: () => timeout });
    broker.refusesLetters = true;
    const outcomes = await broker.deliver(message({ id: "1" }));
    assert.deepEqual(outcomes, ["timeout"]);
    gate.resolve();
  });
});

describe("a bulk over gRPC", () => {
  type Answer = (request: TopicEventBulkRequest) => readonly [string, number][];

  function app(names: readonly string[], answer: Answer, seen: TopicEventBulkRequest[] = []): AppChannel {
    return {
      protocol: "grpc",
      invoke: () => Promise.reject(new Error("no HTTP here")),
      grpc: {
        async call(method, request) {
          const empty = { headers: newMetadata(), trailers: newMetadata() };
          if (method.name === "ListTopicSubscriptions") throw new GrpcStatusError(GrpcCode.UNIMPLEMENTED, "no");
          if (!names.includes(method.name)) throw new GrpcStatusError(GrpcCode.UNIMPLEMENTED, `no ${method.name}`);
          const bulk = request as unknown as TopicEventBulkRequest;
          seen.push(bulk);
          const statuses = answer(bulk).map(([entryId, status]) => ({ entryId, status: status as Status }));
          return { message: create(TopicEventBulkResponseSchema, { statuses }) as never, ...empty };
        },
        forward: () => Promise.reject(new Error("no proxied calls here")),
      },
    };
  }

  const success: Answer = ({ entries }) => entries.map(({ entryId }) => [entryId, Status.SUCCESS]);

  it("fills every field", async () => {
    const seen: TopicEventBulkRequest[] = [];
    const { broker } = await stage(app(["OnBulkTopicEvent"], success, seen));
    const event = { id: "1", source: "s", type: "ty", specversion: "1.0", datacontenttype: "application/json", data: { a: 1 }, ext: "x" };
    assert.deepEqual(await broker.deliver(message(event, { metadata: { k: "v" } })), [null]);
    const [request = assert.fail()] = seen;
    assert.deepEqual([request.topic, request.pubsubName, request.path, request.type], ["t", "mypub", "/t", "com.dapr.event.sent.bulk"]);
    assert.deepEqual({ ...request.metadata }, { pubsubName: "mypub" });
    const [entry = assert.fail()] = request.entries;
    assert.ok(entry.event.case === "cloudEvent");
    const { id, source, type, specVersion, dataContentType, data, extensions } = entry.event.value;
    assert.deepEqual([id, source, type, specVersion, dataContentType], ["1", "s", "ty", "1.0", "application/json"]);
    assert.deepEqual([Buffer.from(data).toString(), { ...extensions }], ['{"a":1}', { ext: "x" }]);
    assert.deepEqual([entry.contentType, { ...entry.metadata }], ["application/cloudevents+json", { k: "v" }]);
  });

  it("raw payloads are bytes", async () => {
    const seen: TopicEventBulkRequest[] = [];
    const { broker } = await stage(app(["OnBulkTopicEvent"], success, seen), { metadata: { rawPayload: "true" } });
    await broker.deliver(message("hi"));
    const event = seen[0]?.entries[0]?.event;
    assert.deepEqual([event?.case, Buffer.from((event?.value ?? "") as Uint8Array).toString()], ["bytes", "hi"]);
  });

  it("gives every entry its own fate; one that cannot be sent fails alone", async () => {
    const fates = [Status.SUCCESS, Status.RETRY, Status.DROP, 99];
    const { broker } = await stage(
      app(["OnBulkTopicEvent"], ({ entries }) => entries.slice(0, 4).map(({ entryId }, n) => [entryId, fates[n] ?? 0])),
    );
    const unsendable = { id: "x", datacontenttype: "text/plain", data: {} };
    const outcomes = await broker.deliver(
      ...[{ id: "1" }, { id: "2" }, unsendable, { id: "3" }, { id: "4" }, { id: "5" }].map((one) => message(one)),
    );
    assert.deepEqual(
      outcomes.map((outcome) => outcome === null),
      [true, false, false, true, false, false],
    );
  });

  it("falls back to the alpha, and drops where the app knows neither", async () => {
    const seen: TopicEventBulkRequest[] = [];
    const alpha = await stage(app(["OnBulkTopicEventAlpha1"], success, seen));
    assert.deepEqual(await alpha.broker.deliver(message({ id: "1" })), [null]);
    assert.equal(seen.length, 1);
    assert.ok(alpha.sidecar.lines.some(({ message: line }) => line.startsWith("falling back to OnBulkTopicEventAlpha1")));
    const none = await stage(app([], success), { deadLetterTopic: "dead" });
    assert.deepEqual(await none.broker.deliver(message({ id: "1" })), [null]);
    assert.equal(none.broker.letters.length, 1);
  });

  it("goes in several calls where one would be too large; one's failure is not another's", async () => {
    const seen: TopicEventBulkRequest[] = [];
    let calls = 0;
    const answer: Answer = (request) => {
      if (++calls === 2) throw new GrpcStatusError(GrpcCode.UNAVAILABLE, "away");
      return success(request);
    };
    const { broker } = await stage(app(["OnBulkTopicEvent"], answer, seen));
    const outcomes = await broker.deliver(...["1", "2", "3"].map((id) => message({ id, data: "x".repeat(1 << 18) })));
    assert.deepEqual(
      seen.map(({ entries }) => entries.length),
      [1, 1, 1],
    );
    assert.deepEqual(
      outcomes.map((outcome) => outcome === null),
      [true, false, true],
    );
  });

  it("an error asks for all of them again", async () => {
    const failing = app(["OnBulkTopicEvent"], () => {
      throw new GrpcStatusError(GrpcCode.UNAVAILABLE, "away");
    });
    const { broker } = await stage(failing);
    const line = "error returned from app while processing bulk pub/sub event: away";
    assert.deepEqual(await broker.deliver(message({ id: "1" }), message({ id: "2" })), [line, line]);
  });
});
