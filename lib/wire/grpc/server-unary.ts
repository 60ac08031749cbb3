// Unary calls: the hot path. One message in, one respond and one end out; nothing is awaited unless the handler is.
import { type Compression, encodeFrame, FrameDecoder } from "./framing.ts";
import type { CompiledMethod, ServerLimits } from "./server.ts";
import type { ServerCall } from "./server-call.ts";
import { GrpcCode, type GrpcMethod, GrpcStatusError } from "./types.ts";

type UnaryMethod = Extract<GrpcMethod, { kind: "unary" }>;

export function runUnary(
  call: ServerCall,
  compiled: CompiledMethod,
  method: UnaryMethod,
  compression: Compression,
  limits: ServerLimits,
): void {
  readSingle(call, compression, limits, (bytes) => {
    const outcome = method.handle(decodeRequest(compiled, bytes) as never, call);
    if (isPromise(outcome)) outcome.then((reply) => answer(call, compiled, reply, limits), failure(call));
    else answer(call, compiled, outcome, limits);
  });
}

/** Reads the one message of a call whose caller sends one, then calls `handle`; its throws fail the call. */
export function readSingle(call: ServerCall, compression: Compression, limits: ServerLimits, handle: (bytes: Uint8Array) => void): void {
  const { stream } = call;
  const decoder = new FrameDecoder(limits.maxReceiveBytes, compression);
  let single: Uint8Array | null = null;
  const keep = (message: Uint8Array): void => {
    if (single !== null) throw cardinality("received multiple request messages");
    single = message;
  };
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
      if (single === null) throw cardinality("received no request message");
      handle(single);
    } catch (error) {
      call.fail(error);
    }
  });
}

export function decodeRequest(compiled: CompiledMethod, bytes: Uint8Array): unknown {
  try {
    return compiled.decode(bytes);
  } catch (error) {
    throw new GrpcStatusError(GrpcCode.INTERNAL, `grpc: error unmarshalling request: ${(error as Error).message}`);
  }
}

function answer(call: ServerCall, compiled: CompiledMethod, reply: unknown, limits: ServerLimits): void {
  if (call.done) return;
  try {
    call.succeed(encodeFrame(compiled.encode(reply), limits.maxSendBytes));
  } catch (error) {
    call.fail(error);
  }
}

function failure(call: ServerCall): (error: unknown) => void {
  return (error) => call.fail(error);
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as Promise<unknown> | null)?.then === "function";
}

function cardinality(what: string): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.INTERNAL, `cardinality violation: ${what} for non-client-streaming RPC`);
}
