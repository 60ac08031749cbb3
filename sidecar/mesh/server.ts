// The callee's side of the protocol between sidecars: CallLocalStream and the older CallLocal. The method is normalised
// once more here, before policy and dispatch, because the caller may not be one of ours.
import { Readable } from "node:stream";
import { normalizeMethod } from "../../lib/kit/method-path.ts";
import { ServiceInvocation } from "../../lib/proto/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { childOf, parseTraceparent } from "../../lib/telemetry/trace-context.ts";
import type { PartTaker } from "../../lib/wire/grpc/framing.ts";
import {
  type GrpcCall,
  GrpcCode,
  type GrpcMethod,
  GrpcStatusError,
  type RawServerReceiver,
  type RawServerStream,
  raw,
} from "../../lib/wire/grpc/types.ts";
import type { Authorize } from "../contract/authorize.ts";
import { fromMetadata, setTrace, traceOf } from "../contract/invoke-headers.ts";
import type { App, AppRequest, AppResponse } from "../contract/ports.ts";
import { readBody } from "../contract/read-body.ts";
import { BodyReceiver, type Flow } from "./body-receiver.ts";
import { badInvokeRequest, channelFailed, invalidMethod, noAppChannel } from "./errors.ts";
import { decodeFrame, FrameWriter, grpcFrame } from "./frames.ts";
import { announcedLength, decodeRequest, encodeResponse, type ReceivedRequest } from "./messages.ts";

export interface ServerPorts {
  readonly app: App;
  readonly maxBodyBytes: number;
  readonly authorize: Authorize | null;
}

type Head = Omit<AppRequest, "body">;

export function createInternalMethods(ports: ServerPorts): readonly GrpcMethod[] {
  const { method } = ServiceInvocation;
  return [
    raw(method.callLocal, null, (call, replies) => new WholeCall(ports, call, replies)),
    raw(method.callLocalStream, null, (call, replies) => new StreamedCall(ports, call, replies)),
  ];
}

class WholeCall implements RawServerReceiver {
  readonly parts = null;
  readonly #ports: ServerPorts;
  readonly #call: GrpcCall;
  readonly #replies: RawServerStream;
  #received: ReceivedRequest | null = null;

  constructor(ports: ServerPorts, call: GrpcCall, replies: RawServerStream) {
    this.#ports = ports;
    this.#call = call;
    this.#replies = replies;
  }

