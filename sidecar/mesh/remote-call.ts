// One attempt of a call to another sidecar: CallLocalStream with the body as frames, and the unary CallLocal where the
// other end is too old to know it. Request and response run at the same time; either side may be slow.
import type { Readable } from "node:stream";
import { streamFrameMaxBytes } from "../../lib/kit/limits.ts";
import { ServiceInvocation } from "../../lib/proto/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import type { PartTaker } from "../../lib/wire/grpc/framing.ts";
import {
  type GrpcChannel,
  GrpcCode,
  GrpcStatusError,
  type Metadata,
  type RawClientReceiver,
  type RawClientStream,
} from "../../lib/wire/grpc/types.ts";
import type { AppRequest, AppResponse, HeaderLists } from "../contract/ports.ts";
import type { ReplayBody } from "../contract/replay-body.ts";
import { BodyReceiver } from "./body-receiver.ts";
import { decodeFrame, FrameWriter, grpcFrame } from "./frames.ts";
import { announcedLength, decodeResponse, encodeRequest, type ReceivedResponse } from "./messages.ts";

export interface RemoteCall {
  readonly request: AppRequest;
  /** The body: bytes, none, or a stream that may be read again. */
  readonly body: Uint8Array | ReplayBody | null;
  readonly added: HeaderLists;
  readonly metadata: Metadata;
}

/** `done` is called when the connection is no longer used by this call. Rejects with the other end's status. */
export async function callRemote(channel: GrpcChannel, call: RemoteCall, done: () => void, signal: AbortSignal): Promise<AppResponse> {
  const streamed = new StreamedCall(channel, call, done, signal);
  try {
    return await streamed.response;
  } catch (error) {
    if (!(error instanceof GrpcStatusError) || error.code !== GrpcCode.UNIMPLEMENTED) throw error;
    await streamed.sent;
    return callUnary(channel, call, signal);
  }
}

class StreamedCall implements RawClientReceiver, PartTaker {
  readonly parts = this;
  readonly response: Promise<AppResponse>;
  /** Resolves when the body is no longer read. */
  readonly sent: Promise<void> | null;
  readonly #stream: RawClientStream;
  readonly #done: () => void;
  #resolve!: (response: AppResponse) => void;
  #reject!: (error: unknown) => void;
  #body: BodyReceiver | null = null;
  /** What went wrong on our side; the call's own status then only says that we cancelled it. */
  #failure: unknown = null;

  constructor(channel: GrpcChannel, call: RemoteCall, done: () => void, signal: AbortSignal) {
    this.#done = done;
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#stream = channel.raw(ServiceInvocation.method.callLocalStream, this, { metadata: call.metadata, signal });
    this.sent = this.#send(new FrameWriter(this.#stream, encodeRequest(call.request, call.added, null)), call.body);
  }

  onMessage(bytes: Uint8Array): void {
    try {
      const frame = decodeFrame(bytes);
      if (this.#body === null) this.#body = this.#begin(frame.head);
      // A Go sidecar streaming server-sent events repeats an empty response in every frame.
      else if (frame.head !== null && frame.head.length > 0) throw new Error("response metadata found in non-leading chunk");
      this.#body.push(frame);
    } catch (error) {
      this.#fail(error);
    }
  }

  begin(start: Buffer, length: number): boolean {
    return this.#body?.begin(start, length) ?? false;
  }

  part(bytes: Buffer): void {
    try {
      this.#body?.part(bytes);
    } catch (error) {
      this.#fail(error);
    }
  }

  onEnd(status: GrpcStatusError | null): void {
    this.#done();
    const failure = this.#failure ?? status;
    if (failure !== null) {
      if (this.#body?.fail(failure) !== true) this.#reject(failure);
    } else if (this.#body === null) this.#reject(badLeading());
    else this.#body.end();
  }

  #begin(bytes: Uint8Array | null): BodyReceiver {
    const received = bytes === null ? null : decodeResponse(bytes);
    if (received === null) throw badLeading();
    const { response } = received;
    const flow = { pause: () => this.#stream.pause(), resume: () => this.#stream.resume(), cancel: () => this.#stream.cancel() };
    return new BodyReceiver(flow, announcedLength(response.headers), (body) => this.#resolve(withBody(response, body)));
  }

  /** Null when the whole body has been handed over. */
  #send(writer: FrameWriter, body: RemoteCall["body"]): Promise<void> | null {
    if (body === null || body instanceof Uint8Array) {
      if (body === null || body.length <= streamFrameMaxBytes) {
        writer.last(body ?? empty);
        return null;
      }
      return writer.whole(body);
    }
    return this.#sendStream(writer, body).catch((error) => this.#fail(error, "the request body broke off"));
  }

  /** The request goes ahead of a body that may take its time. */
  async #sendStream(writer: FrameWriter, body: ReplayBody): Promise<void> {
    writer.open();
    for await (const chunk of body.read()) {
      if (!writer.part(chunk)) await this.#stream.drained();
      if (this.#stream.over) return;
    }
    writer.end();
  }

  #fail(error: unknown, reason?: string): void {
    this.#failure ??= error;
    this.#stream.cancel(reason === undefined ? undefined : new GrpcStatusError(GrpcCode.CANCELLED, reason));
  }
}

function withBody(response: ReceivedResponse["response"], body: Uint8Array | Readable): AppResponse {
  return { ...response, body };
}

const empty = new Uint8Array(0);

function badLeading(): Error {
  return new Error("response does not contain the required fields in the leading chunk");
}

async function callUnary(channel: GrpcChannel, call: RemoteCall, signal: AbortSignal): Promise<AppResponse> {
  const appId = call.added["destination-app-id"]?.[0];
  if (call.body !== null && !(call.body instanceof Uint8Array) && !call.body.canReplay) {
    throw new Error(`target app '${appId}' is running a version of Dapr that does not support streaming-based service invocation`);
  }
  const frame = grpcFrame(encodeRequest(call.request, call.added, await whole(call.body)));
  const answer = await callWhole(channel, frame, call.metadata, signal);
  const received = decodeResponse(answer);
  if (received === null) throw badLeading();
  return withBody(received.response, received.data ?? empty);
}

/** A unary call in encoded messages. */
function callWhole(channel: GrpcChannel, frame: Buffer, metadata: Metadata, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let answer: Uint8Array | null = null;
    const receiver: RawClientReceiver = {
      parts: null,
      onMessage(bytes) {
        answer = bytes;
      },
      onEnd(status) {
        if (status === null && answer !== null) resolve(answer);
        else reject(status ?? badLeading());
      },
    };
    channel.raw(ServiceInvocation.method.callLocal, receiver, { metadata, signal }).end(frame, null);
  });
}

async function whole(body: RemoteCall["body"]): Promise<Uint8Array> {
  if (body === null) return empty;
  if (body instanceof Uint8Array) return body;
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.read()) chunks.push(chunk);
  return Buffer.concat(chunks);
}
