import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { BrokerMessage, BulkMessageHandler } from "../../../components/pubsub/broker.ts";
import { FakeClock } from "../../../lib/kit/fake-clock.ts";
import { Gatherer } from "./gathering.ts";

const never = new AbortController().signal;
const limits = { maxMessages: 3, maxAwaitMs: 100 };

function message(text: string): BrokerMessage {
  return { topic: "t", data: Buffer.from(text), contentType: null, metadata: {} };
}

/** Hands each bulk over as `a,b`, and answers it when told to. */
class Stage {
  readonly clock = new FakeClock();
  readonly bulks: string[] = [];
  readonly signals: AbortSignal[] = [];
  readonly #answers: PromiseWithResolvers<readonly unknown[]>[] = [];
  readonly gatherer: Gatherer;

  constructor(immediate = false) {
    const handler: BulkMessageHandler = (messages, signal) => {
      this.bulks.push(messages.map(({ data }) => Buffer.from(data).toString()).join(","));
      this.signals.push(signal);
      const answer = Promise.withResolvers<readonly unknown[]>();
      this.#answers.push(answer);
      return answer.promise;
    };
    this.gatherer = new Gatherer(limits, handler, this.clock, immediate);
  }

  add(texts: string, signal = never): readonly Promise<string>[] {
    return [...texts].map((text) =>
      this.gatherer.add(message(text), signal).then(
        () => "acknowledged",
        (error: Error) => error.message,
      ),
    );
  }

  async answer(outcomes: readonly unknown[] | Error): Promise<void> {
    const next = this.#answers.shift();
    assert.ok(next);
    if (outcomes instanceof Error) next.reject(outcomes);
    else next.resolve(outcomes);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("messages gathered into bulks", () => {
  it("go out when the bulk is full, one bulk at a time", async () => {
    const stage = new Stage();
    const outcomes = stage.add("abcdefg");
    assert.deepEqual(stage.bulks, ["a,b,c"]);
    await stage.answer([null, new Error("again"), null]);
    assert.deepEqual(await Promise.all(outcomes.slice(0, 3)), ["acknowledged", "again", "acknowledged"]);
    assert.deepEqual(stage.bulks, ["a,b,c", "d,e,f"]);
    await stage.answer([null, null, null]);
    assert.deepEqual(stage.bulks.length, 2, "the last one waits for company");
  });

  it("or when the first has waited long enough, counted from its own coming", async () => {
    const stage = new Stage();
    stage.add("a");
    await stage.clock.advance(60);
    stage.add("b");
    await stage.clock.advance(39);
    assert.deepEqual(stage.bulks, []);
    await stage.clock.advance(1);
    assert.deepEqual(stage.bulks, ["a,b"]);
    await stage.answer([null, null]);
    stage.add("c");
    await stage.clock.advance(99);
    assert.deepEqual(stage.bulks, ["a,b"], "a new bulk waits its own time");
    await stage.clock.advance(1);
    assert.deepEqual(stage.bulks, ["a,b", "c"]);
  });

  it("what came during a bulk longer than the wait follows it at once", async () => {
    const stage = new Stage();
    stage.add("abc");
    stage.add("d");
    await stage.clock.advance(500);
    assert.deepEqual(stage.bulks, ["a,b,c"]);
    await stage.answer([null, null, null]);
    assert.deepEqual(stage.bulks, ["a,b,c", "d"]);
  });

  it("at once when it stops, and for brokers that wait for each acknowledgement", async () => {
    const stopping = new Stage();
    stopping.add("a");
    stopping.gatherer.hurry();
    assert.deepEqual(stopping.bulks, ["a"]);
    const immediate = new Stage(true);
    immediate.add("abc");
    assert.deepEqual(immediate.bulks, ["a"]);
    await immediate.answer([null]);
    assert.deepEqual(immediate.bulks, ["a", "b,c"]);
  });

  it("a handler that fails refuses its bulk and no other", async () => {
    const stage = new Stage();
    const first = stage.add("abc");
    const second = stage.add("def");
    await stage.answer(new Error("broken"));
    await stage.answer([null, null, null]);
    assert.deepEqual(await Promise.all(first), ["broken", "broken", "broken"]);
    assert.deepEqual(await Promise.all(second), ["acknowledged", "acknowledged", "acknowledged"]);
  });

  it("a bulk is given up with the last of its messages, not with the first", () => {
    const stage = new Stage();
    const [one, two] = [new AbortController(), new AbortController()];
    stage.add("a", one.signal);
    stage.add("bc", two.signal);
    one.abort(new Error("late"));
    assert.equal(stage.signals[0]?.aborted, false);
    two.abort(new Error("late"));
    assert.equal(stage.signals[0]?.aborted, true);
  });
});