  onMessage(bytes: Uint8Array): void {
    if (this.#received !== null) throw cardinality("received multiple request messages");
    this.#received = parsed(() => decodeRequest(bytes));
    if (this.#ports.app.channel === null) throw noAppChannel();
    if (this.#received === null) throw badInvokeRequest("field Message is nil");
  }

  onEnd(): void {
    if (this.#received === null) throw cardinality("received no request message");
    this.#answer(this.#received).catch((error) => this.#replies.fail(error));
  }

  onCancel(): void {}

  async #answer(received: ReceivedRequest): Promise<void> {
    const head = readHead(this.#ports, received, this.#call);
    const response = await invoke(this.#ports, { ...head, body: bytesOrNone(received.data ?? empty) }, this.#call.signal);
    const data = await readBody(response.body, this.#ports.maxBodyBytes);
    this.#replies.end(grpcFrame(encodeResponse(response, data)), null);
  }
}

class StreamedCall implements RawServerReceiver, PartTaker {
  readonly parts = this;
  readonly #ports: ServerPorts;
  readonly #call: GrpcCall;
  readonly #replies: RawServerStream;
  #body: BodyReceiver | null = null;
  #answering: Readable | null = null;

  constructor(ports: ServerPorts, call: GrpcCall, replies: RawServerStream) {
    if (ports.app.channel === null) throw noAppChannel();
    this.#ports = ports;
    this.#call = call;
    this.#replies = replies;
  }

  onMessage(bytes: Uint8Array): void {
    const frame = parsed(() => decodeFrame(bytes));
    if (this.#body === null) this.#body = this.#begin(frame.head);
    else if (frame.head !== null && frame.head.length > 0) this.#break(new Error("request metadata found in non-leading chunk"));
    try {
      this.#body.push(frame);
    } catch (error) {
      this.#break(error);
    }
  }

  begin(start: Buffer, length: number): boolean {
    return this.#body?.begin(start, length) ?? false;
  }

  part(bytes: Buffer): void {
    try {
      this.#body?.part(bytes);
    } catch (error) {
      this.#break(error);
    }
  }

  onEnd(): void {
    if (this.#body === null) throw badLeading();
    this.#body.end();
  }

  onCancel(cause: GrpcStatusError): void {
    this.#body?.fail(cause);
    this.#answering?.destroy();
  }

  #begin(bytes: Uint8Array | null): BodyReceiver {
    const received = bytes === null ? null : parsed(() => decodeRequest(bytes));
    if (received === null) throw badLeading();
    const head = readHead(this.#ports, received, this.#call);
    const flow: Flow = {
      pause: () => this.#replies.pause(),
      resume: () => this.#replies.resume(),
      cancel: () => this.#replies.resume(),
    };
    return new BodyReceiver(flow, head.contentLength, (body) => {
      this.#answer(head, body).catch((error) => this.#replies.fail(error));
    });
  }

  /** Tells whoever reads the body, or else the caller. */
  #break(error: unknown): void {
    if (this.#body?.fail(error) === false) throw error;
  }

  async #answer(head: Head, body: Uint8Array | Readable): Promise<void> {
    const request = { ...head, body: body instanceof Readable ? body : bytesOrNone(body) };
    const response = await invoke(this.#ports, request, this.#call.signal);
    if (isEventStream(head) && (response.status < 200 || response.status > 299)) {
      if (response.body instanceof Readable) response.body.destroy();
      throw channelFailed(new Error("no response received from stream"));
    }
    const writer = new FrameWriter(this.#replies, encodeResponse(response, null));
    if (response.body instanceof Readable) await this.#stream(writer, response.body);
    else await writer.whole(response.body);
  }

  /** Ends early when the caller goes away, which destroys the app's response. */
  async #stream(writer: FrameWriter, body: Readable): Promise<void> {
    this.#answering = body;
    writer.open();
    for await (const chunk of body as AsyncIterable<Uint8Array>) if (!writer.part(chunk)) await this.#replies.drained();
    writer.end();
  }
}

const empty = new Uint8Array(0);

function bytesOrNone(bytes: Uint8Array): Uint8Array | null {
  return bytes.length === 0 ? null : bytes;
}

function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new GrpcStatusError(GrpcCode.INTERNAL, `grpc: error unmarshalling request: ${(error as Error).message}`);
  }
}

function badLeading(): GrpcStatusError {
  return badInvokeRequest("request does not contain the required fields in the leading chunk");
}

function cardinality(what: string): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.INTERNAL, `cardinality violation: ${what} for non-client-streaming RPC`);
}

/** The request without its body, its trace continued by this hop. */
function readHead(ports: ServerPorts, received: ReceivedRequest, call: GrpcCall): Head {
  const { verb, query, headers, contentType, typeUrl } = received;
  const method = normalized(received.method);
  ports.authorize?.(call, method, verb || "NONE");
  const caller = traceOf(fromMetadata(call.metadata)) ?? parseTraceparent(headers["traceparent"]?.[0], undefined);
  setTrace(headers, childOf(caller, false));
  delete headers["grpc-trace-bin"];
  return { verb, method, query, headers, contentType, contentLength: announcedLength(headers), typeUrl };
}

function normalized(method: string): string {
  try {
    return normalizeMethod(method);
  } catch (error) {
    throw invalidMethod(error);
  }
}

async function invoke(ports: ServerPorts, request: AppRequest, signal: AbortSignal): Promise<AppResponse> {
  try {
    return await (ports.app.channel as NonNullable<App["channel"]>).invoke(request, signal);
  } catch (error) {
    throw channelFailed(error);
  }
}

function isEventStream(head: Head): boolean {
  return head.headers["accept"]?.[0]?.trim().toLowerCase() === "text/event-stream";
}
