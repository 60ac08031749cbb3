import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { EchoApp, EchoClient, failureText, statusOf as finalStatus, metadataOf } from "../../lib/wire/grpc/echo-peer.ts";
import { channel, serve } from "../../lib/wire/grpc/interop-peer.ts";
import { BreakerRefusal, statusOf, TimeoutFailure } from "../contract/failure.ts";
import type { Policy, RunOptions } from "../contract/ports.ts";
import { createProxy } from "./proxy.ts";

const body = Buffer.from("body");

/** Tries up to `attempts` times without waiting; remembers the statuses of what failed. */
class Trying implements Policy {
  readonly retries = true;
  readonly statuses: (number | null)[] = [];
  readonly #attempts: number;
  /** Told of each attempt; what it returns ends the attempt as a timeout would. */
  readonly #cut: (attempt: number) => Promise<void> | null;

  constructor(attempts: number, cut: (attempt: number) => Promise<void> | null = () => null) {
    this.#attempts = attempts;
    this.#cut = cut;
  }

  async run<T>(operation: (signal: AbortSignal) => Promise<T>, _signal: AbortSignal, options: RunOptions = {}): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(operation, attempt);
      } catch (failure) {
        this.statuses.push(statusOf(failure));
        if (attempt === this.#attempts || options.mayRetry?.() === false) throw failure;
      }
    }
  }

  #once<T>(operation: (signal: AbortSignal) => Promise<T>, attempt: number): Promise<T> {
    const limit = new AbortController();
    const running = operation(limit.signal);
    const cut = this.#cut(attempt);
    if (cut === null) return running;
    running.catch(() => {});
    const timedOut = cut.then(() => {
      limit.abort(new TimeoutFailure());
      throw new TimeoutFailure();
    });
    return Promise.race([running, timedOut]);
  }
}

async function setup(t: TestContext, policy: Policy) {
  const app = await EchoApp.start();
  t.after(() => app.kill());
  const asked: string[] = [];
  let failures = 0;
  const reach = async () => {
    const connection = channel(app.port);
    return { channel: connection, done: () => void connection.close(), failed: () => void failures++ };
  };
  const proxy = createProxy({
    identity: { appId: "web", namespace: "default", hostAddress: "127.0.0.1" },
    app: { channel: null, healthy: true, onHealth: () => () => {} },
    remotes: { reach },
    policies: {
      app(target, method) {
        asked.push(`${target} ${method}`);
        return policy;
      },
    },
    authorize: null,
    maxMessageBytes: 4 * 1024 * 1024,
  });
  const open = await serve({ methods: [], unknown: proxy.outbound });
  const client = new EchoClient(`127.0.0.1:${open.port}`);
  t.after(async () => {
    client[Symbol.dispose]();
    await open[Symbol.asyncDispose]();
  });
  return { app, asked, client, failures: () => failures };
}

test("a failure of the app is tried again with the same bytes, and the last one reaches the caller as it came", async (t) => {
  const policy = new Trying(3);
  const { app, asked, client, failures } = await setup(t, policy);
  const { status } = await client.unary(body, metadataOf({ "dapr-app-id": "shop", "fail-code": "14" }));
  assert.deepEqual([status.code, status.details, status.metadata.get("x-tail").join(", ")], [14, failureText, "a, b"]);
  assert.deepEqual([app.calls.length, policy.statuses, asked], [3, [14, 14, 14], ["shop /outrigger.test.Echo/Unary"]]);
  assert.equal(failures(), 0, "an answer of the app says nothing about the connection");
});

test("success is passed on whole, and a breaker or a final timeout is told in gRPC's words", async (t) => {
  const { client } = await setup(t, new Trying(1));
  const fine = await client.unary(body, metadataOf({ "dapr-app-id": "shop" }));
  assert.deepEqual([fine.status.code, fine.message?.toString(), fine.status.metadata.get("x-tail").join(", ")], [0, "body", "a, b"]);

  const open: Policy = { retries: false, run: () => Promise.reject(new BreakerRefusal("open")) };
  const refused = await (await setup(t, open)).client.unary(body, metadataOf({ "dapr-app-id": "shop" }));
  assert.deepEqual([refused.status.code, refused.status.details], [grpc.status.UNKNOWN, "circuit breaker is open"]);
});

test("a timed-out attempt is cancelled and its successor gets the whole request", async (t) => {
  const hanging: { app?: EchoApp } = {};
  const policy = new Trying(2, (attempt) =>
    (hanging.app as EchoApp).until("the app has the call", () => hanging.app?.calls.length === attempt),
  );
  const { app, client } = await setup(t, policy);
  hanging.app = app;
  const { status } = await client.unary(body, metadataOf({ "dapr-app-id": "shop", hang: "1" }));
  assert.deepEqual([status.code, status.details], [grpc.status.DEADLINE_EXCEEDED, "context deadline exceeded"]);
  assert.equal(app.calls.length, 2);
  await app.until("both attempts are cancelled", () => app.calls.every(({ cancelled }) => cancelled));
});

test("what has begun to answer is not tried again", async (t) => {
  const policy = new Trying(3);
  const { app, client } = await setup(t, policy);
  const call = client.split("2x10", metadataOf({ "dapr-app-id": "shop", "fail-code": "13" }));
  let messages = 0;
  call.on("data", () => messages++);
  const { code } = await finalStatus(call);
  assert.deepEqual([messages, code, app.calls.length], [2, 13, 1]);
});

test("with dapr-stream only the begin is the policy's: a failure of the app passes at once", async (t) => {
  const policy = new Trying(3);
  const { app, client } = await setup(t, policy);
  const { status } = await client.unary(body, metadataOf({ "dapr-app-id": "shop", "dapr-stream": "true", "fail-code": "14" }));
  assert.deepEqual([status.code, status.details, app.calls.length, policy.statuses], [14, failureText, 1, []]);
});
