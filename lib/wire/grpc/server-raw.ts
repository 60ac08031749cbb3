// Calls whose handler takes and gives encoded messages by callback: no object per message, no promise, no iterator. For the
// protocol between sidecars, where each of them would be paid on every hop.
import { drained, endWithFrame, writeFrame } from "./drained.ts";
import { type Compression, FrameDecoder } from "./framing.ts";
import type { ServerLimits } from "./server.ts";
import type { ServerCall } from "./server-call.ts";
import { GrpcCode, type GrpcMethod, GrpcStatusError, type RawServerStream } from "./types.ts";

type RawMethod = Extract<GrpcMethod, { kind: "raw" }>;

export function runRaw(call: ServerCall, method: RawMethod, compression: Compression, limits: ServerLimits): void {
  const { stream } = call;
  const receiver = method.open(call, new RawReplies(call));
  const decoder = new FrameDecoder(limits.maxReceiveBytes, compression, receiver.parts);
  const receive = (bytes: Uint8Array): void => {
    if (!call.done) receiver.onMessage(bytes);
  };
  call.onCancel = () => receiver.onCancel(new GrpcStatusError(GrpcCode.CANCELLED, "context canceled"));
  stream.on("data", (chunk: Buffer) => {
    if (call.done) return;
    try {
      decoder.push(chunk, receive);
    } catch (error) {
      call.fail(error);
    }
  });
  stream.on("end", () => {
    if (call.done) return;
    try {
      decoder.end();
      receiver.onEnd();
    } catch (error) {
      call.fail(error);
    }
  });
}

class RawReplies implements RawServerStream {
  readonly #call: ServerCall;

  constructor(call: ServerCall) {
    this.#call = call;
  }

  send(frame: Buffer, tail: Uint8Array | null): boolean {
    this.#call.sendHeaders();
    return this.#call.done || writeFrame(this.#call.stream, frame, tail);
  }

  drained(): Promise<void> {
    return drained(this.#call.stream);
  }

  end(frame: Buffer | null, tail: Uint8Array | null): void {
    if (this.#call.beginSuccess()) endWithFrame(this.#call.stream, frame, tail);
  }

  fail(error: unknown): void {
    this.#call.fail(error);
  }

  pause(): void {
    this.#call.stream.pause();
  }

  resume(): void {
    this.#call.stream.resume();
  }
}
