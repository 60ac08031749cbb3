import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { statusOf } from "../../contract/failure.ts";
import type { AppRequest, AppResponse, Policy, RunOptions } from "../../contract/ports.ts";
import { readBody } from "../../contract/read-body.ts";
import { invokeUnder } from "./attempts.ts";

const never = new AbortController().signal;

/** Tries up to `attempts` times without waiting. */
class Trying implements Policy {
  readonly retries: boolean;
  readonly statuses: (number | null)[] = [];
  readonly #attempts: number;

  constructor(attempts: number) {
    this.retries = attempts > 1;
    this.#attempts = attempts;
  }

  async run<T>(operation: (signal: AbortSignal) => Promise<T>, signal: AbortSignal, options: RunOptions = {}): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await operation(signal);
      } catch (failure) {
        this.statuses.push(statusOf(failure));
        if (attempt === this.#attempts || options.mayRetry?.() === false) throw failure;
        options.discard?.(failure);
      }
    }
  }
}

function request(overrides: Partial<AppRequest> = {}): AppRequest {
  return { verb: "POST", method: "m", query: "", headers: {}, contentType: null, body: null, contentLength: 0, ...overrides };
}

function answer(status: number, overrides: Partial<AppResponse> = {}): AppResponse {
  return { status, grpc: null, headers: {}, trailers: {}, contentType: null, body: new Uint8Array(0), ...overrides };
}

/** An app that reads what it gets and answers with `statuses` in turn, its answers as streams. */
function appAnswering(...statuses: number[]) {
  const bodies: string[] = [];
  const answers: Readable[] = [];
  const dispatch = async ({ body }: AppRequest): Promise<AppResponse> => {
    const bytes = body === null ? new Uint8Array(0) : await readBody(body, 0);
    bodies.push(Buffer.from(bytes).toString());
    const stream = Readable.from([Buffer.from(`answer ${bodies.length}`)]);
    answers.push(stream);
    return answer(statuses[bodies.length - 1] as number, { body: stream });
  };
  return { bodies, answers, dispatch };
}

test("failing statuses are tried again with the same streamed body; the last answer is the call's, earlier ones are let go", async () => {
  const { answers, bodies, dispatch } = appAnswering(500, 404, 503);
  const policy = new Trying(3);
  const body = Readable.from([Buffer.from("one "), Buffer.from("two")]);
  const response = await invokeUnder(policy, request({ body, contentLength: 7 }), dispatch, never);
  assert.deepEqual([response.status, bodies, policy.statuses], [503, ["one two", "one two", "one two"], [500, 404, 503]]);
  assert.equal(Buffer.from(await readBody(response.body, 0)).toString(), "answer 3");
  assert.deepEqual(answers.map(({ destroyed }) => destroyed).slice(0, 2), [true, true]);
});

test("200 to 399 are success, and of gRPC apps OK alone", async () => {
  const counted = async (response: AppResponse) => {
    const policy = new Trying(2);
    await invokeUnder(policy, request(), async () => response, never);
    return policy.statuses.length;
  };
  const grpc = (code: number) => answer(code === 0 ? 200 : 500, { grpc: { code, message: "", details: null } });
  const counts = await Promise.all([answer(200), answer(304), answer(399), answer(400), answer(199), grpc(0), grpc(5)].map(counted));
  assert.deepEqual(counts, [0, 0, 0, 2, 2, 0, 2]);
});

test("a body of unknown length is sent once, its failure still one for the policy", async () => {
  const { bodies, dispatch } = appAnswering(500, 200);
  const policy = new Trying(3);
  const body = Readable.from([Buffer.from("streamed")]);
  const response = await invokeUnder(policy, request({ body, contentLength: null }), dispatch, never);
  assert.deepEqual([response.status, bodies, policy.statuses], [500, ["streamed"], [500]]);
});

test("a body too large to be kept is sent once", async () => {
  const { bodies, dispatch } = appAnswering(500, 200);
  const body = Readable.from([Buffer.alloc(3 << 20), Buffer.alloc(3 << 20)]);
  const response = await invokeUnder(new Trying(3), request({ body, contentLength: 6 << 20 }), dispatch, never);
  assert.deepEqual([response.status, bodies.length], [500, 1]);
});

test("without retries a stream goes through untouched", async () => {
  const body = Readable.from([Buffer.from("x")]);
  let seen: unknown = null;
  await invokeUnder(
    new Trying(1),
    request({ body, contentLength: 1 }),
    async (sent) => {
      seen = sent.body;
      return answer(200);
    },
    never,
  );
  assert.equal(seen, body);
});
