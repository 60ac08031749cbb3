import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { BrokerMessage, MessageHandler, PubSub } from "../../../components/pubsub/broker.ts";
import { ApiError } from "../../../lib/kit/errors.ts";
import {
  TopicEventResponse_TopicEventResponseStatus as Status,
  type TopicEventRequest,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import {
  type SubscribeTopicEventsRequestAlpha1,
  SubscribeTopicEventsRequestAlpha1Schema,
  type SubscribeTopicEventsResponseAlpha1,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/pubsub_pb.ts";
import { MessageQueue } from "../../../lib/wire/grpc/message-queue.ts";
import { GrpcCode, GrpcStatusError } from "../../../lib/wire/grpc/types.ts";
import type { Loaded, Policy } from "../../contract/ports.ts";
import { httpApp, type SidecarOptions, settle, type TestSidecar, testSidecar } from "./test-sidecar.ts";

const never = new AbortController().signal;

/** The app's end of a stream. */
class Client {
  readonly #requests = new MessageQueue<SubscribeTopicEventsRequestAlpha1>({ pause() {}, resume() {}, cancel: null });
  readonly #replies: AsyncIterator<SubscribeTopicEventsResponseAlpha1>;

  constructor(sidecar: TestSidecar) {
    const method = sidecar.block.grpc.find((one) => one.desc.name === "SubscribeTopicEventsAlpha1");
    assert.ok(method?.kind === "bidi_streaming");
    const replies = method.handle(this.#requests as AsyncIterable<never>, { signal: never } as never);
    this.#replies = (replies as AsyncIterable<SubscribeTopicEventsResponseAlpha1>)[Symbol.asyncIterator]();
  }

  send(kind: MessageInitShape<typeof SubscribeTopicEventsRequestAlpha1Schema>["subscribeTopicEventsRequestType"]): void {
    this.#requests.push(create(SubscribeTopicEventsRequestAlpha1Schema, { subscribeTopicEventsRequestType: kind as never }));
  }

  ask(topic: string, pubsubName = "mypub", deadLetterTopic = ""): void {
    this.send({ case: "initialRequest", value: { pubsubName, topic, deadLetterTopic } });
  }

  answer(id: string, status: Status): void {
    this.send({ case: "eventProcessed", value: { id, status: { status } } });
  }

  /** What comes next; "end" when the stream ends well. */
  async next(): Promise<"initial" | "end" | TopicEventRequest> {
    const step = await this.#replies.next();
    if (step.done) return "end";
    const kind = step.value.subscribeTopicEventsResponseType;
    return kind.case === "eventMessage" ? kind.value : "initial";
  }

  async event(): Promise<TopicEventRequest> {
    const next = await this.next();
    assert.ok(typeof next === "object");
    return next;
  }

  async handle(status: Status): Promise<string> {
    const { data, id } = await this.event();
    this.answer(id, status);
    return Buffer.from(data).toString();
  }

  halfClose(): void {
    this.#requests.end();
  }

  /** The call is cancelled. */
  async leave(): Promise<"end"> {
    this.#requests.fail(new GrpcStatusError(GrpcCode.CANCELLED, "context canceled"));
    await this.#replies.return?.();
    return "end";
  }
}

async function opened(sidecar: TestSidecar, topic = "t", deadLetterTopic = ""): Promise<Client> {
  const client = new Client(sidecar);
  client.ask(topic, "mypub", deadLetterTopic);
  assert.equal(await client.next(), "initial");
  return client;
}

/** A broker whose subscriptions the test feeds, and which says what became of each message. */
class HandFed {
  readonly features = [];
  readonly handlers: MessageHandler[] = [];
  readonly letters: string[] = [];
  stopped = 0;

  async publish({ data }: { data: Uint8Array }): Promise<void> {
    this.letters.push(Buffer.from(data).toString());
  }

  async subscribe(_: unknown, handler: MessageHandler) {
    const inFlight = new Set<Promise<void>>();
    this.handlers.push((message, signal) => {
      const handled = handler(message, signal);
      const settled = handled.catch(() => {}).then(() => void inFlight.delete(settled));
      inFlight.add(settled);
      return handled;
    });
    return {
      stop: async () => {
        await Promise.all(inFlight);
        this.stopped++;
      },
    };
  }

  /** "acknowledged", or why the message shall come again. */
  deliver(id: string, index = 0): Promise<string> {
    const handler = this.handlers[index];
    assert.ok(handler);
    return handler(message(id), never).then(
      () => "acknowledged",
      (error: Error) => error.message,
    );
  }
}

function message(id: string): BrokerMessage {
  const data = Buffer.from(JSON.stringify({ id, datacontenttype: "text/plain", data: `data of ${id}` }));
  return { topic: "t", data, contentType: null, metadata: {} };
}

function handFed(more: SidecarOptions = {}): { broker: HandFed; sidecar: TestSidecar } {
  const broker = new HandFed();
  return { broker, sidecar: testSidecar({ ...more, drivers: { mypub: broker as unknown as PubSub } }) };
}

describe("a stream of events", () => {
  it("is asked for, acknowledged, listed, and needs no app channel", async () => {
    const sidecar = testSidecar();
    const client = await opened(sidecar, "a");
    assert.deepEqual(
      sidecar.block.subscriptions.list().map(({ pubsubName, topic, type, rules }) => ({ pubsubName, topic, type, rules })),
      [{ pubsubName: "mypub", topic: "a", type: "STREAMING", rules: [{ match: "", path: "/" }] }],
    );
    const data = Buffer.from('{"id":"1","datacontenttype":"application/json","data":{"n":12345678901234567890}}');
    await sidecar.driver("mypub").publish({ topic: "a", data, contentType: "", metadata: {} }, never);
    const event = await client.event();
    assert.deepEqual([event.topic, event.pubsubName, event.path, event.id], ["a", "mypub", "/", "1"]);
    assert.equal(Buffer.from(event.data).toString(), '{"n":12345678901234567890}');
    client.halfClose();
    assert.equal(await client.next(), "end");
    assert.deepEqual(sidecar.block.subscriptions.list(), []);
  });

  const answers: readonly [string, Status, string, readonly string[]][] = [
    ["SUCCESS", Status.SUCCESS, "acknowledged", []],
    ["DROP", Status.DROP, "acknowledged", ["dead"]],
    ["RETRY", Status.RETRY, "acknowledged", ["dead"]],
    ["an unknown status", 99 as Status, "acknowledged", ["dead"]],
  ];
  for (const [name, status, outcome, letters] of answers) {
    it(`${name}: ${letters[0] ?? outcome}`, async () => {
      const { broker, sidecar } = handFed();
      const client = await opened(sidecar, "t", "dead");
      const delivered = broker.deliver("1");
      assert.equal(await client.handle(status), "data of 1");
      assert.equal(await delivered, outcome);
      assert.equal(broker.letters.length, letters.length);
      await client.leave();
    });
  }

  it("without dead letter topic: RETRY goes back to the broker, DROP is done with", async () => {
    const { broker, sidecar } = handFed();
    const client = await opened(sidecar);
    const retried = broker.deliver("1");
    await client.handle(Status.RETRY);
    assert.equal(await retried, "RETRY status returned from app while processing pub/sub event 1");
    const dropped = broker.deliver("2");
    await client.handle(Status.DROP);
    assert.equal(await dropped, "acknowledged");
    await client.leave();
  });

  it("answers may come in any order; one that nobody waits for is logged", async () => {
    const { broker, sidecar } = handFed();
    const client = await opened(sidecar);
    const [one, two] = [broker.deliver("1"), broker.deliver("2")];
    await client.event();
    await client.event();
    client.answer("2", Status.SUCCESS);
    assert.equal(await two, "acknowledged");
    client.answer("nobody", Status.SUCCESS);
    client.answer("1", Status.SUCCESS);
    assert.equal(await one, "acknowledged");
    const line = "no client stream expecting publish response for id nobody ConnectionID1";
    assert.ok(sidecar.lines.some(({ level, message: text }) => level === "error" && text === line));
    await client.leave();
  });

  it("two events of one id need two answers", async () => {
    const { broker, sidecar } = handFed();
    const client = await opened(sidecar);
    const both = [broker.deliver("same"), broker.deliver("same")];
    assert.equal(await client.handle(Status.SUCCESS), "data of same");
    assert.equal(await both[0], "acknowledged");
    assert.equal(await client.handle(Status.DROP), "data of same");
    assert.equal(await both[1], "acknowledged");
    await client.leave();
  });

  it("several of one topic are subscriptions of their own", async () => {
    const sidecar = testSidecar();
    const clients = [await opened(sidecar), await opened(sidecar)];
    assert.equal(sidecar.block.subscriptions.list().length, 2);
    const data = Buffer.from('{"id":"1","datacontenttype":"text/plain","data":"x"}');
    await sidecar.driver("mypub").publish({ topic: "t", data, contentType: "", metadata: {} }, never);
    assert.deepEqual(await Promise.all(clients.map((client) => client.handle(Status.SUCCESS))), ["x", "x"]);
    await clients[0]?.leave();
    assert.equal(sidecar.block.subscriptions.list().length, 1);
    await clients[1]?.leave();
  });

  it("an event that is too large for it fails alone", async () => {
    const { broker, sidecar } = handFed();
    const client = await opened(sidecar);
    const large = broker.deliver("x".repeat(1 << 20));
    assert.match(await large, /is larger than the limit of 1048576; raise --max-body-size$/);
    const small = broker.deliver("x".repeat(1 << 18));
    assert.equal((await client.handle(Status.SUCCESS)).length, "data of ".length + (1 << 18));
    assert.equal(await small, "acknowledged");
    await client.leave();
  });

  it("ends: what the app holds goes back to the broker, and to no dead letter topic", async () => {
    for (const end of ["halfClose", "leave"] as const) {
      const { broker, sidecar } = handFed();
      const client = await opened(sidecar, "t", "dead");
      const held = broker.deliver("1");
      await client.event();
      const unsent = broker.deliver("2");
      const left = client[end]();
      assert.equal(await held, "stream closed");
      assert.equal(await unsent, "stream closed");
      assert.equal(await (left ?? client.next()), "end");
      assert.deepEqual([broker.stopped, broker.letters, sidecar.block.subscriptions.list()], [1, [], []]);
    }
  });

  it("ends: retries end with it", async () => {
    const attempts: AbortSignal[] = [];
    const forever: Policy = {
      retries: true,
      async run(operation, outer) {
        for (;;) {
          attempts.push(outer);
          if (outer.aborted) throw outer.reason;
          try {
            return await operation(outer);
          } catch {}
        }
      },
    };
    const { broker, sidecar } = handFed({ policies: { inbound: () => forever } });
    const client = await opened(sidecar);
    const held = broker.deliver("1");
    await client.handle(Status.RETRY);
    await client.event();
    await client.leave();
    assert.equal(await held, "stream closed");
    assert.equal(attempts.length, 3);
  });
});

describe("what opens no stream", () => {
  async function refusal(sidecar: TestSidecar, send: (client: Client) => void): Promise<unknown> {
    const client = new Client(sidecar);
    send(client);
    return client.next().then(
      () => assert.fail("a stream was opened"),
      (error) => error,
    );
  }

  const cases: readonly [string, (client: Client) => void, string][] = [
    ["no component", (client) => client.ask("t", ""), "pubsubName is required"],
    ["no topic", (client) => client.ask(""), "topic is required"],
    ["an answer first", (client) => client.answer("1", Status.SUCCESS), "initial request is required"],
    ["nothing", (client) => client.halfClose(), "initial request is required"],
    [
      "a topic out of scope",
      (client) => client.ask("secret"),
      "failed to create subscription for mypub: subscription to topic 'secret' on pubsub 'mypub' is not allowed",
    ],
  ];
  for (const [name, send, text] of cases) {
    it(name, async () => {
      const sidecar = testSidecar({ components: { mypub: { subscriptionScopes: "myapp=t" } } });
      const error = await refusal(sidecar, send);
      assert.ok(error instanceof GrpcStatusError);
      assert.deepEqual([error.code, error.message], [GrpcCode.UNKNOWN, text]);
      assert.deepEqual(sidecar.block.subscriptions.list(), []);
    });
  }

  it("an unknown component", async () => {
    const error = await refusal(testSidecar(), (client) => client.ask("t", "nope"));
    assert.ok(error instanceof ApiError);
    assert.deepEqual([error.message, error.details.length], ["pubsub nope is not found", 1]);
  });

  it("a second request ends the stream", async () => {
    const client = await opened(testSidecar());
    client.ask("t");
    await assert.rejects(client.next(), /duplicate initial request received/);
  });
});

describe("the life of streams", () => {
  it("does not follow the app's health", async () => {
    const sidecar = testSidecar({ channel: httpApp([], () => ({ status: 200 })) });
    const client = await opened(sidecar);
    await sidecar.block.subscriptions.start();
    await sidecar.block.subscriptions.stop();
    const data = Buffer.from('{"id":"1","datacontenttype":"text/plain","data":"x"}');
    await sidecar.driver("mypub").publish({ topic: "t", data, contentType: "", metadata: {} }, never);
    assert.equal(await client.handle(Status.SUCCESS), "x");
    await client.leave();
  });

  it("drains at the end: what is out is awaited and acknowledged, then the stream ends", async () => {
    const { broker, sidecar } = handFed();
    const client = await opened(sidecar);
    const silent = new Client(sidecar);
    const refused = assert.rejects(silent.next(), /api server closed/);
    const held = broker.deliver("1");
    const { id } = await client.event();
    let stopped = false;
    const stopping = sidecar.block.subscriptions.stopForever().then(() => {
      stopped = true;
    });
    await settle();
    assert.equal(stopped, false);
    client.answer(id, Status.SUCCESS);
    assert.equal(await held, "acknowledged");
    await stopping;
    await assert.rejects(client.next(), (error) => error instanceof GrpcStatusError && error.message === "stream closed");
    await refused;
    const late = new Client(sidecar);
    late.ask("t");
    await assert.rejects(late.next(), /api server closed|shutting down/);
  });

  it("moves to a changed component, and ends with one that is gone", async () => {
    const { broker: before, sidecar } = handFed();
    const client = await opened(sidecar);
    const old = sidecar.components.get("mypub") as Loaded<PubSub>;
    await sidecar.block.subscriptions.refresh();
    assert.equal(before.handlers.length, 1, "the same component is left alone");
    const after = new HandFed();
    sidecar.components.set("mypub", { ...old, driver: after as unknown as PubSub });
    const held = before.deliver("1");
    await client.event();
    const moving = sidecar.block.subscriptions.refresh();
    await settle();
    assert.equal(after.handlers.length, 0, "not before what is in flight is finished");
    client.answer("1", Status.SUCCESS);
    assert.equal(await held, "acknowledged");
    await moving;
    assert.equal(before.stopped, 1);
    const delivered = after.deliver("2");
    assert.equal(await client.handle(Status.SUCCESS), "data of 2");
    assert.equal(await delivered, "acknowledged");
    sidecar.components.delete("mypub");
    await sidecar.block.subscriptions.refresh();
    await assert.rejects(client.next(), /pubsub mypub is not found/);
    assert.deepEqual(sidecar.block.subscriptions.list(), []);
  });
});
