// Streaming calls: the handler's async iterable is written out under backpressure, and, for both directions, the caller's
// messages are queued so that reading pauses while the handler is busy.
import { drained } from "./drained.ts";
import { type Compression, encodeFrame, FrameDecoder } from "./framing.ts";
import { MessageQueue } from "./message-queue.ts";
import type { CompiledMethod, ServerLimits } from "./server.ts";
import type { ServerCall } from "./server-call.ts";
import { decodeRequest, readSingle } from "./server-unary.ts";
import { GrpcCode, type GrpcMethod, GrpcStatusError } from "./types.ts";

type StreamingMethod = Exclude<GrpcMethod, { kind: "unary" | "raw" }>;

export function runStreaming(
  call: ServerCall,
  compiled: CompiledMethod,
  method: StreamingMethod,
  compression: Compression,
  limits: ServerLimits,
): void {
  if (method.kind === "server_streaming") {
    readSingle(call, compression, limits, (bytes) => {
      void pump(call, compiled, method.handle(decodeRequest(compiled, bytes) as never, call), limits);
    });
    return;
  }
  const requests = readMany(call, compiled, compression, limits);
  void pump(call, compiled, method.handle(requests as AsyncIterable<never>, call), limits);
}

/** Writes out what the handler yields. Never rejects. */
async function pump(call: ServerCall, compiled: CompiledMethod, replies: AsyncIterable<unknown>, limits: ServerLimits): Promise<void> {
  const iterator = replies[Symbol.asyncIterator]();
  const stop = call.onCancel;
  call.onCancel = () => {
    stop?.();
    // The handler may be waiting for something that never comes: its signal is aborted, and its `finally` runs when it wakes.
    void Promise.resolve(iterator.return?.()).catch(ignore);
  };
  try {
    for (;;) {
      const step = await iterator.next();
      if (call.done) return;
      if (step.done) return call.succeed(null);
      if (!call.send(encodeFrame(compiled.encode(step.value), limits.maxSendBytes))) await drained(call.stream);
    }
  } catch (error) {
    call.fail(error);
  }
}

function readMany(call: ServerCall, compiled: CompiledMethod, compression: Compression, limits: ServerLimits): MessageQueue<unknown> {
  const { stream } = call;
  const decoder = new FrameDecoder(limits.maxReceiveBytes, compression);
  const queue = new MessageQueue<unknown>({ pause: () => stream.pause(), resume: () => stream.resume(), cancel: null });
  const keep = (bytes: Uint8Array) => queue.push(decodeRequest(compiled, bytes));
  call.onCancel = () => queue.fail(new GrpcStatusError(GrpcCode.CANCELLED, "context canceled"));
  stream.on("data", (chunk: Buffer) => {
    if (call.done) return;
    try {
      decoder.push(chunk, keep);
    } catch (error) {
      call.fail(error);
    }
  });
  stream.on("end", () => {
    if (call.done) return;
    try {
      decoder.end();
      queue.end();
    } catch (error) {
      call.fail(error);
    }
  });
  return queue;
}

function ignore(): void {}
