// gRPC status on the wire: grpc-status, the percent-encoded grpc-message, grpc-status-details-bin, and the tables between
// gRPC codes, HTTP statuses and HTTP/2 error codes. Two directions of HTTP: what Dapr answers with (asymmetric on
// purpose), and what the gRPC specification says of a reply that is not gRPC at all.
import { constants } from "node:http2";
import { fromMetadataBinary, toMetadataBinary } from "./metadata.ts";
import { GrpcCode, GrpcStatusError, type Metadata } from "./types.ts";

const plainMessage = /^[ -$&-~]*$/;
const encoder = new TextEncoder();

/** grpc-message: everything but printable ASCII, and the percent sign, is percent-encoded as UTF-8. */
export function encodeMessage(message: string): string {
  if (plainMessage.test(message)) return message;
  let encoded = "";
  for (const byte of encoder.encode(message)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** The inverse; never throws: what is not valid percent-encoding stays as it is, as the specification demands. */
export function decodeMessage(encoded: string): string {
  if (!encoded.includes("%")) return encoded;
  const bytes: number[] = [];
  for (let at = 0; at < encoded.length; at++) {
    const hex = encoded[at] === "%" ? encoded.slice(at + 1, at + 3) : "";
    if (/^[0-9a-fA-F]{2}$/.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      at += 2;
    } else {
      bytes.push(...encoder.encode(encoded[at]));
    }
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

/** Adds the status to trailers that are about to be sent. */
export function writeStatus(status: GrpcStatusError | null, into: Record<string, string | string[]>): void {
  if (status === null) {
    into["grpc-status"] = "0";
    return;
  }
  into["grpc-status"] = String(status.code);
  into["grpc-message"] = encodeMessage(status.message);
  if (status.statusDetails !== null) into["grpc-status-details-bin"] = toMetadataBinary(status.statusDetails);
}

/** What `headers` (trailers, or headers of a trailers-only reply) say: null for OK, undefined when they carry no status. */
export function readStatus(
  headers: Readonly<Record<string, string | string[] | number | undefined>>,
  metadata: () => Metadata,
): GrpcStatusError | null | undefined {
  const text = headers["grpc-status"];
  if (text === undefined) return undefined;
  if (text === "0") return null;
  const details = headers["grpc-status-details-bin"];
  return new GrpcStatusError(
    codeOf(String(text)),
    decodeMessage(String(headers["grpc-message"] ?? "")),
    details === undefined ? null : fromMetadataBinary(String(details)),
    metadata(),
  );
}

/** Codes beyond the sixteen, and what is no number, count as UNKNOWN. */
function codeOf(text: string): GrpcCode {
  const code = /^[0-9]{1,2}$/.test(text) ? Number(text) : GrpcCode.UNKNOWN;
  return (code <= GrpcCode.UNAUTHENTICATED ? code : GrpcCode.UNKNOWN) as GrpcCode;
}

const grpcOfForeignHttp: ReadonlyMap<number, GrpcCode> = new Map([
  [400, GrpcCode.INTERNAL],
  [401, GrpcCode.UNAUTHENTICATED],
  [403, GrpcCode.PERMISSION_DENIED],
  [404, GrpcCode.UNIMPLEMENTED],
  [429, GrpcCode.UNAVAILABLE],
  [502, GrpcCode.UNAVAILABLE],
  [503, GrpcCode.UNAVAILABLE],
  [504, GrpcCode.UNAVAILABLE],
]);

/** The code of a reply without grpc-status, from a proxy or a server that is no gRPC server (http-grpc-status-mapping.md). */
export function grpcCodeOfForeignReply(status: number): GrpcCode {
  return grpcOfForeignHttp.get(status) ?? GrpcCode.UNKNOWN;
}

const h2ErrorNames: readonly string[] = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
];

/** The status of a call whose stream the other end reset. */
export function statusOfReset(rstCode: number): GrpcStatusError {
  const name = h2ErrorNames[rstCode] ?? String(rstCode);
  return new GrpcStatusError(grpcCodeOfReset(rstCode), `stream terminated by RST_STREAM with error code: ${name}`);
}

function grpcCodeOfReset(rstCode: number): GrpcCode {
  switch (rstCode) {
    case constants.NGHTTP2_REFUSED_STREAM:
      return GrpcCode.UNAVAILABLE;
    case constants.NGHTTP2_CANCEL:
      return GrpcCode.CANCELLED;
    case constants.NGHTTP2_FLOW_CONTROL_ERROR:
    case constants.NGHTTP2_ENHANCE_YOUR_CALM:
      return GrpcCode.RESOURCE_EXHAUSTED;
    case constants.NGHTTP2_INADEQUATE_SECURITY:
      return GrpcCode.PERMISSION_DENIED;
    default:
      return GrpcCode.INTERNAL;
  }
}
