// W3C trace context (https://www.w3.org/TR/trace-context/): parsed once at the edge, a child per hop.
import { randomBytes } from "node:crypto";

export interface TraceContext {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits: our own span. */
  readonly spanId: string;
  /** 2 hex digits. */
  readonly flags: string;
  readonly tracestate: string;
}

const traceparentForm = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** The context a `traceparent` names, or null when it is absent or malformed. */
export function parseTraceparent(traceparent: string | undefined, tracestate: string | undefined): TraceContext | null {
  if (traceparent === undefined) return null;
  const match = traceparentForm.exec(traceparent);
  if (!match) return null;
  const [, version, traceId, spanId, flags, rest] = match as unknown as [string, string, string, string, string, string | undefined];
  if (version === "ff" || (version === "00" && rest !== undefined)) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, flags, tracestate: tracestate ?? "" };
}

export function formatTraceparent(context: TraceContext): string {
  return `00-${context.traceId}-${context.spanId}-${context.flags}`;
}

/** A child span of `parent`, or a new root when there is none. `sampled` decides the flag of a new root. */
export function childOf(parent: TraceContext | null, sampled: boolean): TraceContext {
  const spanId = randomHex(8);
  if (parent) return { traceId: parent.traceId, spanId, flags: parent.flags, tracestate: parent.tracestate };
  return { traceId: randomHex(16), spanId, flags: sampled ? "01" : "00", tracestate: "" };
}

const poolBytes = 4096;
let pool = Buffer.alloc(0);
let used = 0;

/** Random hex from a pool: one system call per 4 KiB rather than one per request. */
function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    pool = randomBytes(poolBytes);
    used = 0;
  }
  const text = pool.toString("hex", used, used + bytes);
  used += bytes;
  return text;
}

/** `grpc-trace-bin` in the OpenCensus binary format: version 0, field 0 trace id, field 1 span id, field 2 flags. */
export function encodeTraceBin(context: TraceContext): Buffer {
  const bytes = Buffer.alloc(29);
  bytes[1] = 0;
  bytes.write(context.traceId, 2, "hex");
  bytes[18] = 1;
  bytes.write(context.spanId, 19, "hex");
  bytes[27] = 2;
  bytes[28] = Number.parseInt(context.flags, 16);
  return bytes;
}

export function decodeTraceBin(bytes: Uint8Array): TraceContext | null {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < 29 || view[0] !== 0 || view[1] !== 0 || view[18] !== 1 || view[27] !== 2) return null;
  const traceId = view.toString("hex", 2, 18);
  const spanId = view.toString("hex", 19, 27);
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, flags: (view[28] as number).toString(16).padStart(2, "0"), tracestate: "" };
}
